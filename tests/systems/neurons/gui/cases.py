"""Recordings that the tests of the page share."""

from __future__ import annotations

import functools

import numpy as np

from lrnn_kernels import neurons
from lrnn_kernels.neurons.gui.controller import Controller


@functools.cache
def trains() -> tuple[list[float], list[float]]:
    """Spike times in ms of a spiking and of a bursting neuron, 4 s each."""
    base = neurons.spiking_population("stg", 4, seed=3).g[:1]
    found = []
    for g_s in (9.0, -11.0):
        g = neurons.neuromodulate("stg", base, g_s=g_s, g_u=6.0).g
        found += neurons.simulate("stg", g, 7000, discard=3000).spikes.to_lists()
    return tuple(found)


def csv(*names: str, unit: str = "ms") -> bytes:
    """A file of units with these names, spiking and bursting by turns."""
    lines = [f"unit,time{'_' if unit else ''}{unit}"]
    for n, name in enumerate(names):
        quoted = '"' + name.replace('"', '""') + '"'
        lines += [f"{quoted},{t / (1000 if unit == 's' else 1):.6f}" for t in trains()[n % 2]]
    return "\n".join(lines).encode()


def many(units: int, spikes: int, seed: int = 0) -> neurons.Spikes:
    """Random trains."""
    rng = np.random.default_rng(seed)
    return neurons.Spikes.from_lists(
        [np.sort(rng.uniform(0, 600_000, spikes)) for _ in range(units)]
    )


def loaded(*names: str) -> Controller:
    """A controller with a file of these units; 8 twins."""
    controller = Controller()
    controller.twins = 8
    controller.load(csv(*names), "cells.csv")
    return controller
