"""The operators of layers' steps, which only a CPU has: without gradients and batching rules.

NAME_layer_step(x, weights, params, options, states, layer, layers, reset, initial)
-> [y, states...]
    x        (B,in) or (in,); reset (B,) or () bool
    weights  of the product of x, (rows,in), and its bias, of the first rows, where it has one
    params   those of the kernel. An operator of OWN_STEPS takes weights and parameters as its layer
             has them
    states   a (layers,B,C) or (layers,C) tensor for each state of the cell, of which the one of
             layer is read; none: the initial state
    initial  the initial state, as h_reset of a scan; zero without it

The states returned are new, (1,B,C) or (1,C). Nothing is returned where the tensors are not those
of a right call that needs no conversion.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..cell import Cell, Kernel, carry_dtype

#: What is added to a kernel's name.
LAYER_STEP = "_layer_step"
_SCHEMA = (
    "(Tensor x, Tensor[] weights, Tensor[] params, float[] options, Tensor[] states, int layer, "
    "int layers, Tensor? reset, Tensor? initial) -> Tensor[]"
)
#: The rows whose layers have an operator of their own, by its name (``Cell.layer_step``).
OWN_STEPS: dict[str, Cell] = {}


def names(kernels: Mapping[str, Kernel]) -> list[str]:
    """Of all of them."""
    return [name + LAYER_STEP for name in (*kernels, *OWN_STEPS)]


def define(
    namespace: str, kernels: Mapping[str, Kernel], own_steps: Mapping[str, Cell]
) -> torch.library.Library:
    """Defines them; on other devices they do nothing."""
    OWN_STEPS.update(own_steps)
    library = torch.library.Library(namespace, "FRAGMENT")
    for operator in names(kernels):
        name = operator.removesuffix(LAYER_STEP)
        library.define(operator + _SCHEMA)
        library.impl(operator, lambda *call: [], "CompositeExplicitAutograd")
        own = OWN_STEPS.get(name)
        kernel = kernels[name] if own is None else own.kernels[0]
        torch.library.register_fake(f"{namespace}::{operator}", _fake(kernel, own))
    return library


def _fake(kernel: Kernel, own: Cell | None):
    def fake(x, weights, params, options, states, layer, layers, reset, initial):
        given = [*weights, *params, *states, *(t for t in (reset, initial) if t is not None)]
        if any(t.device != x.device for t in given):
            return []
        is_complex = any(p.is_complex() for p in params) if own is None else own.complex
        width, carry = weights[0].shape[0] // kernel.streams, carry_dtype(x.dtype)
        C, dtype = (width // 2, carry.to_complex()) if is_complex else (width, carry)
        y = x.new_empty((*x.shape[:-1], width if own is None else C))
        last = [x.new_empty((1, *x.shape[:-1], C), dtype=dtype) for _ in range(kernel.states)]
        return [y, *last]

    return fake
