"""Control of the output pool, which keeps large CPU outputs mapped between calls instead of returning them to the system.

A training step with 32 MiB activations spends most of its time on page faults without it. Blocks of 1 MiB and more are kept
up to a limit: an eighth of the machine's memory, or ``LRNN_POOL_MB`` MiB; 0 switches the pool off.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from dataclasses import dataclass

from . import extension


@dataclass(frozen=True)
class PoolStats:
    """Bytes: in living tensors, cached for reuse, the limit of the cache, and mapped since the start (which only grows)."""

    in_use: int
    cached: int
    limit: int
    mapped_total: int


def _library() -> ctypes.CDLL:
    found = extension.extension()
    if found.library is None:
        raise RuntimeError(f"the output pool is part of the compiled kernels, which are not available: {found.reason}")
    return found.library


def stats() -> PoolStats:
    """The pool's present state."""
    numbers = (ctypes.c_int64 * 4)()
    _library().lrnn_pool_stats(numbers)
    return PoolStats(*numbers)


def empty_cache() -> None:
    """Returns all cached blocks to the system, as ``torch.cuda.empty_cache`` does on a GPU."""
    _library().lrnn_pool_empty()


def set_limit(num_bytes: int) -> None:
    """Sets how many bytes may stay cached; 0 switches the pool off."""
    if num_bytes < 0:
        raise ValueError(f"num_bytes must be at least 0, got {num_bytes}")
    _library().lrnn_pool_set_limit(num_bytes)


@contextmanager
def poisoned():
    """Within the block, every output buffer starts as NaN: an element that no kernel wrote shows. For tests."""
    _library().lrnn_pool_poison(1)
    try:
        yield
    finally:
        _library().lrnn_pool_poison(0)
