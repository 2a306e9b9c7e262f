"""The parts of ``DICsNet``: residual pairs, post-norm attention, a pool with a learned query."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

#: Of the published network.
WIDTH, HEADS, LATENT = 64, 8, 16


class Pair(torch.nn.Module):
    """Linear, GELU, dropout, linear; of one width."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = torch.nn.Linear(width, width)
        self.second = torch.nn.Linear(width, width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.dropout(F.gelu(self.first(x))))


class Residual(torch.nn.Module):
    """LayerNorm(x + dropout(GELU(pair(x))))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.pair = Pair(width, dropout)
        self.norm = torch.nn.LayerNorm(width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.dropout(F.gelu(self.pair(x))))


class Encoder(torch.nn.Module):
    """Attention, residual, LayerNorm; then ``Residual``. x (B, L, width), bias (B, 1, 1, L)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = torch.nn.Linear(width, 3 * width)
        self.out = torch.nn.Linear(width, width)
        self.norm = torch.nn.LayerNorm(width)
        self.dropout = torch.nn.Dropout(dropout)
        self.feed_forward = Residual(width, dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        B, L, width = x.shape
        parts = self.query_key_value(x).view(B, L, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = self.norm(x + self.dropout(self.out(seen.transpose(1, 2).reshape(B, L, width))))
        return self.feed_forward(x)


class Pool(torch.nn.Module):
    """The sum of x (B, L, width), weighed by how its keys match a learned query; (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = torch.nn.Parameter(torch.randn(width))
        self.key = torch.nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.key(x) @ self.query / math.sqrt(len(self.query))
        weights = scores.masked_fill(~mask, -torch.inf).softmax(1)
        return (weights[:, None] @ x)[:, 0]


def positions(L: int, width: int, like: Tensor) -> Tensor:
    """(L, width): sines in even columns, cosines in odd ones, of periods from 2 pi to 2e4 pi."""
    places = torch.arange(L, dtype=torch.float32, device=like.device)[:, None]
    columns = torch.arange(0, width, 2, dtype=torch.float32, device=like.device)
    angles = places * torch.exp(columns * (-math.log(10000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1).to(like.dtype)
