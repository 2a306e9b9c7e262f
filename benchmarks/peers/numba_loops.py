"""Loops by hand in numba, forward and backward: see ``benchmarks/cpu/peers.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..cpu import peers
from ..measure.traffic import OPS, Calls
from .peer import Case, Passes, Peer

HOW = (
    "loops by hand, rows of contiguous channels in address order, batch elements in parallel, "
    "fast-math, outputs allocated beforehand on huge pages"
)


def _passes(operator: str) -> Callable[[Case], Mapping[str, Passes]]:
    op = OPS[operator]

    def make(case: Case) -> Mapping[str, Passes]:
        given = list(case.inputs.values())
        streams = len(op.row.inputs)
        calls = Calls(op, given[:streams], given[streams:], case.dy)
        loops = peers.PEERS[operator](calls)
        threads = min(case.threads, peers.numba.config.NUMBA_NUM_THREADS)

        def forward() -> tuple:
            peers.numba.set_num_threads(threads)
            return (loops["forward"](),)

        def train() -> tuple:
            return (*forward(), *loops["backward"]())

        return {"": Passes(("y", *case.inputs), forward, train, lambda _, x: torch.from_numpy(x))}

    return make


PEERS = [
    Peer("numba, by hand", operator, HOW, _passes(operator), ("numba",), ("numba",))
    for operator in ("linear_scan", "bmru", "src full")
]
