"""States between their users, who hold a tensor for each state of a cell, and scans, which store
all of them side by side."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .checks import State


def store(h: State, count: int) -> Tensor:
    """A user's count states, one tensor each, as one with the channels last."""
    return h if count == 1 else torch.cat(h, -1)


def load(stored: list[Tensor], join: Callable[[list[Tensor]], Tensor], count: int) -> State:
    """The inverse, of all layers and directions at once; join: torch.stack, or torch.cat without a
    batch.

    Gives contiguous tensors that are no views, and nobody else's: users may change them in place.
    """
    if count == 1:
        return join(stored)
    kinds = zip(*(h.chunk(count, -1) for h in stored), strict=True)
    # One kind behind the other; nobody has what they are chunks of.
    return torch.unsafe_chunk(join([part for kind in kinds for part in kind]), count)
