"""Which backend runs a call, and why."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from ..registry import Cell
from . import cpu, cuda, triton
from .operators import NAMESPACE, NAMESPACE_TRITON

BACKENDS = ("auto", "cpu", "cuda", "triton", "reference")

#: Where each backend's operators live in torch.ops.
OPERATORS = {"cpu": NAMESPACE, "cuda": NAMESPACE, "triton": NAMESPACE_TRITON}

#: The backends for GPUs, best first.
GPU = {"cuda": cuda, "triton": triton}

_warned: set[str] = set()


@dataclass(frozen=True)
class Choice:
    """The backend that runs a call, and the reason in words."""

    backend: str
    reason: str


@dataclass(frozen=True)
class Ask:
    """Passed in place of a backend's name: explain the call instead of running it."""

    backend: str


_ASKED_FOR = {name: Choice(name, "asked for by name") for name in BACKENDS[1:]}
_CPU = torch.device("cpu")
_ON_CPU = Choice("cpu", "the inputs are on the CPU, which has compiled kernels")


def choose(backend: str, device: torch.device, kernel: str | None = None, channels: int = 0) -> Choice:
    """Resolves "auto", or checks that a named backend can run this kernel (or any, where none is named); raises otherwise."""
    if backend == "auto" and device == _CPU and cpu.available:
        return _ON_CPU
    if backend == "reference":
        return _ASKED_FOR[backend]
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}")
    if backend in GPU:
        return _named(backend, device.type, kernel, channels)
    if device.type not in ("cpu", "meta"):
        if backend == "cpu":
            raise ValueError(f"backend 'cpu' runs CPU tensors, got tensors on {device}")
        reasons = [module.missing(device.type) or unserved(name, kernel, channels) for name, module in GPU.items()]
        for name, reason in zip(GPU, reasons, strict=True):
            if not reason:
                return Choice(name, f"the inputs are on {device.type!r}, and this is the best backend for it here")
        return _fall_back(f"there is no compiled kernel for device {device.type!r}: {'; '.join(reasons)}")
    if not _has_kernels(device):
        reason = cpu.extension().reason
        if backend == "cpu":
            raise RuntimeError(f"backend 'cpu' is not available: {reason}")
        return Choice("reference", reason)  # a warning was given already
    return _ASKED_FOR[backend] if backend == "cpu" else _ON_CPU


def _has_kernels(device: torch.device) -> bool:
    """Whether the C++ kernels run; compiles them, if that is what it takes, but for tensors without data and while tracing."""
    if device.type == "meta" or torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return _promised()
    return cpu.ready()


@torch.compiler.assume_constant_result
def _promised() -> bool:
    return cpu.promised()


def _named(backend: str, device: str, kernel: str | None, channels: int) -> Choice:
    reason = GPU[backend].missing(device)
    if reason:
        raise (ValueError if device == "cpu" else RuntimeError)(f"backend {backend!r} is not available: {reason}")
    reason = unserved(backend, kernel, channels)
    if reason:
        raise NotImplementedError(f"backend {backend!r} cannot run this: {reason}")
    return _ASKED_FOR[backend]


def kernel_on(backend: str, kernel: str) -> str:
    """The kernel that a backend runs for this one: the generic engine's where it has none of its own."""
    return Cell.generic(kernel) if backend in GPU and not GPU[backend].serves(kernel) else kernel


def unserved(backend: str, kernel: str | None, channels: int) -> str:
    """Why a backend that runs here does not run a kernel, or ""."""
    if kernel is None or backend not in GPU:
        return ""
    if not GPU[backend].serves(kernel_on(backend, kernel)):
        return f"the {backend} backend has no kernel {kernel!r} yet"
    return cuda.too_wide(kernel, channels) if backend == "cuda" else ""


def _fall_back(reason: str) -> Choice:
    # "auto" may choose the reference, but never unnoticed: it is orders of magnitude slower.
    if reason not in _warned and not torch.compiler.is_compiling():
        _warned.add(reason)
        warnings.warn(f"lrnn_kernels runs the slow reference: {reason}", RuntimeWarning, stacklevel=4)
    return Choice("reference", reason)
