"""What a prediction knows of a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Gpu

#: Seconds from a load to its data on a busy device, as csrc/torch/device.cpp takes it.
LATENCY = 800e-9


@dataclass(frozen=True)
class Device:
    """A GPU: bytes a second of a copy, read plus written; multiprocessors; bytes of its L2 cache;
    and, where they are not those of the copy, bytes a second that its memory's clock allows, by
    which the kernels' plan knows it."""

    copy: float
    multiprocessors: int
    l2: int
    peak: float | None = None

    @property
    def plan(self) -> Gpu:
        """As csrc/cuda/plan.h takes it."""
        return Gpu(int((self.peak or self.copy) * LATENCY), self.multiprocessors, self.l2)

    @property
    def cached(self) -> int:
        """Bytes that are read a second time from L2: see model.py."""
        return self.l2 * 2 // 3


H100 = Device(copy=3.0e12, multiprocessors=132, l2=50 << 20)
