"""Which backend runs a call, and why."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..cell import Cell, Kernel
from . import cpu, cuda, operators, triton
from .contract import Backend

#: The modules of kernels, by what users call them. Those for GPUs come best first.
BACKENDS: dict[str, Backend] = {"cpu": cpu, "cuda": cuda, "triton": triton}
GPU = ("cuda", "triton")

NAMES = ("auto", *BACKENDS, "reference")

_warned: set[str] = set()


@dataclass(frozen=True)
class Choice:
    """The backend that runs a call, and the reason in words."""

    backend: str
    reason: str


_ASKED_FOR = {name: Choice(name, "asked for by name") for name in NAMES[1:]}
_CPU = torch.device("cpu")
_ON_CPU = Choice("cpu", "the inputs are on the CPU, which has compiled kernels")


def load(kernels: Mapping[str, Kernel], own_steps: Mapping[str, Cell]) -> None:
    """What importing the package does: operators are defined, and loaded where nothing need be
    compiled for that."""
    operators.declare(kernels, own_steps)
    for module in BACKENDS.values():
        module.load()


def choose(
    backend: str, device: torch.device, kernel: Kernel | None = None, channels: int = 0
) -> Choice:
    """Resolves "auto", or checks that a named backend can run this kernel (or any, where none is
    named); raises otherwise."""
    if backend == "auto" and device == _CPU and cpu.available:
        return _ON_CPU
    if backend == "reference":
        return _ASKED_FOR[backend]
    if backend not in NAMES:
        raise ValueError(f"backend must be one of {', '.join(map(repr, NAMES))}, got {backend!r}")
    if backend in GPU:
        return _named(backend, device.type, kernel, channels)
    if device.type not in ("cpu", "meta"):
        if backend == "cpu":
            raise ValueError(f"backend 'cpu' runs CPU tensors, got tensors on {device}")
        reasons = [
            BACKENDS[name].missing(device.type) or unserved(name, kernel, channels) for name in GPU
        ]
        for name, reason in zip(GPU, reasons, strict=True):
            if not reason:
                return Choice(
                    name,
                    f"the inputs are on {device.type!r}, and this is the best backend for it here",
                )
        return _fall_back(
            f"there is no compiled kernel for device {device.type!r}: {'; '.join(reasons)}"
        )
    if reason := cpu.missing(device.type):
        if backend == "cpu":
            raise RuntimeError(f"backend 'cpu' is not available: {reason}")
        return Choice("reference", reason)  # a warning was given already
    return _ASKED_FOR[backend] if backend == "cpu" else _ON_CPU


def _named(backend: str, device: str, kernel: Kernel | None, channels: int) -> Choice:
    reason = BACKENDS[backend].missing(device)
    if reason:
        raise (ValueError if device == "cpu" else RuntimeError)(
            f"backend {backend!r} is not available: {reason}"
        )
    reason = unserved(backend, kernel, channels)
    if reason:
        raise NotImplementedError(f"backend {backend!r} cannot run this: {reason}")
    return _ASKED_FOR[backend]


def kernel_on(backend: str, kernel: Kernel) -> Kernel:
    """The kernel that a backend runs for this one: the generic engine's where it has none of its
    own."""
    return (
        kernel.generic or kernel
        if backend in GPU and not BACKENDS[backend].serves(kernel)
        else kernel
    )


def unserved(backend: str, kernel: Kernel | None, channels: int) -> str:
    """Why a backend that runs here does not run a kernel, or ""."""
    if kernel is None or backend not in BACKENDS:
        return ""
    module, found = BACKENDS[backend], kernel_on(backend, kernel)
    if not module.serves(found):
        return f"the {backend} backend has no kernel {kernel.name!r} yet"
    return module.too_wide(found, channels)


def device_of(backend: str) -> str:
    """The device whose tensors a backend runs."""
    return "cpu" if backend in ("cpu", "reference") or not torch.cuda.is_available() else "cuda"


def available() -> dict[str, str]:
    """Every backend by name: "" if it runs on this machine, else why not."""
    found = {}
    for name in BACKENDS:
        try:
            choose(name, torch.device(device_of(name)))
            found[name] = ""
        except (RuntimeError, ValueError) as error:
            found[name] = str(error)
    return found


def _fall_back(reason: str) -> Choice:
    # "auto" may choose the reference, but never unnoticed: it is orders of magnitude slower.
    if reason not in _warned and not torch.compiler.is_compiling():
        _warned.add(reason)
        warnings.warn(
            f"lrnn_kernels runs the slow reference: {reason}", RuntimeWarning, stacklevel=5
        )
    return Choice("reference", reason)
