"""Which backend simulates a population."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..options import one_of
from . import arguments, engine, oracle
from .model import Model

BACKENDS = ("auto", "cpu", "cuda", "triton", "reference")


class Choice(NamedTuple):
    """Which backend would run a simulation, and why."""

    backend: str
    reason: str


def choose(
    model: Model, device: torch.device, dtype: torch.dtype, scheme: str, backend: str
) -> Choice:
    one_of("backend", backend, BACKENDS)
    one_of("scheme", scheme, oracle.SCHEMES)
    if dtype not in arguments.DTYPES:
        raise TypeError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    if backend == "reference":
        return Choice("reference", "it was asked for")
    compiled = engine.COMPILED.get(device.type, ())
    if backend != "auto":
        if backend not in compiled:
            raise ValueError(f"backend {backend!r} cannot run on g's device, {device}")
        why = _missing(backend, model, dtype, scheme)
        if why:
            raise RuntimeError(f"backend {backend!r} cannot run: {why}")
        return Choice(backend, "it was asked for")
    reasons = []
    for name in compiled:
        why = _missing(name, model, dtype, scheme)
        if not why:
            return Choice(name, "; ".join([*reasons, f"{name} serves {device.type}"]))
        reasons.append(why)
    return Choice("reference", "; ".join(reasons) or f"no engine serves {device.type}")


def _missing(backend: str, model: Model, dtype: torch.dtype, scheme: str) -> str:
    if scheme != "default":
        return f"the scheme {scheme!r} is the reference's alone"
    return engine.missing(backend, model.name, dtype)
