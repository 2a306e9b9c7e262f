"""Digits per second that the fixed-point network classifies on one core.

Images are scikit-learn's 8x8 digits blown up to 28x28 and dimmed to MNIST's mean pixel, 0.13, so
that as many inputs spike; weights are random, so that about half of the neurons fire. Accuracy is
therefore of no interest here; it is checked that the reference agrees.
"""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median

import numpy as np

from lrnn_kernels import fixed_point
from lrnn_kernels.fixed_point import check, library

from ..measure.machine import cpu_model
from ..measure.report import table

RUNS = 9
CASES = (
    ((784, 100), 220, 256),
    ((784, 100), 55, 16),
    ((784, 100), 44, 8),
    ((784, 100, 100), 55, 16),
)  # sizes, frames, levels
MNIST_MEAN = 0.1325


def images() -> np.ndarray:
    """(1797, 784), uint8."""
    from sklearn.datasets import load_digits

    small = load_digits().images / 16
    pixels = np.pad(np.kron(small, np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2))).reshape(
        len(small), 784
    )
    low, high = 1.0, 8.0  # a power that dims the greys
    for _ in range(30):
        power = (low + high) / 2
        low, high = (power, high) if (pixels**power).mean() > MNIST_MEAN else (low, power)
    return np.rint(255 * pixels**power).astype(np.uint8)


def main() -> None:
    pixels = images()
    rng = np.random.default_rng(0)
    print(
        f"{cpu_model()}, {library.compiled().isa()}, 1 thread; {len(pixels)} digits, mean pixel "
        f"{pixels.mean() / 255:.3f}"
    )
    rows = []
    for sizes, frames, levels in CASES:
        weights = [
            fixed_point.quantize(rng.standard_normal((n, m)), levels) for m, n in pairwise(sizes)
        ]
        network = fixed_point.Network(weights, accumulator_bits=16)
        few = [
            network.classify(pixels[:20], frames, backend=backend)
            for backend in ("cpu", "reference")
        ]
        if not check.equal(*few):
            raise SystemExit(f"{network} differs from the reference: its speed is of no interest")
        speeds = sorted(_digits_per_second(network, pixels, frames) for _ in range(RUNS))
        rows.append(
            [
                "-".join(map(str, sizes)),
                str(frames),
                str(levels),
                *(f"{x:,.0f}" for x in (median(speeds), speeds[0], speeds[-1])),
            ]
        )
    print(
        table(
            ("network", "frames", "levels", "digits/s, median", "slowest", "fastest"),
            rows,
            f"{RUNS} runs, traces drawn on the fly",
        )
    )


def _digits_per_second(network: fixed_point.Network, pixels: np.ndarray, frames: int) -> float:
    start = time.perf_counter()
    network.classify(pixels, frames, threads=1)
    return len(pixels) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
