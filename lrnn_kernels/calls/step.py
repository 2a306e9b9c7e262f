"""A step of a whole layer as one operator of the CPU's, ``NAME_layer_step``: the product of its
input, the scan of one step, and the states as users hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..backends import cpu, interrupts, layer_steps, operators
from ..cell import Cell

_found: dict[str, Any] = {}


def runs(backend: str) -> bool:
    """Whether a layer with this ``backend`` may have its steps run by these operators."""
    return cpu.available and backend in ("auto", "cpu")


def operator(row: Cell, options: Mapping[str, Any], has_reset: bool, own: str) -> Any:
    """What calls the operator of a row's kernel, or the one that a layer has of its own:

    (x, weights, params, numbers, states, layer, layers, reset, initial) -> [y, states...], new
    tensors; nothing where the tensors are not those of a right call that needs no conversion.
    """
    name = own or row.kernel(options, has_reset).name
    found = _found.get(name)
    if found is None:
        overload = getattr(
            getattr(torch.ops, operators.NAMESPACE), name + layer_steps.LAYER_STEP
        ).default
        # What the overload itself calls, with all that it is given.
        found = _found[name] = getattr(overload, "_op", overload)
    return found


def reraise() -> None:
    """After a call has failed: raises what a signal's handler raised during it, if one did."""
    interrupts.reraise()
