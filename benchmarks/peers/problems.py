"""What is computed: operators on streams and whole layers, ours and the reference in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrnn_kernels import linear_scan, nn

from ..measure import inputs
from ..measure.copy_bandwidth import huge_empty
from ..measure.results import Shape
from ..measure.traffic import OPS, Op
from .peer import Case, Passes, Tensors, of_layer, of_torch

#: [B, T, C] of operators, and of layers, which read C channels where nothing else is said.
OPERATORS: Shape = (8, 2048, 256)
LAYERS: Shape = (8, 512, 256)
SLOW: Shape = (2, 128, 256)  # beside a peer that takes minutes for more
DECAY = 0.9  # of leaky membranes


@dataclass(frozen=True)
class Problem:
    """One thing to compute.

    Args:
        name: of ours.
        shape: (B,T,C) that it is timed at.
        draw: inputs by name, and dy.
        passes: ours, on a backend.
        tolerance: of a quantity's largest value.
        checked: steps that are held to the reference, where rounding is amplified over more; None
            for all.
    """

    name: str
    shape: Shape
    draw: Callable[[Shape], tuple[Tensors, Tensor]]
    passes: Callable[[Case, str], Passes]
    tolerance: float = 1e-4  # single precision, sums in another order
    checked: int | None = None

    def ours(self, case: Case) -> Passes:
        return self.passes(case, "cpu")

    def expected(self, case: Case) -> dict[str, Tensor]:
        """y and all gradients, in float64 on the reference."""
        passes = self.passes(case.double(), "reference")
        return passes.found(passes.train())


# Operators.


def on_huge_pages(x: Tensor) -> Tensor:
    """A contiguous copy, for a peer whose layout is another."""
    pages = huge_empty(x.numel() * x.element_size()).view(x.dtype)
    return pages.view(x.shape).copy_(x)


def _stream(piece: Tensor, shape: Shape) -> Tensor:
    return on_huge_pages(inputs.fill(torch.empty(shape).flatten(), piece).view(shape))


def operator(op: Op, **limits: Any) -> Problem:
    """An operator on what its row draws."""

    def draw(shape: Shape) -> tuple[Tensors, Tensor]:
        streams = [_stream(piece, shape) for piece in inputs.sample(op)]
        names = (*op.row.inputs, *op.row.params)
        given = (*streams, *inputs.params(op, shape[2], torch.float32))
        return dict(zip(names, given, strict=True)), _stream(inputs.adjoints(), shape)

    def passes(case: Case, backend: str) -> Passes:
        def y(**given: Tensor) -> Tensor:
            return op.row.function(**given, **op.options, backend=backend)[0]

        return of_torch(y, case.inputs, case.dy)

    return Problem(op.name, OPERATORS, draw, passes, **limits)


def _draw_current(shape: Shape) -> tuple[Tensors, Tensor]:
    current = _stream(inputs.adjoints().flip(0), shape).mul_(0.3)
    return {"x": current}, _stream(inputs.adjoints(), shape)


def _leaky(case: Case, backend: str) -> Passes:
    """y[t] = DECAY y[t-1] + x[t], by linear_scan."""
    decay = case.dy.new_full(case.dy.shape[-1:], DECAY)
    return of_torch(lambda x: linear_scan(decay, x, backend=backend)[0], case.inputs, case.dy)


# Layers.


@dataclass(frozen=True)
class Layer:
    """A layer of lrnn_kernels.nn on ``reads(C)`` channels."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: Callable[[int], int] = lambda C: C
    shape: Shape = LAYERS

    def make(self, C: int, **options: Any) -> nn.Recurrent:
        sizes = self.reads(C), C
        return getattr(nn, self.name)(*sizes, batch_first=True, **self.options, **options)

    def problem(self) -> Problem:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        name = f"nn.{self.name}({options})" if options else f"nn.{self.name}"
        return Problem(name, self.shape, self._draw, self._passes)

    def _draw(self, shape: Shape) -> tuple[Tensors, Tensor]:
        torch.manual_seed(0)
        B, T, C = shape
        given = {"x": torch.randn(B, T, self.reads(C))}
        for name, p in self.make(C).named_parameters():
            # Vectors are all random, so that a check can miss none of them.
            given[name] = p.detach() + (0.1 * torch.randn_like(p) if p.dim() == 1 else 0)
        return given, torch.randn(shape)

    def _passes(self, case: Case, backend: str) -> Passes:
        x = case.inputs["x"]
        layer = self.make(case.dy.shape[-1], backend=backend).to(x.dtype)
        layer.load_state_dict(parameters(case))
        return of_layer(layer, lambda x: layer(x)[0], x, case.dy)


def parameters(case: Case) -> dict[str, Tensor]:
    """A layer's, without its input."""
    return {name: p for name, p in case.inputs.items() if name != "x"}


#: By their names; those of operators are the speed section's.
PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        operator(OPS["linear_scan"]),
        Problem("leaky membrane", OPERATORS, _draw_current, _leaky),
        operator(Op("min_gru(positive)", OPS["min_gru"].row, {"positive": True})),
        operator(OPS["bmru"]),
        operator(OPS["brc"]),
        # Its neurons fire, and what rounds otherwise fires at another step.
        operator(OPS["src full"], tolerance=1e-3, checked=16),
        Layer("MinGRU", {"positive": True, "bias": False}).problem(),
        Layer("CMRU").problem(),
        Layer("BRC").problem(),
        Layer("NBRC").problem(),
        Layer("GRU").problem(),
        Layer("LSTM").problem(),
        Layer("LRU", reads=lambda C: C // 2, shape=SLOW).problem(),
    )
}
