"""Copy bandwidth: the fastest copy of as many bytes as an operator must move, in the same process,
on the same threads and huge pages.

For every size there are four candidates, plain or non-temporal stores on one thread or on all, and
the fastest counts: plain stores win while the data stays in the last-level cache, one thread where
waking a second costs more than it brings.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lrnn_kernels.backends.build import toolchain
from lrnn_kernels.backends.build.cache import by_content
from lrnn_kernels.backends.build.libraries import Library, Unit

HUGE_PAGE = 2 << 20
HALF_PAGE = 2 << 10


def huge_empty(num_bytes: int) -> Tensor:
    """A uint8 tensor on huge pages, aligned to one and touched, so that no later access faults."""
    if hasattr(mmap, "MADV_HUGEPAGE"):  # shared memory, the default, gets no huge pages
        region = mmap.mmap(-1, num_bytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        region.madvise(mmap.MADV_HUGEPAGE)
    else:
        region = mmap.mmap(-1, num_bytes + HUGE_PAGE)
    whole = np.frombuffer(region, dtype=np.uint8)
    start = -whole.ctypes.data % HUGE_PAGE
    used = whole[start : start + num_bytes]
    used.fill(0)
    return torch.from_numpy(used)


class CopyBandwidth:
    """Copies between two buffers of its own; ``fastest(total)`` is the quickest way to move
    total bytes, read plus written."""

    def __init__(self, largest_total: int):
        half = largest_total // 2 + HUGE_PAGE
        # What is written begins in the middle of a page, as the operators' outputs do: at the
        # start, like what is read, a copy is slower.
        self.src, self.dst = huge_empty(half), huge_empty(half + HALF_PAGE)[HALF_PAGE:]
        _fill(self.src)
        self.library = _library()
        self.gomp = _gomp_parallel()
        self.how = (
            "copy in C++ on torch's threads"
            if self.library
            else "torch's copy_ (no C++ compiler was found)"
        )

    def copy(self, total: int, nontemporal: bool, threads: int) -> Callable[[], None]:
        """A function that reads total/2 bytes and writes them elsewhere."""
        num_bytes = total // 2
        if self.library is None:
            src, dst = self.src[:num_bytes], self.dst[:num_bytes]
            return lambda: dst.copy_(src)
        arguments = (
            self.dst.data_ptr(),
            self.src.data_ptr(),
            num_bytes,
            int(nontemporal),
            threads,
            self.gomp,
        )
        return lambda: self.library.lrnn_copy(*arguments)

    def candidates(self, total: int, threads: int) -> dict[tuple[str, int], Callable[[], None]]:
        """Copies by their case (see ``results.CASES``) and their number of threads."""
        if self.library is None:
            return {("torch copy", threads): self.copy(total, False, threads)}
        kinds = {"plain copy": False, "non-temporal copy": True}
        counts = (
            {1, threads} if total < (8 << 20) else {threads}
        )  # more threads never lose on large sizes
        return {
            (kind, n): self.copy(total, nt, n) for kind, nt in kinds.items() for n in sorted(counts)
        }

    def streams(
        self, reads: int, writes: int, num_bytes: int, threads: int
    ) -> Callable[[], None] | None:
        """A function that reads and writes so many streams of so many bytes each, and does no more;
        None where it cannot be had.

        It tells what part of the distance to the copy is the memory's own: several streams are not
        moved as fast as two.
        """
        if self.library is None or (threads > 1 and self.gomp is None):
            return None
        stride = -(-num_bytes // HUGE_PAGE) * HUGE_PAGE
        sources = [self.src.data_ptr() + i * stride for i in range(reads)]
        targets = [self.dst.data_ptr() + i * stride for i in range(writes)]
        if (reads * stride > self.src.numel()) or (writes * stride > self.dst.numel()):
            return None
        pointers = ((ctypes.c_void_p * reads)(*sources), (ctypes.c_void_p * writes)(*targets))
        call = self.library.lrnn_move_streams
        if not call(pointers[0], reads, pointers[1], writes, 0, 1, None):
            return None
        return lambda: call(
            pointers[0], reads, pointers[1], writes, num_bytes // 4, threads, self.gomp
        )


def _fill(buffer: Tensor) -> None:
    """Normal float32 values: some processors copy zeros faster than anything
    else, and no operator reads only zeros."""
    piece = torch.randn(HUGE_PAGE // 4, generator=torch.Generator().manual_seed(0)).view(
        torch.uint8
    )
    for part in buffer.split(HUGE_PAGE):
        part.copy_(piece[: part.numel()])


def _library() -> ctypes.CDLL | None:
    compiler = toolchain.find_compiler()
    if compiler is None:
        return None
    # -march=native: the binary is good for this processor only, whose features therefore name it.
    flags = ("-std=c++17", "-O3", "-march=native", "-fPIC", f"-DLRNN_HOST={toolchain.host_isa()}")
    unit = Unit("benchmarks", "copy_bandwidth.cpp", flags, "copy_bandwidth")
    library = ctypes.CDLL(
        str(
            by_content(
                Library(
                    "copy-bandwidth",
                    compiler,
                    (unit,),
                    ("-pthread",),
                    {"benchmarks": Path(__file__).parent},
                )
            )
        )
    )
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.lrnn_copy.argtypes = [pointer, pointer, size, ctypes.c_int, ctypes.c_int, pointer]
    library.lrnn_copy.restype = None
    library.lrnn_move_streams.argtypes = [
        pointer,
        ctypes.c_int,
        pointer,
        ctypes.c_int,
        size,
        ctypes.c_int,
        pointer,
    ]
    return library


def _gomp_parallel() -> int | None:
    """The address of GOMP_parallel in the OpenMP runtime that is already loaded, torch's; None
    if it has another runtime."""
    try:
        paths = {
            line.split()[-1]
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "libgomp" in line
        }
    except OSError:
        return None
    torch_lib = str(Path(torch.__file__).parent)
    for path in sorted(paths, key=lambda p: torch_lib not in p):
        try:
            return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, ctypes.c_void_p).value
        except (OSError, AttributeError):
            continue
    return None
