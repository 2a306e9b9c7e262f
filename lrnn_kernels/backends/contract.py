"""What every backend's module offers: ``choose`` and ``explain`` ask nothing else of cpu, cuda
and triton."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..cell import Kernel


@dataclass(frozen=True)
class Plan:
    """How a backend would run a forward pass, in the words of ``explain``; None is what it has
    not."""

    isa: str
    threads: int | None = None
    channels_per_task: int | None = None
    steps_per_task: int | None = None
    past_caches: bool | None = None
    layout: str | None = None


class Backend(Protocol):
    """A module of kernels for one kind of device."""

    #: Where its operators live in torch.ops.
    NAMESPACE: str

    def load(self) -> None:
        """What importing the package does: loads what is there, if nothing need be compiled for
        that."""

    def missing(self, device: str) -> str:
        """Why tensors on this type of device cannot run here; "" if they can. Compiles, if it
        must."""

    def serves(self, kernel: Kernel) -> bool:
        """Whether there is such a kernel; asked after ``missing``."""

    def too_wide(self, kernel: Kernel, channels: int) -> str:
        """Why a kernel that is served cannot take so many channels; "" if it can."""

    def plan(
        self, kernel: Kernel, inputs: list[Tensor], params: list[Tensor], numbers: list[float]
    ) -> Plan:
        """How a forward pass would run."""
