"""Triton's kernels of what the next sections time, compiled into its cache by all cores: one at a
time they would take minutes."""

from __future__ import annotations

import time

import torch

from ...measure.traffic import OPS
from .. import neurons, shapes, timing
from ..place import Limit, Place
from .values import NEURONS

BACKEND = "triton"


def units(place: Place) -> list[tuple] | str:
    """(operator, type) and ("neurons", model, type)."""
    if BACKEND not in place.backends:
        return place.missing[BACKEND]
    found = [(op, shapes.name_of(d)) for d in shapes.DTYPES for op in shapes.operators(place)]
    found = place.pick(found, found[:1])
    if BACKEND in place.engines:
        models = place.pick(list(neurons.STEPS), [])
        found += [(NEURONS, m, d) for d in ("float32", "float64") for m in models]
    return found


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Runs each once; emits the seconds that it took."""
    began = time.perf_counter()
    if unit[0] == NEURONS:
        _, model, dtype = unit
        neurons.short_run(BACKEND, model, getattr(torch, dtype), place.device)
    else:
        name, dtype = unit
        for shape in shapes.shapes(place):
            calls = timing.random_calls(
                OPS[name], shape, getattr(torch, dtype), BACKEND, place.device
            )
            calls.forward()
            calls.prepare_backward()
            calls.backward()
    emit(compiled=" ".join(unit), seconds=round(time.perf_counter() - began, 2))
