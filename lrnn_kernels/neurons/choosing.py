"""Which backend simulates a population."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..backends import triton
from ..options import one_of
from . import arguments, by_triton, compiled, oracle
from .model import Model
from .models import MODELS

BACKENDS = ("auto", "cpu", "cuda", "triton", "reference")
#: The compiled ones, in the order in which "auto" tries them on a device.
COMPILED = {"cpu": ("cpu",), "cuda": ("cuda", "triton")}


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
    engines = COMPILED.get(device.type, ())
    if backend != "auto":
        interpreted = backend == "triton" and device.type == "cpu" and triton.interpreted()
        if backend not in engines and not interpreted:
            raise ValueError(f"backend {backend!r} cannot run on g's device, {device}")
        why = _refuses(backend, model, dtype, scheme)
        if why:
            raise RuntimeError(f"backend {backend!r} cannot run: {why}")
        return Choice(backend, "it was asked for")
    reasons = []
    for name in engines:
        why = _refuses(name, model, dtype, scheme)
        if not why:
            return Choice(name, "; ".join([*reasons, _fits(name, model, device)]))
        reasons.append(why)
    return Choice(
        "reference", "; ".join(reasons) or f"nothing is compiled for g's device, {device}"
    )


def differs(model: Model) -> str:
    """Why compiled backends, which know the models by their names, would compute another one; empty
    where they do not."""
    row = MODELS.get(model.name)
    if row is None:
        return f"no model {model.name!r} is compiled"
    for part in ("channels", "gates", "calcium", "pair"):
        if getattr(model, part) != getattr(row, part):
            return f"the compiled model {model.name!r} has other {part}"
    return ""


def _fits(backend: str, model: Model, device: torch.device) -> str:
    """Why a backend was chosen."""
    return f"g is on {device}, for which the {backend} engine has {model.name} compiled"


def _refuses(backend: str, model: Model, dtype: torch.dtype, scheme: str) -> str:
    """Why a compiled backend does not run this simulation; empty where it does."""
    why = differs(model) or missing(backend, dtype, scheme)
    return why or (by_triton.lacks(model.name) if backend == "triton" else "")


def missing(backend: str, dtype: torch.dtype, scheme: str = "default") -> str:
    """Why a compiled backend cannot run; empty where it can."""
    if scheme != "default" and dtype != torch.float64:
        return f"the scheme {scheme!r} is compiled for float64 alone, got {dtype}"
    return by_triton.missing() if backend == "triton" else compiled.missing(backend)
