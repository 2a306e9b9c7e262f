"""Affine maps of a carry, scale * carry + offset, as tensors: what a run of steps does to the state
before it. The same arithmetic as csrc/math/complex.h's."""

from __future__ import annotations

import torch
from torch import Tensor


def product(x: Tensor, y: Tensor) -> Tensor:
    """x y, and 0 where either is exactly 0, though the other be infinite."""
    return torch.where((x == 0) | (y == 0), torch.zeros((), dtype=x.dtype, device=x.device), x * y)


def applied(scale: Tensor, offset: Tensor, carry: Tensor) -> Tensor:
    """What a map makes of a carry. A scale of 0 drops it, infinite or not; and a carry of 0 stays
    0, though the scale has overflowed."""
    return torch.where((scale == 0) | (carry == 0), offset, scale * carry + offset)


def total(scale: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The one map of many, (N, ...) each, of which the first comes first."""
    while len(scale) > 1:
        even = len(scale) // 2 * 2
        first, second = scale[0:even:2], scale[1:even:2]
        offsets = applied(second, offset[1:even:2], offset[0:even:2])
        # An odd one out waits for the next round.
        scale = torch.cat([product(second, first), scale[even:]])
        offset = torch.cat([offsets, offset[even:]])
    return scale[0], offset[0]
