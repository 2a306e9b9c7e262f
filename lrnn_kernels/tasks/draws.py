"""Random draws that are the same bits on every machine: integers from a generator on the CPU, and
what follows from them by exact arithmetic.

``torch.randn`` is not: its logarithms and cosines differ with the instruction set.
"""

from __future__ import annotations

import functools
import random

import torch
from torch import Tensor

#: The quantile function of N(0,1) is linear between this many points of equal probability ...
INTERVALS = 2**16
#: ... and ends here: so the variance is 1 within 3e-6 and the fourth moment 3 within 2e-6.
LARGEST = 4.6
_BITS = 15  # of the 31 bits of a draw, 16 say which interval, these where in it
_GRID = 2**20  # the points are multiples of 2^-20: exact in float32, the same wherever computed


def integers(high: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform over 0 ... high - 1, int64."""
    return torch.randint(high, shape, generator=generator)


def distinct(high: int, count: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """``count`` different integers of 0 ... high - 1 for each of B sequences, in random order,
    (B,count), int64."""
    order = integers(2**62, (batch_size, high), generator).argsort(dim=1, stable=True)
    return order[:, :count]


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """N(0,1), float32, up to +-4.6, by interpolation in a table of quantiles: the distribution
    function is right within 2e-6."""
    draw = torch.randint(INTERVALS << _BITS, shape, generator=generator, dtype=torch.int32)
    points, rises = _quantiles()
    interval = draw >> _BITS
    # Two operations and two roundings: a fused multiply-add is not on every machine.
    rise = (draw & ((1 << _BITS) - 1)).float().mul_(rises[interval])
    return rise.add_(points[interval])


@functools.cache
def _quantiles() -> tuple[Tensor, Tensor]:
    """The points, and by how much the function rises from each to the next, per unit of the bits
    below."""
    p = torch.arange(INTERVALS + 1, dtype=torch.float64) / INTERVALS
    points = torch.special.ndtri(p).clamp(-LARGEST, LARGEST)
    points = ((points * _GRID).round() / _GRID).float()
    return points, points.diff() * 2**-_BITS


def python(generator: torch.Generator) -> random.Random:
    """Python's generator, for what is drawn number by number, seeded by the next draw of torch's.
    Only its ``random()`` is promised to stay the same between versions."""
    return random.Random(int(integers(2**62, (1,), generator)))


def below(high: int, rng: random.Random) -> int:
    """Uniform over 0 ... high - 1."""
    return int(rng.random() * high)
