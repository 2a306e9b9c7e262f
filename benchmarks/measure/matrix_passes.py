"""What a matrix cell's passes cost, beside the products in them alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lrnn_kernels.cell import Cell

from . import inputs
from .results import Shape
from .traffic import Op


def passes(
    operators: Any, kernel: str, row: Cell, options: dict, shape: Shape, device: str = "cpu"
) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Each direction's operator of a namespace of torch.ops, and its products: of the state with
    all matrices in one, and of the gradients of what they gave; the weights' gradient is one over
    all steps."""
    B, T, C = shape
    forward = getattr(operators, kernel).default
    backward = getattr(operators, f"{kernel}_backward").default
    packed = torch.randn(B, T, len(row.inputs) * C, device=device)
    weights = [w.to(device) for w in inputs.params(Op(row.name, row), C, torch.float32)]
    call = ([packed], weights, row.numbers({**row.options, **options}), None, None, None, False)
    y, _, saved = forward(*call, True)
    dy = torch.randn_like(y)
    stacked = torch.cat([w for w in weights if w.dim() == 2])
    h, width = torch.randn(B, C, device=device), len(stacked)
    gates, dgates = (torch.randn(B, width, device=device) for _ in range(2))
    dh = torch.empty(B, C, device=device)
    all_h, all_dgates = (torch.randn(B * T, n, device=device) for n in (C, width))

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
