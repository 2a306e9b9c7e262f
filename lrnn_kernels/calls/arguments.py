"""Checks of a call's arguments, with messages that name the argument, what was got and what was
expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..cell import Cell, carry_dtype

COMPLEX_OF = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class Layout:
    """What a checked call looks like: its sizes, dtypes and how complex values are stored."""

    __slots__ = (
        "B",
        "C",
        "T",
        "carry",
        "device",
        "dtype",
        "packed",
        "param",
        "split",
        "width",
        "y_width",
    )

    def __init__(
        self, cell: Cell, inputs: list[Tensor], params: list[Tensor], packed: bool
    ) -> None:
        first = inputs[0]
        self.B, self.T, channels = first.shape
        self.dtype, self.device = first.dtype, first.device
        complex_params = (
            bool(params)
            and params[0].is_complex()
            and any(dtype.is_complex for dtype in cell.dtypes)
        )
        self.split = complex_params and not first.is_complex()
        streams = len(cell.inputs) * (2 if self.split else 1)
        self.packed = packed
        self.C = channels // (streams if packed else 2 if self.split else 1)
        self.y_width = 2 * self.C if self.split else self.C  # channels of y
        self.width = len(cell.states) * self.y_width  # channels of h0 and h_reset
        self.carry = carry_dtype(self.dtype)
        self.param = COMPLEX_OF.get(self.carry, self.carry) if self.split else self.carry


def driven_layout(cell: Cell, x: Tensor, C: int) -> Layout:
    """Of a call that makes its streams of C channels from x, (B,T,I)."""
    layout = Layout(cell, [x], [], packed=False)
    layout.C = layout.y_width = C
    layout.width = len(cell.states) * C
    return layout


Signature = tuple[Any, ...]


def signature(cell: str, packed: bool, tensors: Sequence[Tensor | None]) -> Signature | None:
    """All that the checks of a call look at; None where sizes may be symbols, or for what is no
    plain tensor."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return None
    seen: list[Any] = [cell, packed]
    for x in tensors:
        if x is None:
            seen.append(None)
        elif type(x) is Tensor or type(x) is Parameter:
            seen += (x.shape, x.dtype, x.device)
        else:
            return None
    return tuple(seen)


def shape(x: Tensor) -> str:
    return f"({', '.join(map(str, x.shape))}{',' if x.dim() == 1 else ''})"


def tensor(name: str, x: object) -> None:
    if not isinstance(x, Tensor):
        hint = f"; torch.from_numpy({name}) is" if _is_array(x) and name.isidentifier() else ""
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}{hint}")


def _is_array(x: object) -> bool:
    """Whether x is NumPy's, which torch works without."""
    return type(x).__module__ == "numpy" and type(x).__name__ == "ndarray"


def streams(cell: Cell, inputs: list[Tensor], packed: bool) -> list[Tensor]:
    """Checks the (B,T,C) inputs against each other and brings them to one dtype, the widest."""
    names = ("packed",) if packed else cell.inputs
    first = inputs[0]
    _stream(names[0], first)
    sizes, device, dtype, mixed = first.shape, first.device, first.dtype, False
    if sizes[2] < 1:
        raise ValueError(f"{names[0]} must have at least one channel, got {shape(first)}")
    for name, x in zip(names[1:], inputs[1:], strict=True):
        _stream(name, x)
        if x.shape != sizes:
            raise ValueError(
                f"{name} must have the shape of {names[0]}, {shape(first)}, got {shape(x)}"
            )
        if x.device != device:
            raise ValueError(
                f"{name} must be on the device of {names[0]}, {device}, got {x.device}"
            )
        if x.dtype != dtype:
            dtype, mixed = torch.promote_types(dtype, x.dtype), True
    return [x.to(dtype) for x in inputs] if mixed else inputs


def _stream(name: str, x: Tensor) -> None:
    tensor(name, x)
    if x.dim() != 3:
        raise ValueError(f"{name} must have shape (B, T, C), got {shape(x)}")
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(f"{name} must be floating point or complex, got {x.dtype}")


def dtypes(cell: Cell, layout: Layout) -> None:
    dtype = layout.param if layout.split else layout.dtype
    if dtype not in cell.dtypes:
        expected = ", ".join(str(d).removeprefix("torch.") for d in cell.dtypes)
        name = cell.inputs[0]
        raise TypeError(f"{name} has dtype {layout.dtype}, but {cell.name} takes {expected}")


