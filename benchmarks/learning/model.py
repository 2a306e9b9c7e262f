"""The backbone around a cell: pre-norm residual blocks of a recurrent layer and an MLP."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lrnn_kernels import nn as rnn


def _min_gru(D: int) -> nn.Module:
    """Gates that start between half and nearly closed, so that memories of all lengths exist; as shipped they halve at every step."""
    layer = rnn.MinGRU(D, D, batch_first=True)
    nn.init.uniform_(layer.bias_ih_l0[:D], -5.0, 0.0)
    return layer


#: Name in tables -> a layer of width D, set up for long memory where the layer's defaults are not.
CELLS: dict[str, Callable[[int], nn.Module]] = {
    "BMRU": lambda D: rnn.BMRU(D, D, batch_first=True),
    "CMRU": lambda D: rnn.CMRU(D, D, batch_first=True),
    "LRU": lambda D: rnn.LRU(D, D, batch_first=True, r_min=0.9, r_max=0.999),
    "minGRU": _min_gru,
}


class MLP(nn.Sequential):
    def __init__(self, D: int, expansion: int, dropout: float):
        super().__init__(nn.Linear(D, expansion * D), nn.GELU(), nn.Dropout(dropout), nn.Linear(expansion * D, D))


class Block(nn.Module):
    """x = rho1 x + gated cell(norm(x)); x = rho2 x + MLP(norm(x)). The gate starts almost open, at sigmoid(4)."""

    def __init__(self, cell: nn.Module, D: int, expansion: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.cell = cell
        self.gate = nn.Linear(D, D)
        nn.init.constant_(self.gate.bias, 4.0)
        self.dropout = nn.Dropout(dropout)
        self.mlp = MLP(D, expansion, dropout)
        self.rho1, self.rho2 = nn.Parameter(torch.ones(D)), nn.Parameter(torch.ones(D))

    def forward(self, x: Tensor) -> Tensor:  # [B, T, D]
        u = self.norm1(x)
        r, _ = self.cell(u)
        x = self.rho1 * x + self.dropout(torch.sigmoid(self.gate(u)) * r)
        return self.rho2 * x + self.mlp(self.norm2(x))


class Classifier(nn.Module):
    """Embedding, blocks, and logits from the last step or from the mean over steps."""

    def __init__(
        self,
        cell: str,
        *,
        inputs: int,
        classes: int,
        width: int,
        depth: int = 2,
        expansion: int = 2,
        dropout: float = 0.1,
        readout: str = "mean",
    ):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.first, self.last = MLP(width, expansion, dropout), MLP(width, expansion, dropout)
        self.blocks = nn.Sequential(*(Block(CELLS[cell](width), width, expansion, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)  # a staircase has no scale of its own: without it the first logits are in the tens
        self.head = nn.Linear(width, classes)
        self.readout = readout

    def forward(self, x: Tensor) -> Tensor:  # [B, T, inputs] -> [B, classes]
        x = self.embed(x)
        x = self.blocks(x + self.first(x))
        x = self.norm(x.mean(1) if self.readout == "mean" else x[:, -1])
        return self.head(x + self.last(x))
