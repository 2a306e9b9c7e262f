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


def jax_is_here() -> bool:
    return importlib.util.find_spec("jax") is not None


def by_jax(calls: Calls) -> tuple[Callable[[], object], Callable[[object], object]]:
    """JAX's forward pass of a linear scan, compiled, on the same numbers; and how to wait for its
    result. Raises RuntimeError where JAX does not know the device."""
    import jax

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    @jax.jit
    def scan(a, b):
        return jax.lax.associative_scan(combine, (a, b), axis=1)[1]

    a, b = (jax.dlpack.from_dlpack(x) for x in calls.streams)
    if jax.devices()[0].platform != a.device.platform:
        raise RuntimeError(f"JAX computes on {jax.devices()[0]}, the numbers are on {a.device}")
    return lambda: scan(a, b), jax.block_until_ready


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
