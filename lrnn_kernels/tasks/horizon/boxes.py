"""Intervals that hold whatever a computation in floating point can give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Roundings beside those of a sum's terms: of a product, of a bias, of a weight that is itself
#: computed, and of this computation.
_MORE = 12


class Box(NamedTuple):
    """Intervals [lo, hi], arrays of one shape, float64; without a bound where infinite."""

    lo: np.ndarray
    hi: np.ndarray

    @property
    def largest(self) -> np.ndarray:
        """The largest magnitude in each."""
        return np.maximum(np.abs(self.lo), np.abs(self.hi))

    def wider(self, by: np.ndarray | float) -> Box:
        return Box(self.lo - by, self.hi + by)

    def hull(self, *others: Box) -> Box:
        """The smallest that hold this one's and others'."""
        boxes = (self, *others)
        return Box(
            np.minimum.reduce([box.lo for box in boxes]),
            np.maximum.reduce([box.hi for box in boxes]),
        )

    def mapped(self, increasing) -> Box:
        """By a function that does not fall."""
        return Box(increasing(self.lo), increasing(self.hi))

    @classmethod
    def unknown(cls, *shape: int) -> Box:
        return cls(np.full(shape, -np.inf), np.full(shape, np.inf))


def product(a: Box, b: Box) -> Box:
    """Of independent factors, elementwise."""
    with np.errstate(invalid="ignore"):
        corners = np.stack([a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi])
    corners = np.where(np.isnan(corners), 0.0, corners)  # of 0 and infinity
    return Box(corners.min(0), corners.max(0))


def linear(x: Box, weight: np.ndarray, bias: np.ndarray | None, rounding: float) -> Box:
    """weight (D, C) x + bias, summed in floating point in any order."""
    if not np.isfinite(x.largest).all():
        return Box.unknown(len(weight))
    middle, half = (x.lo + x.hi) / 2, (x.hi - x.lo) / 2
    bias = np.zeros(len(weight)) if bias is None else bias
    center, spread = weight @ middle + bias, np.abs(weight) @ half
    size = np.abs(weight) @ x.largest + np.abs(bias)
    slack = slips(weight.shape[1], rounding) * size
    return Box(center - spread, center + spread).wider(slack)


def slips(terms: int, rounding: float) -> float:
    """By which share of the sum of its terms' magnitudes a sum of products may be off."""
    return (terms + _MORE) * rounding * 1.01
