"""Chrono initialization: gates that start out keeping for as long as a task's dependences are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from .. import nn as layers
from ..nn import Parallel, Stack
from ..options import number
from . import chance

#: By the kind of layer, which blocks of its bias open or close its memory: 1 where the gate keeps
#: what was, -1 where it writes what is new. Where one gate does both, there is one block.
_GATES: tuple[tuple[tuple[type, ...], dict[int, int]], ...] = (
    ((layers.LSTM, torch.nn.LSTM), {0: -1, 1: 1}),
    ((layers.GRU, torch.nn.GRU), {1: 1}),
    ((layers.MGU, layers.MinGRU), {0: -1}),
)


@torch.no_grad()
def chrono_(net: nn.Module, T_max: float, *, generator: torch.Generator | None = None) -> nn.Module:
    """Chrono initialization (Tallec and Ollivier 2018), in place; returns net.

        b_forget = log U,  b_input = -b_forget,  U uniform in [1, T_max - 1], for every unit

    so that at the start a unit keeps its state for U steps. A cell whose one gate both keeps and
    writes gets log U where the gate keeps (a GRU's z), -log U where it writes (an MGU's f, a
    minGRU's z). Of two biases that are added the other is set to 0 there. All else stays.

    Args:
        net: nn.LSTM, GRU, MGU or MinGRU, torch.nn.LSTM or GRU, with biases, or a Stack or Parallel
            of them; any number of layers and directions.
        T_max: the longest dependence, in steps, at least 2.
        generator: what draws, torch's own if None.

    Raises TypeError for any other layer, before anything is changed; ValueError for one without
    biases.
    """
    high = number("T_max", T_max, 2.0, math.inf) - 1
    chance.check(generator)
    for layer, gates in list(_layers(net, "net")):
        H = layer.hidden_size
        for end in _suffixes(layer):
            kept = (1 + (high - 1) * chance.uniform(H, generator)).log()
            for block, sign in gates.items():
                rows = slice(block * H, (block + 1) * H)
                getattr(layer, "bias_ih" + end)[rows] = sign * kept
                if hasattr(layer, "bias_hh" + end):
                    getattr(layer, "bias_hh" + end)[rows] = 0
    return net


def _layers(layer: object, name: str) -> Iterator[tuple[nn.Module, dict[int, int]]]:
    """All recurrent layers, checked, with their gates."""
    if isinstance(layer, Stack | Parallel):
        for i, member in enumerate(layer.layers):
            yield from _layers(member, f"{name}.layers.{i}")
        return
    gates = next((gates for kinds, gates in _GATES if isinstance(layer, kinds)), None)
    if gates is None:
        raise TypeError(
            f"{name} must be an LSTM, GRU, MGU or MinGRU, torch's or lrnn_kernels.nn's, for others "
            f"have no chrono initialization, got {type(layer).__name__}"
        )
    if not layer.bias:
        raise ValueError(f"{name} must have biases, got {type(layer).__name__} with bias=False")
    yield layer, gates


def _suffixes(layer: nn.Module) -> list[str]:
    ends = ["", "_reverse"] if layer.bidirectional else [""]
    return [f"_l{k}{end}" for k in range(layer.num_layers) for end in ends]
