"""Floating-point weights to the integers that the hardware holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import arguments


@dataclass(frozen=True, eq=False)
class Quantized:
    """Integer weights and what they stand for: W is about weights / scale.

    Attributes:
        weights: (neurons, inputs), int16.
        scale: levels / max|W|; one for the matrix.
        levels: the largest magnitude, B.
    """

    weights: np.ndarray
    scale: float
    levels: int


def quantize(weights: np.ndarray, levels: int) -> Quantized:
    """Wq = round(W B / max|W|), one scale per matrix; halves go to the even neighbour
    (``numpy.rint``), in float64.

    Args:
        weights: W, (neurons, inputs), floating point; a layer after the first has as many inputs as
            the one before has neurons.
        levels: B, from 1 to 32767; 256 is the paper's reference, 16 its "5-bit" and 8 its "4-bit"
            weights.

    Raises TypeError and ValueError for anything else, NaN and a matrix without a scale (of zeros,
    or of numbers next to them) included.
    """
    weights = arguments.array("weights", weights, 2, "(neurons, inputs)")
    if weights.dtype.kind != "f":
        raise TypeError(f"weights must be floating point, got {weights.dtype}")
    levels = arguments.integer("levels", levels, 1, 32767)
    weights = weights.astype(np.float64)
    largest = np.abs(weights).max(initial=0.0)
    if not np.isfinite(largest):
        raise ValueError(f"weights must be finite, got {weights[~np.isfinite(weights)][0]}")
    if largest == 0:
        raise ValueError(
            f"weights must not all be zero: a matrix {weights.shape} of zeros has no scale"
        )
    scale = levels / float(largest)
    if not np.isfinite(scale):
        raise ValueError(
            f"weights must not all be as small as {largest:g}: levels / max|W| is beyond float64"
        )
    exponent = -np.frexp(largest)[1]  # W B could be beyond float64, too
    near_one = np.ldexp(weights, exponent)
    return Quantized(
        np.rint(near_one * levels / np.ldexp(largest, exponent)).astype(np.int16), scale, levels
    )
