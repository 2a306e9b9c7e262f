"""Intervals that hold whatever a computation in floating point can give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

#: Roundings beside those of a sum's terms: of a product, of a bias, of a weight that is itself
#: computed, and of this computation.
_MORE = 12


class Precision(NamedTuple):
    """Of a dtype: half a unit in the last place of 1, the smallest normal number, below which
    results lose their last bits or are 0, and the largest."""

    rounding: float
    least: float
    largest: float

    @classmethod
    def of(cls, dtype: torch.dtype) -> Precision:
        about = torch.finfo(dtype)
        return cls(about.eps / 2, about.tiny, about.max)

    def slack(self, terms: int, size: np.ndarray) -> np.ndarray:
        """By how much a sum of products may be off, size the sum of its terms' magnitudes; the
        same sum in float64 included."""
        return (terms + _MORE) * (1.01 * (self.rounding + 2.0**-53) * size + self.least)

    def overflows(self, size: np.ndarray) -> np.ndarray:
        """Where sums of such magnitudes may be infinite, and what reads them NaN."""
        return ~(size < self.largest / 16)


class Box(NamedTuple):
    """Intervals [lo, hi], arrays of one shape, float64. Where an end is infinite nothing is known:
    it may be NaN."""

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
        return Box(increasing(self.lo), increasing(self.hi)).unless(~np.isfinite(self.largest))

    def unless(self, unknown: np.ndarray) -> Box:
        """Without a bound where that is said."""
        return Box(np.where(unknown, -np.inf, self.lo), np.where(unknown, np.inf, self.hi))

    @classmethod
    def unknown(cls, *shape: int) -> Box:
        return cls(np.full(shape, -np.inf), np.full(shape, np.inf))


def product(a: Box, b: Box) -> Box:
    """Of independent factors, elementwise."""
    with np.errstate(invalid="ignore"):
        corners = np.stack([a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi])
    corners = np.where(np.isnan(corners), 0.0, corners)  # of 0 and infinity
    return Box(corners.min(0), corners.max(0))


def linear(x: Box, weight: np.ndarray, bias: np.ndarray | None, precision: Precision) -> Box:
    """weight (D, C) x + bias, summed in floating point in any order."""
    if not np.isfinite(x.largest).all():
        return Box.unknown(len(weight))
    middle, half = (x.lo + x.hi) / 2, (x.hi - x.lo) / 2
    bias = np.zeros(len(weight)) if bias is None else bias
    center, spread = weight @ middle + bias, np.abs(weight) @ half
    size = np.abs(weight) @ x.largest + np.abs(bias)
    # A factor that is taken for 0, being below the smallest normal number, costs the other one.
    factors = precision.least * (np.abs(weight).sum(1) + x.largest.sum())
    slack = precision.slack(weight.shape[1], size) + factors
    return Box(center - spread, center + spread).wider(slack).unless(precision.overflows(size))
