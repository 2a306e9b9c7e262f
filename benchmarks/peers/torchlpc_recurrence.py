"""torchlpc, whose first-order filter is the linear scan."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .peer import Case, Passes, Peer, of_torch
from .problems import on_huge_pages


def _passes(case: Case) -> Mapping[str, Passes]:
    from torchlpc.recurrence import Recurrence

    B, T, C = case.dy.shape

    def rows(x: Tensor) -> Tensor:
        return on_huge_pages(x.transpose(1, 2)).view(B * C, T)

    def read(name: str, x: Tensor) -> Tensor:
        return x.view(B, C, T).transpose(1, 2)

    zero = torch.zeros(B * C)
    leaves = {name: rows(x) for name, x in case.inputs.items()}
    scan = of_torch(lambda a, b: Recurrence.apply(a, b, zero), leaves, rows(case.dy), read)
    return {"": scan}


PEERS = [
    Peer(
        "torchlpc",
        "linear_scan",
        "Recurrence, without sample_wise_lpc's negation, on its own layout, rows of time, by the "
        "kernel that it chooses for so many rows (its other one, scan, crashes on them)",
        _passes,
        ("torchlpc",),
        ("torchlpc",),
    )
]
