"""Conductance-based neurons: populations of them, their spikes, dynamic input conductances."""
