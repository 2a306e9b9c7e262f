"""What is timed on a GPU: shapes (B, T, C), and the same for the stand-in of one."""

from __future__ import annotations

import torch

from lrnn_kernels.cell import Cell
from lrnn_kernels.cells import CELLS

from ..measure.results import Shape
from ..measure.traffic import OPS
from .place import Place

MAIN: Shape = (8, 4096, 256)
WIDE: Shape = (64, 4096, 256)
PIXELS: Shape = (32, 784, 256)
LONE: Shape = (1, 65536, 64)
#: By their worth.
SHAPES = (MAIN, WIDE, LONE, PIXELS)
SMALL: Shape = (1, 3, 5)
#: B and C of a sweep over lengths, and the lengths.
SWEEP = (8, 256)
LENGTHS = (4096, 1024, 16384, 256, 65536, 64)
DTYPES = (torch.float32, torch.bfloat16)
PASSES = ("forward", "backward")


def shapes(place: Place) -> tuple[Shape, ...]:
    return place.pick(SHAPES, (SMALL,))


def operators(place: Place) -> list[str]:
    """Those that are timed: all, or of the stand-in one of each engine."""
    first = {op.kernel.engine: name for name, op in reversed(OPS.items())}
    return place.pick(list(OPS), [name for name in OPS if name in first.values()])


def one_of_each_engine() -> list[Cell]:
    """Cells, by the engine that runs them where they are called with nothing special."""
    first = {row.kernel(row.options, False).engine: row for row in reversed(CELLS.values())}
    return [row for row in CELLS.values() if row in first.values()]


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
