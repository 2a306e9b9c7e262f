"""Small networks and stimuli that reach the edges of the arithmetic, to verify circuits with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...hysteresis import HysteresisLayer, HysteresisNetwork, ReadOut
from ..cases import Case


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    stack = random_network(rng, (21, 13, 11), 40, input_bits=3, classes=5)
    bits = random_network(rng, (67, 10), 9, input_bits=1)
    return [
        Case("FQ-BMRU, random", stack, random_inputs(rng, stack, (3, 30))),
        Case("FQ-BMRU, a deep stack", *_deep(rng)),
        Case("FQ-BMRU, inputs of one bit", bits, random_inputs(rng, bits, (2, 20))),
        Case("FQ-BMRU, one input, one unit", *_every_input()),
        Case("FQ-BMRU, ties", *_ties()),
        Case("FQ-BMRU, held", *_held()),
        Case("FQ-BMRU, below zero", *_below_zero()),
        Case("FQ-BMRU, largest sums", *_largest()),
        Case("FQ-BMRU, first frames", *_first_frames(rng)),
    ]


def random_network(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    largest: int,
    *,
    input_bits: int,
    classes: int = 0,
) -> HysteresisNetwork:
    """Weights up to the largest, and thresholds about which sums vary, so that units switch."""
    layers, scale = [], (2**input_bits - 1) * largest
    for inputs, units in pairwise(sizes):
        spread = max(2, int(scale * inputs**0.5 / 3))
        low = rng.integers(0, spread, units)
        layers.append(
            HysteresisLayer(
                rng.integers(-largest, largest + 1, (units, inputs)),
                rng.integers(-spread, spread, units),
                low,
                low + rng.integers(0, spread, units),
                rng.random(units) < 0.5,
            )
        )
        scale = largest
    read_out = None
    if classes:
        weights = rng.integers(-largest, largest + 1, (classes, sizes[-1]))
        read_out = ReadOut(weights, rng.integers(-largest, largest + 1, classes))
    return HysteresisNetwork(layers, read_out, input_bits=input_bits)


def random_inputs(
    rng: np.random.Generator, network: HysteresisNetwork, shape: tuple[int, int]
) -> np.ndarray:
    """Of all that fit, half of them 0."""
    x = rng.integers(0, 2**network.input_bits, (*shape, network.inputs))
    return x * (rng.random(x.shape) < 0.5)


def _deep(rng: np.random.Generator) -> tuple[HysteresisNetwork, np.ndarray]:
    """From nothing to everything, then noise; of 35 inputs, as many units and as few as there can
    be."""
    network = random_network(rng, (9, 35, 1, 3), 7, input_bits=4, classes=1)
    x = random_inputs(rng, network, (2, 24))
    x[0, :12] = 15 * (np.arange(12)[:, None] % 2)
    return network, x


def _every_input() -> tuple[HysteresisNetwork, np.ndarray]:
    """All steps from one of the eight inputs to another."""
    layer = HysteresisLayer(np.array([[3]]), np.array([-5]), np.array([4]), np.array([10]))
    steps = np.stack(np.meshgrid(np.arange(8), np.arange(8)), 2).reshape(1, -1, 1)
    return HysteresisNetwork([layer], input_bits=3), steps


def _ties() -> tuple[HysteresisNetwork, np.ndarray]:
    """u at both thresholds, and one below and above them, from either state; thresholds that are
    equal, and both 0; two classes whose sums are equal."""
    weights = np.ones((6, 1), np.int64)
    low, high = np.array([5, 5, 7, 0, 0, 8]), np.array([9, 6, 7, 0, 1, 15])
    layer = HysteresisLayer(weights, np.zeros(6, np.int64), low, high, np.arange(6) % 2 == 0)
    near = [15, 6, 5, 6, 8, 9, 8, 6, 5, 4, 7, 8, 10, 9, 0, 9, 5, 0, 1, 0, 7, 6, 7, 15, 14, 8, 15]
    read_out = ReadOut(np.array([[0] * 6, [1] * 6, [1] * 6]), np.array([2, 0, 0]))
    return HysteresisNetwork([layer], read_out, input_bits=4), np.array(near)[None, :, None]


def _held() -> tuple[HysteresisNetwork, np.ndarray]:
    """Long between the thresholds, in both states."""
    weights, bias = np.array([[1, -1], [2, 1]]), np.array([20, 3])
    layer = HysteresisLayer(weights, bias, np.array([10, 4]), np.array([30, 40]))
    x = np.zeros((1, 60, 2), np.int64)
    x[0] = [3, 2]
    x[0, [5, 45], 0] = 31  # sets
    x[0, [25, 50], 1] = 31  # clears the first
    x[0, [30, 55]] = 0  # clears the second
    return HysteresisNetwork([layer], input_bits=5), x


def _below_zero() -> tuple[HysteresisNetwork, np.ndarray]:
    """Sums below 0, of bias or of weights: u is 0, and where both thresholds are 0 that sets."""
    weights, bias = np.array([[-3], [-3], [2], [-1]]), np.array([6, -1, -8, 0])
    layer = HysteresisLayer(weights, bias, np.array([0, 0, 2, 3]), np.array([3, 0, 4, 8]))
    return HysteresisNetwork([layer], input_bits=3), np.arange(16)[None, :, None] % 8


def _largest() -> tuple[HysteresisNetwork, np.ndarray]:
    """Sums of 32 bits at either end, and thresholds there."""
    most = 2**31 - 1
    weight, rest = divmod(most, 9 * 255)
    weights = np.full((4, 9), weight)
    weights[1] *= -1
    weights[3] = [1, -1, 1, -1, 1, -1, 1, -1, 1]
    bias = np.array([rest, -rest, 0, most - 5 * 255])
    low = np.array([most - 1, 0, most, most - 5 * 255 - 4 * 255])
    layer = HysteresisLayer(weights, bias, low, np.array([most, 1, most, most]))
    x = np.zeros((1, 8, 9), np.int64)
    x[0, [1, 4]] = 255
    x[0, 2] = 254
    x[0, 5, ::2] = 255
    x[0, 6, 1::2] = 255
    return HysteresisNetwork([layer], input_bits=8), x


def _first_frames(rng: np.random.Generator) -> tuple[HysteresisNetwork, np.ndarray]:
    """Sequences of one and two steps that hold, which must know nothing of each other."""
    units = 8
    layer = HysteresisLayer(
        rng.integers(-9, 10, (units, 3)),
        np.full(units, 20),
        np.full(units, 8),
        np.full(units, 32),
        rng.random(units) < 0.5,
    )
    network = HysteresisNetwork([layer], input_bits=2)
    return network, rng.integers(0, 4, (12, 2, 3))
