"""Throughput against sequence length, B = 8, C = 256, float32."""

from __future__ import annotations

import torch

from ...measure.traffic import OPS
from .. import shapes
from ..place import Limit, Place
from .speed import measure

ROUNDS = 4


def units(place: Place) -> list[tuple] | str:
    """(T, operator)."""
    lengths = place.pick(shapes.LENGTHS, (2,))
    return [(T, name) for T in lengths for name in shapes.operators(place)]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits a row for each pass and backend."""
    place.warm_up()
    T, name = unit
    B, C = place.pick(shapes.SWEEP, (1, 4))
    measure(place, OPS[name], (B, T, C), torch.float32, emit, place.pick(ROUNDS, 1))
