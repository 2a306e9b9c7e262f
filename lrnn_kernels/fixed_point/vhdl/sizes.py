"""How wide registers and memories must be to hold every value exactly, and no wider."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..network import Network
from ..reference import MOST_CURRENT

#: Inputs that each style visits in a clock.
LANES = {"serial": 1, "parallel8": 8, "events": 1}
STYLES = tuple(LANES)

STATE_BITS = 11  # h and h_s
PHASES = 6  # clocks in which neurons fire


def signed_bits(low: int, high: int) -> int:
    """The narrowest two's complement that holds both."""
    return max(1, *((x if x >= 0 else ~x).bit_length() + 1 for x in (int(low), int(high))))


def counting_bits(n: int) -> int:
    """What counts from 0 to n - 1, as ``bits_for`` of src_package.vhd has it."""
    return max(1, (n - 1).bit_length())


@dataclass(frozen=True)
class MemorySizes:
    """The weights of a layer of any circuit.

    Attributes:
        inputs, neurons: as in the network.
        lanes: inputs that are visited in one clock.
        weight_bits: of a stored weight.
    """

    inputs: int
    neurons: int
    lanes: int
    weight_bits: int

    @property
    def words(self) -> int:
        """Words of the weight memory."""
        return -(-self.inputs // self.lanes)

    @property
    def word_bits(self) -> int:
        return self.neurons * self.lanes * self.weight_bits


@dataclass(frozen=True)
class LayerSizes(MemorySizes):
    """A layer of spiking recurrent cells.

    Attributes:
        addend_bits: of what is added to a current in one clock, which is a sum where there are
            lanes.
        current_bits: of a current, partial sums and the first value beyond the limit included.
    """

    addend_bits: int
    current_bits: int

    @property
    def watch_bits(self) -> int:
        """Of the states that a test bench watches."""
        return self.neurons * (self.current_bits + 2 * STATE_BITS + 1)


def layer_sizes(weights: np.ndarray, style: str) -> LayerSizes:
    """For weights (neurons, inputs), integers."""
    lanes, (neurons, inputs) = LANES[style], weights.shape
    wide = lanes_of(weights, lanes)
    low, high = np.minimum(wide, 0).sum(2), np.maximum(wide, 0).sum(2)  # (neurons, words)
    return LayerSizes(
        inputs,
        neurons,
        lanes,
        signed_bits(weights.min(), weights.max()),
        signed_bits(low.min(), high.max()),
        signed_bits(*current_range(int(low.sum(1).min()), int(high.sum(1).max()))),
    )


def network_sizes(network: Network, style: str) -> tuple[LayerSizes, ...]:
    return tuple(layer_sizes(weights, style) for weights in network.weights)


def lanes_of(weights: np.ndarray, lanes: int) -> np.ndarray:
    """(neurons, words, lanes), int64: which weights are read together; beyond the last input 0."""
    neurons, inputs = weights.shape
    words = -(-inputs // lanes)
    wide = np.zeros((neurons, words * lanes), np.int64)
    wide[:, :inputs] = weights
    return wide.reshape(neurons, words, lanes)


def current_range(low: int, high: int) -> tuple[int, int]:
    """All that a current can be while the weights of spiking inputs are added to it one after the
    other, if in a step they add up to low ... high: whatever spikes, from 0 on, until the step in
    which it first leaves its limits, that step included."""
    reached = (0, 0)
    while True:
        held = np.arange(max(reached[0], -MOST_CURRENT), min(reached[1], MOST_CURRENT) + 1)
        leaked = held - (held >> 4) - (held >> 5)
        wider = (
            min(reached[0], int(leaked.min()) + low),
            max(reached[1], int(leaked.max()) + high),
        )
        if wider == reached:
            return reached
        reached = wider
