"""What takes long and shows a claim: that networks of these cells learn. ``python -m
benchmarks.claims TASK``."""
