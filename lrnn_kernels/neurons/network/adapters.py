"""Low-rank adapters: what is trained where a network is adapted to another neuron."""

from __future__ import annotations

import torch
from torch import Tensor

from . import blocks


class Adapter(torch.nn.Module):
    """base(x) + up down x / rank, with both factors standard-normal and no bias."""

    def __init__(self, base: torch.nn.Module, rank: int) -> None:
        super().__init__()
        ends = (base.first, base.second) if isinstance(base, blocks.Pair) else (base, base)
        like = ends[0].weight
        self.base, self.rank = base, rank
        self.down = torch.nn.Parameter(_drawn(like, rank, ends[0].in_features))
        self.up = torch.nn.Parameter(_drawn(like, ends[1].out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.down.T) @ self.up.T / self.rank


def _drawn(like: Tensor, rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, dtype=like.dtype, device=like.device)


def rank_of(net: torch.nn.Module) -> int:
    """The rank of a network's adapters; 0 without."""
    return next((part.rank for part in net.modules() if isinstance(part, Adapter)), 0)


def adapt(net: torch.nn.Module, rank: int) -> None:
    """Adapters around each pair and each linear that is neither in a pair nor of attention."""
    if rank_of(net):
        raise ValueError("rank is of a network's first adapters: it has some already")
    net.requires_grad_(False)
    for parent in list(net.modules()):
        if isinstance(parent, (blocks.Pair, blocks.Encoder)):
            continue
        for name, part in list(parent.named_children()):
            if isinstance(part, (blocks.Pair, torch.nn.Linear)):
                setattr(parent, name, Adapter(part, rank))
