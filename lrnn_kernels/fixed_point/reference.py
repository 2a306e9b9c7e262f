"""What the fixed-point network computes, in readable NumPy: the oracle of the compiled kernels, and
what runs without a compiler.

Everything is vectorized over images and neurons, in 64-bit integers: slow, and hard to get wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLASSES = 10
MOST_CURRENT = 30000


class Step(NamedTuple):
    """What neurons did in one step: the current, what follows from it and the old states, the
    new states."""

    I: np.ndarray  # noqa: E741, the equations' name
    X: np.ndarray
    z: np.ndarray
    u: np.ndarray
    h: np.ndarray
    h_s: np.ndarray
    spike: np.ndarray


class Failure(NamedTuple):
    """The first overflow of an image: of neuron's current in layer, or, with layer -1, of an
    accumulator."""

    image: int
    step: int
    layer: int
    neuron: int
    value: int


def integrate(I: np.ndarray, total: np.ndarray) -> np.ndarray:  # noqa: E741
    """The leaky current: total is the sum of the weights of the inputs that spike."""
    return I - ((I >> 4) + (I >> 5)) + total


def fire(I: np.ndarray, h: np.ndarray, h_s: np.ndarray, X: np.ndarray | None = None) -> Step:  # noqa: E741
    """The neuron, from its current, or from X where that is held."""
    if X is None:
        X = np.where(I > 0, 1023, -1024)
    z = np.where(h < 500, 900, 100)
    u = X + 2 * (h - 4 * h_s - 3000)
    h_next = np.clip((3 * u) >> 2, -1024, 1023)
    h_s_next = np.clip(h + (((h_s - h) * z) >> 10), -800, 1023)
    return Step(I, X, z, u, h_next, h_s_next, h_next >= 512)


def run(
    weights: list[np.ndarray], spikes: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray, Failure | None]:
    """Runs a stack on spikes (N, T, inputs), bool.

    Returns votes (N, CLASSES), spikes of every layer (N, depth), and the failure of the lowest
    image that has one.
    """
    images, steps = spikes.shape[:2]
    state = [_rest((images, len(w))) for w in weights]
    votes = np.zeros((images, CLASSES), np.int64)
    counts = np.zeros((images, len(weights)), np.int64)
    failures: dict[int, Failure] = {}
    for t in range(steps):
        for layer, step in enumerate(_step(weights, state, spikes[:, t])):
            counts[:, layer] += step.spike.sum(1)
            _note(failures, np.abs(step.I) > MOST_CURRENT, step.I, t, layer)
        votes += _votes(step.spike)
        _note(failures, (votes < low) | (votes > high), votes, t, -1)
    return votes.astype(np.int32), counts, failures[min(failures)] if failures else None


def watch(
    weights: list[np.ndarray], spikes: np.ndarray, low: int, high: int
) -> tuple[list[Step], np.ndarray, Failure | None]:
    """Runs a stack on spikes (1, T, inputs): for every layer a Step of arrays (T, neurons);
    votes after every step (T, CLASSES)."""
    _, _, failure = run(weights, spikes, low, high)
    state = [_rest((1, len(w))) for w in weights]
    steps = [_step(weights, state, spikes[:, t]) for t in range(spikes.shape[1])]
    layers = [_stack([step[layer] for step in steps], len(w)) for layer, w in enumerate(weights)]
    votes = np.cumsum(_votes(layers[-1].spike), axis=0)
    return layers, votes.astype(np.int32), failure


def drive(X: np.ndarray | None, total: np.ndarray | None) -> tuple[Step, Failure | None]:
    """Runs neurons on X or on the sums over their inputs, (T, neurons)."""
    length, neurons = (total if X is None else X).shape
    last, steps, failures = _rest((1, neurons)), [], {}
    for t in range(length):
        current = last.I if total is None else integrate(last.I, total[t].astype(np.int64))
        last = fire(current, last.h, last.h_s, None if X is None else X[t].astype(np.int64)[None])
        _note(failures, np.abs(last.I) > MOST_CURRENT, last.I, t, 0)
        steps.append(last)
    return _stack(steps, neurons), failures.get(0)


def _rest(shape: tuple[int, int]) -> Step:
    return Step(*np.zeros((6, *shape), np.int64), np.zeros(shape, np.bool_))


def _step(weights: list[np.ndarray], state: list[Step], spikes: np.ndarray) -> list[Step]:
    """One step of all layers, each fed by the spikes of the one before; state is replaced."""
    for layer, w in enumerate(weights):
        last = state[layer]
        total = (spikes.astype(np.float64) @ w.T.astype(np.float64)).astype(
            np.int64
        )  # exact below 2^53, and faster than integers
        state[layer] = fire(integrate(last.I, total), last.h, last.h_s)
        spikes = state[layer].spike
    return list(state)


def _votes(spike: np.ndarray) -> np.ndarray:
    """What one step's spikes (N, neurons) add to the accumulators (N, CLASSES)."""
    is_own = np.arange(spike.shape[1])[:, None] % CLASSES == np.arange(CLASSES)
    return spike.astype(np.int64) @ np.where(is_own, 10, -1)


def _note(
    failures: dict[int, Failure], bad: np.ndarray, values: np.ndarray, step: int, layer: int
) -> None:
    """Records the first bad value of every image that has not failed before."""
    for image in np.flatnonzero(bad.any(1)):
        neuron = int(bad[image].argmax())
        failures.setdefault(
            int(image), Failure(int(image), step, layer, neuron, int(values[image, neuron]))
        )


def _stack(steps: list[Step], neurons: int) -> Step:
    """Steps of one image, one after the other: arrays (T, neurons) in the types of the compiled
    kernels."""
    dtypes = [np.int16] * 6 + [np.bool_]
    return Step(
        *(
            np.array([s[i][0] for s in steps], dtype).reshape(-1, neurons)
            for i, dtype in enumerate(dtypes)
        )
    )


def philox(counter: np.ndarray, seed: int) -> np.ndarray:
    """Philox4x32-10: blocks of four 32-bit words (..., 4) from counters (..., 4), under the key
    (seed low, seed high)."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c0, c1, c2, c3 = np.moveaxis(counter.astype(np.uint64), -1, 0)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (p1 >> half) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> half) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def encode(images: np.ndarray, frames: int, silent: int, seed: int, first: int) -> np.ndarray:
    """Traces (N, T, pixels), bool, of images (N, pixels), uint8; see ``coding.traces``."""
    number, pixels = images.shape
    coded = frames - silent
    spikes = np.zeros((number, frames, pixels), np.bool_)
    threshold = (images.astype(np.uint32) * 16384 + 127) // 255
    counter = np.zeros((coded, -(-pixels // 8), 4), np.uint64)
    counter[..., 0] = np.arange(counter.shape[1])
    counter[..., 1] = np.arange(coded)[:, None]
    for image in range(number):
        counter[..., 2], counter[..., 3] = (first + image) & 0xFFFFFFFF, (first + image) >> 32
        words = philox(counter, seed)
        draws = np.stack([words & 0xFFFF, words >> 16], -1).reshape(coded, 8 * counter.shape[1])[
            :, :pixels
        ]
        before = np.zeros(pixels, np.bool_)
        for t in range(coded):
            before = (draws[t] < threshold[image]) & ~before
            spikes[image, silent + t] = before
        if coded:
            spikes[image, -1] = images[image] >= 128
    return spikes
