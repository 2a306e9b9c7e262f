"""The one path from a public operator to a backend: check, choose, run."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..backends import choose, varying
from ..registry import CELLS, Cell
from . import arguments, autograd, reference
from .explain import explain_call

#: The layouts of earlier calls whose tensors were right as they came: such a call need not be checked twice. Checks take longest where it
#: hurts most: after large tensors have gone by, their code is in no cache any more.
_layouts: dict[arguments.Signature, arguments.Layout] = {}
_MOST_LAYOUTS = 1024


def _remember(signature: arguments.Signature, layout: arguments.Layout) -> None:
    if len(_layouts) >= _MOST_LAYOUTS:
        _layouts.clear()
    _layouts[signature] = layout


def run(
    cell: str,
    inputs: list[Tensor],
    params: list[Tensor],
    options: Mapping[str, Any],
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
    packed: bool = False,
) -> tuple[Tensor, Tensor]:
    """Runs a cell over time and returns (y, h_last).

    packed: inputs is one tensor (B, T, n*C) that holds the cell's n streams side by side, as one GEMM wrote them; its gradient
    then comes back in one buffer too.
    """
    entry = CELLS[cell]
    if torch.compiler.is_compiling():
        # Numbers are constants of what is compiled. Dynamo may hold them as symbols, and two scans of one symbol fail in it.
        options = {name: arguments.constant(x) for name, x in options.items()}
    signature = arguments.signature(cell, packed, (*inputs, *params, h0, reset, h_reset))
    layout = _layouts.get(signature)
    if layout is None:
        given = [*inputs, *params, h0, h_reset]
        layout, inputs, params, h0, h_reset = check(entry, inputs, params, h0, reset, h_reset, packed)
        if signature is not None and all(map(operator.is_, given, [*inputs, *params, h0, h_reset])):
            _remember(signature, layout)
    kernel = entry.kernel(options, reset is not None)
    asked = isinstance(backend, choose.Ask)
    choice = choose.choose(backend.backend if asked else backend, layout.device, kernel, layout.y_width)
    kernel = choose.kernel_on(choice.backend, kernel)
    if asked:
        return explain_call(kernel, entry, inputs, params, entry.numbers(options), choice)
    if choice.backend == "reference":
        return _reference(entry, layout, inputs, params, options, h0, reset, h_reset, reverse)
    saves, eps = entry.saves(kernel), options.get("eps")
    if isinstance(eps, Tensor):
        kernel, params = kernel + varying.SUFFIX, [*params, eps]
    static = autograd.Static(choose.OPERATORS[choice.backend], kernel, entry.numbers(options), saves, len(inputs), reverse)
    return autograd.apply(static, reset, h0, h_reset if reset is not None else None, [*inputs, *params])


def check(entry: Cell, inputs, params, h0, reset, h_reset, packed):
    """Checks all tensors of a call and brings them to the dtypes that its kernels take."""
    inputs = arguments.streams(entry, inputs, packed)
    first = inputs[0]
    for name, x in zip(entry.params, params, strict=True):
        arguments.tensor(name, x)
    layout = arguments.Layout(entry, inputs, params, packed)
    arguments.dtypes(entry, layout)
    one = arguments.matrix if entry.matrices else arguments.vector
    params = [one(name, x, layout, first) for name, x in zip(entry.params, params, strict=True)]
    if h0 is not None:
        h0 = arguments.ends("h0", h0, layout, first, layout.width, layout.carry, per_batch=True, shared=False)
    if reset is not None:
        arguments.reset_mask(reset, layout, first)
    if h_reset is not None:
        if reset is None:
            raise ValueError("h_reset was given without reset; the state before the first step is h0")
        h_reset = arguments.ends("h_reset", h_reset, layout, first, layout.width, layout.carry, per_batch=True, shared=True)
    return layout, inputs, params, h0, h_reset


def _reference(entry: Cell, layout, inputs, params, options, h0, reset, h_reset, reverse) -> tuple[Tensor, Tensor]:
    if layout.packed:
        inputs = list(inputs[0].split(layout.y_width, dim=-1))
    if layout.split:
        inputs = [autograd.to_complex(x) for x in inputs]
        h0, h_reset = (None if h is None else autograd.to_complex(h) for h in (h0, h_reset))
    states = {"states": len(entry.states), "h0": h0, "reset": reset, "h_reset": h_reset}
    y, h = reference.scan(entry.step, inputs, params, **states, reverse=reverse, **options)
    return (autograd.to_split(y).to(layout.dtype), autograd.to_split(h)) if layout.split else (y, h)


def run_step(
    cell: str,
    inputs: list[Tensor],
    params: list[Tensor],
    options: Mapping[str, Any],
    h: Tensor | None,
    *,
    reset=None,
    h_reset=None,
    backend="auto",
):
    """One step of a cell for streaming: inputs (B, C), state h (B, C). Returns (y, h)."""
    names = CELLS[cell].inputs
    for name, x in zip(names, inputs, strict=True):
        arguments.tensor(name, x)
        if x.dim() != 2:
            raise ValueError(f"{name} must have shape (B, C), got {arguments.shape(x)}")
    if reset is not None:
        arguments.tensor("reset", reset)
        if reset.dim() != 1:
            raise ValueError(f"reset must have shape (B,), got {arguments.shape(reset)}")
        reset = reset.unsqueeze(1)
    y, h = run(cell, [x.unsqueeze(1) for x in inputs], params, options, h0=h, reset=reset, h_reset=h_reset, backend=backend)
    return y.squeeze(1), h
