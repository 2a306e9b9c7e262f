"""torchlpc, whose first-order filter is the linear scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from .peer import Case, Passes, Peer, of_torch
from .problems import on_huge_pages


def _passes(case: Case) -> Mapping[str, Passes]:
    from torchlpc import recurrence

    B, T, C = case.dy.shape

    def rows(x: Tensor) -> Tensor:
        return on_huge_pages(x.transpose(1, 2)).view(B * C, T)

    def read(name: str, x: Tensor) -> Tensor:
        return x.view(B, C, T).transpose(1, 2)

    zero = torch.zeros(B * C)
    leaves = {name: rows(x) for name, x in case.inputs.items()}
    passes = of_torch(
        lambda a, b: recurrence.Recurrence.apply(a, b, zero), leaves, rows(case.dy), read
    )

    @contextmanager
    def scanning() -> Iterator[None]:
        """With the kernel that it keeps for fewer rows."""
        chosen = recurrence._cpu_recurrence
        recurrence._cpu_recurrence = recurrence.scan_cpu_runner
        try:
            yield
        finally:
            recurrence._cpu_recurrence = chosen

    def by_scan(run: Callable) -> Callable:
        def call():
            with scanning():
                return run()

        return call

    scan = Passes(passes.names, by_scan(passes.forward), by_scan(passes.train), read)
    return {"its kernel lpc": passes, "its kernel scan": scan}


PEERS = [
    Peer(
        "torchlpc",
        "linear_scan",
        "Recurrence, without sample_wise_lpc's negation, on its own layout, rows of time",
        _passes,
        ("torchlpc",),
        ("torchlpc",),
    )
]
