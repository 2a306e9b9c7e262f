"""The backbone around a cell: pre-norm residual blocks of a recurrent layer and an MLP.

Departures from the papers' backbone, each since the run is a hundred times shorter than theirs:
    BatchNorm for LayerNorm: what tells two sequences apart is small beside what all of them share,
    above all in a mean over steps. Cells of both directions: the BMRU cannot count, so what it
    knows of a position is what it has seen, or has yet to see. A norm on the states, before W_o: a
    staircase has no scale of its own. Gates start half open, not at sigmoid(4), MLPs are D wide,
    not 4 D, and ReLU: faster per step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lrnn_kernels import nn as rnn


def _hysteresis(layer: type[nn.Module]) -> Callable[[int, int], nn.Module]:
    """Surrogates three times as wide as the default, so that a short run moves thresholds, and
    thresholds that start anywhere in (0,3).

    At b_beta = 1 for all, every unit starts with a memory of a few steps; at 3 a normal candidate
    rarely writes.
    """

    def make(D: int, H: int) -> nn.Module:
        cell = layer(D, H, batch_first=True, bidirectional=True, width=0.3)
        for bias in (cell.bias_ih_l0, cell.bias_ih_l0_reverse):
            nn.init.uniform_(bias[H:], 0.0, 3.0)
        return cell

    return make


def _min_gru(D: int, H: int) -> nn.Module:
    """Gates that start between half and nearly closed, so that memories of all lengths exist; as
    shipped they halve at every step."""
    layer = rnn.MinGRU(D, H, batch_first=True, bidirectional=True)
    for bias in (layer.bias_ih_l0, layer.bias_ih_l0_reverse):
        nn.init.uniform_(bias[:H], -5.0, 0.0)
    return layer


def _lru(D: int, H: int) -> nn.Module:
    return rnn.LRU(D, H, batch_first=True, bidirectional=True, r_min=0.9, r_max=0.999)


#: Name in tables -> a layer from width D to H states in either direction, set up for long memory
#: where the layer's defaults are not.
CELLS: dict[str, Callable[[int, int], nn.Module]] = {
    "BMRU": _hysteresis(rnn.BMRU),
    "CMRU": _hysteresis(rnn.CMRU),
    "LRU": _lru,
    "minGRU": _min_gru,
}


class Norm(nn.BatchNorm1d):
    """BatchNorm over all axes but the last."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


class MLP(nn.Sequential):
    def __init__(self, D: int):
        super().__init__(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, D))


class Block(nn.Module):
    """x = rho1 x + gated W_o norm(cell(norm(x))); x = rho2 x + MLP(norm(x))."""

    def __init__(self, cell: str, D: int, states: int):
        super().__init__()
        self.norm1, self.norm2, self.norm_states = Norm(D), Norm(D), Norm(states)
        self.cell = CELLS[cell](D, states // 2)
        self.out = nn.Linear(states, D)
        self.gate = nn.Linear(D, D)
        nn.init.zeros_(self.gate.bias)
        self.mlp = MLP(D)
        self.rho1, self.rho2 = nn.Parameter(torch.ones(D)), nn.Parameter(torch.ones(D))

    def forward(self, x: Tensor) -> Tensor:  # [B, T, D]
        u = self.norm1(x)
        r = self.out(self.norm_states(self.cell(u)[0]))
        x = self.rho1 * x + torch.sigmoid(self.gate(u)) * r
        return self.rho2 * x + self.mlp(self.norm2(x))


class Classifier(nn.Module):
    """Embedding, blocks, and logits from the mean over steps, so that every step of a cell
    receives a gradient."""

    def __init__(
        self, cell: str, *, inputs: int, classes: int, width: int, states: int, depth: int = 2
    ):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.first, self.last = MLP(width), MLP(width)
        self.blocks = nn.Sequential(*(Block(cell, width, states) for _ in range(depth)))
        self.norm = Norm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # [B, T, inputs] -> [B, classes]
        x = self.embed(x)
        x = self.norm(self.blocks(x + self.first(x)).mean(1))
        return self.head(x + self.last(x))
