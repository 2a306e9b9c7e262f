"""The CPU's compiled kernels, with which neurons are compared: prepared, found, or compiled now."""

from __future__ import annotations

from ..place import Limit, Place
from .library import took


def units(place: Place) -> list[tuple] | str:
    return [("cpu",)]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    from lrnn_kernels.backends import cpu

    took(unit[0], cpu.available, cpu.extension, emit)
