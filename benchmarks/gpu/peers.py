"""Peers on a GPU, as far as they are installed: what else computes a linear scan from torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch

from ..measure.traffic import Calls, Op


def serves(op: Op) -> bool:
    """Whether the peers compute an operator: they know the linear scan alone."""
    return op.kernel.name == op.kernel.linear


def of(op: Op, calls: Calls) -> dict[str, Callable[[], object]]:
    """Forward passes by their case (see ``results.CASES``)."""
    if not serves(op) or not torch.cuda.is_available():
        return {}
    return {**_associative_scan(calls), **_accelerated_scan(calls)}


def _associative_scan(calls: Calls) -> dict[str, Callable[[], object]]:
    """torch's own, compiled."""
    try:
        from torch._higher_order_ops.associative_scan import associative_scan
    except ImportError:
        return {}

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    @torch.compile
    def scan(a, b):
        return associative_scan(combine, (a, b), dim=1, combine_mode="pointwise")[1]

    a, b = calls.streams
    scan(a, b)  # compiles, outside of any capture
    return {"torch.associative_scan, compiled": lambda: scan(a, b)}


def _accelerated_scan(calls: Calls) -> dict[str, Callable[[], object]]:
    """The package of that name, in its own layout (B,C,T) and with T a power of two."""
    if importlib.util.find_spec("accelerated_scan") is None:
        return {}
    from accelerated_scan.warp import scan

    a, b = (x.transpose(1, 2).contiguous() for x in calls.streams)
    return {"accelerated-scan, (B,C,T)": lambda: scan(a, b)}
