"""Cells with matrices beside their matrix products alone: what the elementwise part and the loop
over time cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from lrnn_kernels.cell import Cell
from lrnn_kernels.cells import CELLS

from ..measure import inputs
from ..measure.results import Key, Shape
from ..measure.timing import interleave, ratio
from ..measure.traffic import Op

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
    ratios = {}
    for row in ROWS:
        for shape in SHAPES:
            cases = {}
            for direction, (call, alone) in _passes(row, shape).items():
                key = key_of(row, shape, direction, threads)
                cases |= {key: call, replace(key, case="products"): alone}
            with torch.no_grad():
                times = interleave(cases, rounds)
            for key in [key for key in cases if key.case == "operator"]:
                by = replace(key, case="products")
                ratios[key, by] = ratio(times, key, by)
    return ratios


def _passes(row: Cell, shape: Shape) -> dict[str, tuple[Callable, Callable]]:
    """Each direction's operator and products: of the state with all matrices in one, and of the
    gradients of what they gave."""
    B, T, C = shape
    name = row.kernels[0].name
    forward = getattr(torch.ops.lrnn_kernels, name).default
    backward = getattr(torch.ops.lrnn_kernels, f"{name}_backward").default
    packed = torch.randn(B, T, len(row.inputs) * C)
    weights = inputs.params(Op(row.name, row), C, torch.float32)
    call = ([packed], weights, row.numbers(row.options), None, None, None, False)
    y, _, saved = forward(*call, True)
    dy = torch.randn_like(y)
    stacked, h = torch.cat([w for w in weights if w.dim() == 2]), torch.randn(B, C)
    width = len(stacked)
    gates, dgates, dh = torch.empty(B, width), torch.randn(B, width), torch.empty(B, C)
    all_h, all_dgates = torch.randn(B * T, C), torch.randn(B * T, width)

    def products_forward() -> None:
        for _ in range(T):
            torch.mm(h, stacked.t(), out=gates)

    def products_backward() -> None:
        for _ in range(T):
            torch.mm(dgates, stacked, out=dh)
        torch.mm(all_dgates.t(), all_h)

    return {
        "forward": (lambda: forward(*call, True), products_forward),
        "backward": (lambda: backward(*call, saved, dy, None), products_backward),
    }
