"""Linear scans that others wrote in plain torch operations, each in its own layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from .peer import Case, Passes, Peer, of_torch
from .problems import on_huge_pages

Layout = tuple[Callable[[Tensor], Tensor], Callable[[str, Tensor], Tensor]]


def _as_ours(case: Case) -> Layout:
    return lambda x: x, lambda name, x: x


def _time_last(case: Case) -> Layout:
    return lambda x: on_huge_pages(x.transpose(1, 2)), lambda name, x: x.transpose(1, 2)


def _passes(case: Case, layout: Layout, y: Callable[[Tensor, Tensor], Tensor]) -> Passes:
    place, read = layout
    leaves = {name: place(x) for name, x in case.inputs.items()}
    return of_torch(y, leaves, place(case.dy), read)


def _accelerated_scan(case: Case) -> Mapping[str, Passes]:
    from accelerated_scan.ref import scan

    return {"": _passes(case, _time_last(case), lambda a, b: scan(a, b))}


def _assoc_scan(case: Case) -> Mapping[str, Passes]:
    from assoc_scan import AssocScan

    scan = AssocScan()
    return {"": _passes(case, _as_ours(case), lambda a, b: scan(a, b))}


def _mambapy(case: Case) -> Mapping[str, Passes]:
    from mambapy.pscan import pscan

    def split(at: int, name: str) -> tuple[str, Passes]:
        def y(a: Tensor, b: Tensor) -> Tensor:
            return pscan(a.unsqueeze(at), b.unsqueeze(at)).squeeze(at)

        return name, _passes(case, _as_ours(case), y)

    return dict([split(2, "channels as its N"), split(3, "channels as its D")])


def _mingru(case: Case) -> Mapping[str, Passes]:
    from mingru import linear_scan

    return {"": _passes(case, _as_ours(case), lambda a, b: linear_scan(a, b)[1])}


PEERS = [
    Peer(
        "accelerated-scan, reference",
        "linear_scan",
        "accelerated_scan.ref.scan on (B,C,T); its kernels are for GPUs alone",
        _accelerated_scan,
        ("accelerated-scan",),
        ("accelerated_scan.ref",),
    ),
    Peer(
        "assoc-scan",
        "linear_scan",
        "AssocScan() on (B,T,C), the tree of jax's associative_scan in torch",
        _assoc_scan,
        ("assoc-scan",),
        ("assoc_scan",),
    ),
    Peer(
        "mambapy pscan",
        "linear_scan",
        "mambapy.pscan.pscan on (B,T,D,N), Blelloch's scan with a backward pass of its own",
        _mambapy,
        ("mambapy",),
        ("mambapy.pscan",),
    ),
    Peer(
        "mingru-scans",
        "linear_scan",
        "mingru.linear_scan on (B,T,C), Hillis and Steele's scan",
        _mingru,
        ("mingru-scans",),
        ("mingru",),
    ),
]
