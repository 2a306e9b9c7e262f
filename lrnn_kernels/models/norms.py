"""What a block's input is brought to scale by."""

from __future__ import annotations

import torch
from torch import Tensor

NORMS = ("layer", "batch")


class BatchNorm(torch.nn.BatchNorm1d):
    """torch's, of the last axis: over sequences and steps alike."""

    def forward(self, x: Tensor) -> Tensor:  # (B,T,D)
        return super().forward(x.flatten(0, -2)).view_as(x)


def build(kind: str, channels: int, device=None, dtype=None) -> torch.nn.Module:
    norm = BatchNorm if kind == "batch" else torch.nn.LayerNorm
    return norm(channels, device=device, dtype=dtype)
