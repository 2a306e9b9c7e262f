"""Recordings to begin with: neurons that are simulated, whose DICs are known."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..populations import neuromodulate, spiking_population
from ..simulate import simulate
from ..spikes import Spikes


class Example(NamedTuple):
    """A neuron of a model, by its DICs."""

    title: str
    g_s: float
    g_u: float


EXAMPLES = {
    "spiking": Example("a spiking neuron", 8.0, 6.0),
    "bursting": Example("a bursting neuron", -9.0, 5.0),
}
#: ms that are simulated, and of which the first are dropped.
T, DISCARD = 9_000.0, 3_000.0


@cache
def spikes(name: str, model: str) -> Spikes:
    """Of an example: 6 s."""
    example = EXAMPLES[name]
    base = spiking_population(model, 8, seed=2026).g
    g = neuromodulate(model, base, g_s=example.g_s, g_u=example.g_u).g[:1]
    return simulate(model, g, T, discard=DISCARD).spikes
