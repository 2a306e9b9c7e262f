"""Compares the compiled fixed-point network with the reference, bit for bit: part of ``python -m
lrnn_kernels check``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .coding import Traces, traces
from .network import Classification, Network, NetworkStates, States, neurons

#: Sizes from the inputs on, steps, largest weight. They reach every tail of a register, tiles of
#: neurons with and without one, stacks, and, where a neuron is heavy, sums that need 32 bits.
NETWORKS = (
    ((784, 100), 55, 16),
    ((784, 37, 10), 44, 40),
    ((65, 1), 30, 300),
    ((9, 128, 33), 33, 900),
    ((200, 161, 5, 64), 25, 60),
    ((300, 40), 12, 500),
)


def run_check(images: int = 12) -> tuple[int, list[str]]:
    """How many results were compared, and the names of those that differ."""
    rng = np.random.default_rng(0)
    compared: dict[str, bool] = {}
    for sizes, frames, largest in NETWORKS:
        network = random_network(rng, sizes, largest)
        pixels = rng.integers(0, 256, (images, sizes[0]), np.uint8) * (
            rng.random((images, sizes[0])) < 0.3
        ).astype(np.uint8)
        inputs = [
            traces(pixels, frames, seed=len(compared), backend=backend)
            for backend in ("cpu", "reference")
        ]
        compared[f"{network} traces"] = np.array_equal(inputs[0].bits, inputs[1].bits)
        classified = [
            network.classify(pixels, frames, seed=len(compared), backend=backend)
            for backend in ("cpu", "reference")
        ]
        compared[f"{network} classify"] = equal(*classified)
        busy = Traces.pack(rng.random((3, frames, sizes[0])) < 0.5)
        compared[f"{network} run"] = equal(
            *(network.run(busy, backend=backend) for backend in ("cpu", "reference"))
        )
        compared[f"{network} states"] = equal(
            *(network.states(busy, 2, backend=backend) for backend in ("cpu", "reference"))
        )
    X = rng.integers(-1024, 1024, (300, 70))
    compared["neurons X"] = equal(
        *(neurons(X=X, backend=backend) for backend in ("cpu", "reference"))
    )
    total = rng.integers(-2500, 2501, (300, 70))
    compared["neurons total"] = equal(
        *(neurons(total=total, backend=backend) for backend in ("cpu", "reference"))
    )
    return len(compared), [name for name, same in compared.items() if not same]


#: Weights of one neuron that add up to less never drive it beyond 30000: at I, 3/32 of it leaks
#: away.
_BOUND = 2800
_HEAVY = 500


def random_network(rng: np.random.Generator, sizes: tuple[int, ...], largest: int) -> Network:
    """Weights up to the largest that cannot overflow a current; from 500 on, one neuron has all
    its weight on one input."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        weights = rng.integers(-largest, largest + 1, (outputs, inputs))
        weights = (weights / np.maximum(1, np.abs(weights).sum(1, keepdims=True) / _BOUND)).astype(
            np.int64
        )
        if largest >= _HEAVY:
            weights[-1] = 0
            weights[-1, rng.integers(inputs)] = _BOUND
        layers.append(weights)
    return Network(layers, accumulator_bits=24)


def equal(
    a: Classification | States | NetworkStates, b: Classification | States | NetworkStates
) -> bool:
    """Whether two results hold the same values in the same types."""
    if isinstance(a, NetworkStates):
        return np.array_equal(a.votes, b.votes) and all(map(equal, a.layers, b.layers))
    arrays = (
        zip(a, b, strict=True)
        if isinstance(a, tuple)
        else ((x, vars(b)[name]) for name, x in vars(a).items())
    )
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in arrays)
