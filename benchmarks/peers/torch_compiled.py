"""torch's own scan, and several steps at a time, under torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lrnn_kernels.cell import Cell

from ..cpu import model_peers
from ..measure.traffic import OPS
from .peer import Case, Passes, Peer, of_torch


def _associative(case: Case) -> Mapping[str, Passes]:
    torch.compiler.reset()
    scan = torch.compile(
        lambda a, b: model_peers.associative(a, b, None),
        backend=model_peers.COMPILER,
        dynamic=False,
    )
    return {"": of_torch(scan, case.inputs, case.dy)}


def _steps(row: Cell, options: Mapping[str, object]) -> Callable[[Case], Mapping[str, Passes]]:
    streams = len(row.inputs)

    def make(case: Case) -> Mapping[str, Passes]:
        torch.compiler.reset()
        scan = model_peers.compiled_steps(row)

        def y(**given: Tensor) -> Tensor:
            values = list(given.values())
            return scan(values[:streams], values[streams:], options, None)[0]

        return {"": of_torch(y, case.inputs, case.dy)}

    return make


def _of_steps(operator: str) -> Peer:
    op = OPS[operator]
    return Peer(
        f"torch.compile of {model_peers.STEPS} steps",
        operator,
        "the step in plain torch, so many in a graph, and a loop of these",
        _steps(op.row, op.all_options),
        ("torch",),
    )


PEERS = [
    Peer(
        "torch.associative_scan, compiled",
        "linear_scan",
        'combine_mode "generic", on (B,T,C), one graph with its backward pass',
        _associative,
        ("torch",),
    ),
    *(_of_steps(operator) for operator in ("linear_scan", "bmru", "brc", "src full")),
]
