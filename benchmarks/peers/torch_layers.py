"""torch.nn.GRU and torch.nn.LSTM: beside ours of the same weights, and, since they are what one
would take otherwise, beside layers of the same size that remember in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .peer import Case, Passes, Peer, Tensors, of_layer
from .problems import PROBLEMS, parameters

Make = Callable[[Case], Mapping[str, Passes]]


def _passes(name: str, state: Callable[[Case, torch.nn.Module], Tensors]) -> Make:
    """Batch first and time first, the order that it has inside."""

    def make(case: Case) -> Mapping[str, Passes]:
        x, C = case.inputs["x"], case.dy.shape[-1]
        found = {}
        for batch_first in (True, False):
            layer = getattr(torch.nn, name)(x.shape[-1], C, batch_first=batch_first)
            layer.load_state_dict(state(case, layer))

            def place(x: Tensor, batch_first: bool = batch_first) -> Tensor:
                return x if batch_first else x.transpose(0, 1).contiguous()

            def read(name: str, x: Tensor, batch_first: bool = batch_first) -> Tensor:
                return x if batch_first or x.dim() < 3 else x.transpose(0, 1)

            def y(x: Tensor, layer: torch.nn.Module = layer) -> Tensor:
                return layer(x)[0]

            settings = f"batch_first={batch_first}"
            found[settings] = of_layer(layer, y, place(x), place(case.dy), read)
        return found

    return make


def _twin(name: str) -> Peer:
    return Peer(
        f"torch.nn.{name}",
        f"nn.{name}",
        "the same weights",
        _passes(name, lambda case, layer: parameters(case)),
        ("torch",),
    )


def _other(name: str, beside: str) -> Peer:
    """Held to our layer of that name, of its own weights."""

    def case_of(case: Case) -> Case:
        given, _ = PROBLEMS[f"nn.{name}"].draw(tuple(case.dy.shape))
        return Case({**given, "x": case.inputs["x"]}, case.dy, case.threads)

    return Peer(
        f"torch.nn.{name}",
        f"nn.{beside}",
        f"{name} of as many units and inputs",
        _passes(name, lambda case, layer: parameters(case_of(case))),
        ("torch",),
        expected=lambda case: PROBLEMS[f"nn.{name}"].expected(case_of(case)),
    )


PEERS = [
    *(_twin(name) for name in ("GRU", "LSTM")),
    *(_other(name, beside) for beside in ("CMRU", "NBRC") for name in ("GRU", "LSTM")),
]