def per_sequence(
    name: str,
    x: Tensor,
    layout: Layout,
    first: Tensor,
    channels: int,
    dtype: torch.dtype,
    per_batch: bool,
    shared: bool,
) -> Tensor:
    """Checks a tensor without time, (C,) where shared and (B,C) where per_batch, and widens it
    to dtype."""
    allowed = ([(channels,)] if shared else []) + ([(layout.B, channels)] if per_batch else [])
    return _timeless(name, x, layout, first, allowed, dtype)


def vector(name: str, x: Tensor, layout: Layout, first: Tensor) -> Tensor:
    """Checks a parameter with one value per channel, (C,) or (B,C), and widens it."""
    return _timeless(name, x, layout, first, [(layout.C,), (layout.B, layout.C)], layout.param)


def of_shape(
    name: str, x: Tensor, layout: Layout, first: Tensor, expected: tuple[int, ...]
) -> Tensor:
    """Checks a parameter of a cell with matrices, and widens it."""
    return _timeless(name, x, layout, first, [expected], layout.param)


def _timeless(
    name: str,
    x: Tensor,
    layout: Layout,
    first: Tensor,
    allowed: list[tuple[int, ...]],
    dtype: torch.dtype,
) -> Tensor:
    tensor(name, x)
    if tuple(x.shape) not in allowed:
        expected = " or ".join(str(s) for s in allowed)
        raise ValueError(f"{name} must have shape {expected}, got {shape(x)}")
    if x.device != first.device:
        raise ValueError(
            f"{name} must be on the device of the inputs, {first.device}, got {x.device}"
        )
    if x.dtype == dtype:
        return x
    if torch.promote_types(x.dtype, dtype) != dtype:
        raise TypeError(
            f"{name} has dtype {x.dtype}, expected {dtype} or narrower for {layout.dtype} inputs"
        )
    return x.to(dtype)


def reset_mask(reset: Tensor, layout: Layout, first: Tensor) -> None:
    tensor("reset", reset)
    if reset.dtype != torch.bool:
        raise TypeError(f"reset must be a bool tensor, got {reset.dtype}; reset.bool() is")
    if tuple(reset.shape) != (layout.B, layout.T):
        raise ValueError(f"reset must have shape ({layout.B}, {layout.T}), got {shape(reset)}")
    if reset.device != first.device:
        raise ValueError(
            f"reset must be on the device of the inputs, {first.device}, got {reset.device}"
        )


def joined(
    name: str, states: Sequence[Tensor] | None, first: Tensor, cell: Cell, shared: bool
) -> Tensor | None:
    """The states of a cell that carries several, side by side, as kernels take them: each (B,C),
    or (C,) too where shared."""
    if states is None:
        return None
    stream, parts = cell.inputs[0], cell.states
    tensor(stream, first)
    if first.dim() not in (2, 3):
        raise ValueError(f"{stream} must have shape (B, T, C), got {shape(first)}")
    if not isinstance(states, (tuple, list)) or len(states) != len(parts):
        got = (
            f"{len(states)} of them" if isinstance(states, (tuple, list)) else type(states).__name__
        )
        raise TypeError(
            f"{name} must be a tuple of {len(parts)} tensors ({', '.join(parts)}), got {got}"
        )
    B, C, carry = first.shape[0], first.shape[-1], carry_dtype(first.dtype)
    allowed = [(C,)] * shared + [(B, C)]
    for part, x in zip(parts, states, strict=True):
        right = type(x) is Tensor and x.shape == states[0].shape == (B, C) and x.dtype == carry
        if right and x.device == first.device:
            continue  # at once: naming what is right takes longer than the step
        tensor(f"{name} {part}", x)
        if tuple(x.shape) not in allowed or x.shape != states[0].shape:
            raise ValueError(
                f"{name} {part} must have shape {' or '.join(map(str, allowed))}, all of them "
                f"alike, got {shape(x)}"
            )
        if x.device != first.device:
            raise ValueError(
                f"{name} {part} must be on the device of {stream}, {first.device}, got {x.device}"
            )
        if torch.promote_types(x.dtype, carry) != carry:
            raise TypeError(
                f"{name} {part} has dtype {x.dtype}, expected {carry} or narrower for "
                f"{first.dtype} inputs"
            )
    return torch.cat(list(states), -1)
