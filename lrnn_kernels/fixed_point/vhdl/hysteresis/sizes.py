"""How wide registers and memories must be to hold every value exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...hysteresis import HysteresisLayer, HysteresisNetwork, ReadOut
from ..sizes import LANES, MemorySizes, counting_bits, lanes_of, signed_bits


@dataclass(frozen=True)
class SumSizes(MemorySizes):
    """A layer of the circuit, or the read-out.

    Attributes:
        input_bits: of an input.
        addend_bits: of what is added to a sum in one clock.
        sum_bits: of a sum, all partial ones and the thresholds included: no input can make it
            overflow.
    """

    input_bits: int
    addend_bits: int
    sum_bits: int

    @property
    def watch_bits(self) -> int:
        """Of the states that a test bench watches."""
        return self.neurons * (self.sum_bits + 1)


def layers_of(network: HysteresisNetwork) -> tuple[HysteresisLayer | ReadOut, ...]:
    """The layers, and the read-out where there is one."""
    return network.layers if network.read_out is None else (*network.layers, network.read_out)


def network_sizes(network: HysteresisNetwork, style: str) -> tuple[SumSizes, ...]:
    found, input_bits = [], network.input_bits
    for layer, bits in zip(layers_of(network), network.sum_bits, strict=True):
        neurons, inputs = layer.weights.shape
        wide = lanes_of(layer.weights, LANES[style])
        most = 2**input_bits - 1
        low, high = (most * side(wide, 0).sum(2) for side in (np.minimum, np.maximum))
        if isinstance(layer, HysteresisLayer):
            bits = max(bits, signed_bits(0, layer.high.max()))
        found.append(
            SumSizes(
                inputs=inputs,
                neurons=neurons,
                lanes=LANES[style],
                weight_bits=signed_bits(layer.weights.min(), layer.weights.max()),
                input_bits=input_bits,
                addend_bits=signed_bits(low.min(), high.max()),
                sum_bits=bits,
            )
        )
        input_bits = 1
    return tuple(found)


def result_bits(network: HysteresisNetwork, sizes: tuple[SumSizes, ...]) -> int:
    """Of what comes out after a step: states, or sums and a class."""
    last = sizes[-1]
    if network.read_out is None:
        return last.neurons
    return last.neurons * last.sum_bits + counting_bits(last.neurons)
