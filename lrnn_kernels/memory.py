"""Control of the output pool, which keeps large CPU outputs mapped between calls instead of
returning them to the system.

A training step with 32 MiB activations spends most of its time on page faults without it. Blocks of
1 MiB and more are kept up to a limit: an eighth of the machine's memory, or ``LRNN_POOL_MB`` MiB; 0
switches the pool off.

At the end of memory an operator first gives back all that the pool keeps and runs once more; where
that does not do, it raises what torch raises: a RuntimeError whose message holds
"DefaultCPUAllocator: can't allocate memory", by which training loops know it, and says what was
asked for, in use and cached. Nothing is lost by it. Torch's own operators do not know the pool:
before they need all of the machine's memory, call ``empty_cache``.

A tensor of the pool is one like others, but torch makes no storage over memory that it has not
allocated resizable. What replaces the memory under a tensor, ``y.untyped_storage().resize_(0)`` to
free it early or ``y.resize_`` to enlarge it, raises "Trying to resize storage that is not
resizable" and changes nothing. Where a program does that, ``set_limit(0)`` or LRNN_POOL_MB=0 makes
all outputs torch's own, and ``y.clone()`` one of them.

In a child of fork() whose parent had used threads, operators run on one thread: the threads of
torch's pool are not inherited, and who waits for them, as torch's own operators do there, waits for
ever. ``torch.set_num_threads(1)`` in the child helps those; processes started by "spawn" or
"forkserver" need nothing.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .backends import cpu

_MOST_BYTES = 2**63 - 1


@dataclass(frozen=True)
class PoolStats:
    """Bytes: in living tensors, cached for reuse, the limit of the cache, and mapped since the
    start (which only grows)."""

    in_use: int
    cached: int
    limit: int
    mapped_total: int


def _library() -> ctypes.CDLL:
    found = cpu.extension()
    if found.library is None:
        raise RuntimeError(
            "the output pool is part of the compiled kernels, which are not available: "
            f"{found.reason}"
        )
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
    """Sets how many bytes may stay cached, from 0, which switches the pool off, to 2^63 - 1;
    raises TypeError and ValueError otherwise."""
    try:
        if isinstance(num_bytes, bool):
            raise TypeError
        value = operator.index(num_bytes)
    except TypeError:
        raise TypeError(f"num_bytes must be an integer, got {type(num_bytes).__name__}") from None
    if value < 0:
        raise ValueError(f"num_bytes must be at least 0, got {value}")
    if value > _MOST_BYTES:
        raise ValueError(f"num_bytes must be at most {_MOST_BYTES}, got {value}")
    _library().lrnn_pool_set_limit(value)


@contextmanager
def poisoned() -> Iterator[None]:
    """Within the block, every output buffer starts as NaN: an element that no kernel wrote
    shows. For tests."""
    _library().lrnn_pool_poison(1)
    try:
        yield
    finally:
        _library().lrnn_pool_poison(0)
