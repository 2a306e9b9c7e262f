"""The MLP of the backbone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("glu", "gelu", "relu")


class MLP(torch.nn.Module):
    """W_2 dropout(f(W_1 x + b_1)) + b_2, with f a GLU of twice as many channels, GELU or ReLU."""

    def __init__(
        self, width: int, kind: str, expansion: int, dropout: float, device=None, dtype=None
    ) -> None:
        super().__init__()
        like = {"device": device, "dtype": dtype}
        self.kind = kind
        inner = expansion * width
        self.up = torch.nn.Linear(width, 2 * inner if kind == "glu" else inner, **like)
        self.down = torch.nn.Linear(inner, width, **like)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.up(x)
        if self.kind == "glu":
            inner = F.glu(inner)
        else:
            inner = F.gelu(inner) if self.kind == "gelu" else F.relu(inner)
        return self.down(self.dropout(inner))

    def extra_repr(self) -> str:
        return self.kind
