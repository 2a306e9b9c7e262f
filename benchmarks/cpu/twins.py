"""Layers that torch has too, beside torch's own of the same weights, interleaved; and the share of
their matrix products' own time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from statistics import median

import torch

from lrnn_kernels import nn

from ..measure.machine import cpu_model
from ..measure.report import table
from ..measure.timing import interleave, ratio

SHAPES = ((32, 200, 64), (8, 512, 256))  # B, T, C, with as many inputs
PASSES = ("forward", "training")
HEADER = ("layer", "B, T, C", "pass", "ours, ms", "torch, ms", "torch / ours", "products / ours")
NAMES = [name for name in nn.__all__ if getattr(getattr(nn, name), "takes_input", False)]


def main(threads: int | None = None, rounds: int = 40) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
    rows = []
    for name in NAMES:
        if not hasattr(torch.nn, name):
            continue
        for shape in SHAPES:
            cases = _cases(name, *shape)
            for direction in PASSES:
                times = interleave(
                    {key: call[direction] for key, call in cases.items()}, rounds, 20
                )
                ms = [f"{median(times[key]) * 1e3:.2f}" for key in ("ours", "torch")]
                ratios = [f"{ratio(times, key, 'ours'):.2f}" for key in ("torch", "products")]
                rows.append((name, ", ".join(map(str, shape)), direction, *ms, *ratios))
    print(f"{cpu_model()}, {torch.get_num_threads()} thread(s), float32; medians")
    print(
        "products: torch.mm of the products with the input and with the states of all steps at "
        "once, and in training of their gradients"
    )
    print(table(HEADER, rows))


def _cases(name: str, B: int, T: int, C: int) -> dict[Hashable, dict[str, Callable[[], object]]]:
    x, dy = torch.randn(B, T, C, requires_grad=True), torch.randn(B, T, C)
    theirs = getattr(torch.nn, name)(C, C, batch_first=True)
    ours = getattr(nn, name)(C, C, batch_first=True)
    ours.load_state_dict(theirs.state_dict())

    def both(layer) -> dict[str, Callable[[], object]]:
        leaves = [x, *layer.parameters()]

        def forward() -> None:
            with torch.no_grad():
                layer(x)

        def training() -> None:
            torch.autograd.grad(layer(x)[0], leaves, dy)

        return {"forward": forward, "training": training}

    weight = ours.weight_ih_l0.detach()
    rows, gates = x.detach().flatten(0, 1), torch.randn(B * T, len(weight))
    product, dx, dw = torch.empty_like(gates), torch.empty_like(rows), torch.empty_like(weight)

    def forward() -> None:
        for _ in range(2):  # of the input, and of the states
            torch.mm(rows, weight.t(), out=product)

    def training() -> None:
        forward()
        for _ in range(2):
            torch.mm(gates, weight, out=dx)
            torch.mm(gates.t(), rows, out=dw)

    products = {"forward": forward, "training": training}
    return {"ours": both(ours), "torch": both(theirs), "products": products}
