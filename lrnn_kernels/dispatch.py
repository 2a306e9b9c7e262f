"""Which backend runs a call, and why."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from . import extension

BACKENDS = ("auto", "cpu", "reference")

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


def choose(backend: str, first: Tensor) -> Choice:
    """Resolves "auto", or checks that a named backend can run; raises otherwise."""
    if backend == "reference":
        return Choice("reference", "asked for by name")
    device = first.device.type
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}")
    if device not in ("cpu", "meta"):
        if backend == "cpu":
            raise ValueError(f"backend 'cpu' runs CPU tensors, got tensors on {first.device}")
        return _fall_back(f"there is no compiled kernel for device {device!r}")
    if not extension.available:
        if backend == "cpu":
            raise RuntimeError(f"backend 'cpu' is not available: {extension.reason}")
        return Choice("reference", extension.reason)  # the import has warned already
    return Choice("cpu", "asked for by name" if backend == "cpu" else "the inputs are on the CPU and its kernels are loaded")


def _fall_back(reason: str) -> Choice:
    # "auto" may choose the reference, but never unnoticed: it is orders of magnitude slower.
    if reason not in _warned and not torch.compiler.is_compiling():
        _warned.add(reason)
        warnings.warn(f"lrnn_kernels runs the slow reference: {reason}", RuntimeWarning, stacklevel=4)
    return Choice("reference", reason)
