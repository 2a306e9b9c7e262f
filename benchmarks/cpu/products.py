"""Cells with matrices beside their matrix products alone: what the elementwise part and the loop
over time cost."""

from __future__ import annotations

from dataclasses import replace

import torch

from lrnn_kernels.cell import Cell
from lrnn_kernels.cells import CELLS

from ..measure.matrix_passes import passes
from ..measure.results import Key, Shape
from ..measure.timing import interleave, ratio

SHAPES: tuple[Shape, ...] = ((1, 256, 256), (32, 128, 256), (128, 64, 256))
ROWS = tuple(row for row in CELLS.values() if row.matrices)


def key_of(row: Cell, shape: Shape, direction: str, threads: int) -> Key:
    """The operator's; the products have the case "products"."""
    return Key(row.name, shape, "float32", direction, threads=threads)


def measure(rounds: int, threads: int) -> dict[tuple[Key, Key], float]:
    """The ratio of every cell, shape and direction: forward while saving, and backward, by that of
    torch.mm on the whole batch, step by step.

    The weights' gradient is one product over all steps here; an operator takes it in pieces of a
    bounded size.
    """
    ratios, operators = {}, torch.ops.lrnn_kernels
    for row in ROWS:
        for shape in SHAPES:
            cases = {}
            for direction, (call, alone) in passes(
                operators, row.kernels[0].name, row, {}, shape
            ).items():
                key = key_of(row, shape, direction, threads)
                cases |= {key: call, replace(key, case="products"): alone}
            with torch.no_grad():
                times = interleave(cases, rounds)
            for key in [key for key in cases if key.case == "operator"]:
                by = replace(key, case="products")
                ratios[key, by] = ratio(times, key, by)
    return ratios
