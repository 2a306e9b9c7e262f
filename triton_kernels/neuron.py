"""What a model of a neuron is to the engine of populations: its jit function, and its sizes.

Every file in neurons/ declares its own as ``NEURON``; its file's name is the model's. The maths,
with its sources, is in lrnn_kernels/neurons/models/.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class NeuronFunctions(NamedTuple):
    """The jit functions of a neuron, as a kernel gets them."""

    step: Any


class Neuron(NamedTuple):
    """What one neuron computes in one step.

    step(g, current, state, E, time) -> (state, E)

    g and state are tuples of tiles: conductances in the order of the model's channels, states in
    that of its states, V first. E is the reversal potential that V relaxed to, in the step before
    and in this one. time is a membrane.Time.
    """

    step: Any
    channels: int
    states: int
    tau: float = math.inf  # ms: of the states of its own that relax with time.share

    @property
    def functions(self) -> NeuronFunctions:
        return NeuronFunctions(self.step)
