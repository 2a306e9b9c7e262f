"""Checks of a call's arguments, with messages that name the argument, what was got and what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..registry import Cell
from .reference import carry_dtype

COMPLEX_OF = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class Layout:
    """What a checked call looks like: its sizes, dtypes and how complex values are stored."""

    __slots__ = ("B", "C", "T", "carry", "device", "dtype", "packed", "param", "split", "width", "y_width")

    def __init__(self, cell: Cell, inputs: list[Tensor], params: list[Tensor], packed: bool) -> None:
        first = inputs[0]
        self.B, self.T, channels = first.shape
        self.dtype, self.device = first.dtype, first.device
        complex_params = bool(params) and params[0].is_complex() and any(dtype.is_complex for dtype in cell.dtypes)
        self.split = complex_params and not first.is_complex()
        streams = len(cell.inputs) * (2 if self.split else 1)
        self.packed = packed
        self.C = channels // (streams if packed else 2 if self.split else 1)
        self.y_width = 2 * self.C if self.split else self.C  # channels of y
        self.width = len(cell.states) * self.y_width  # channels of h0 and h_reset
        self.carry = carry_dtype(self.dtype)
        self.param = COMPLEX_OF.get(self.carry, self.carry) if self.split else self.carry


Signature = tuple[Any, ...]


def signature(cell: str, packed: bool, tensors: Sequence[Tensor | None]) -> Signature | None:
    """All that the checks of a call look at; None where sizes may be symbols, or for what is no plain tensor."""
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
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")


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
            raise ValueError(f"{name} must have the shape of {names[0]}, {shape(first)}, got {shape(x)}")
        if x.device != device:
            raise ValueError(f"{name} must be on the device of {names[0]}, {device}, got {x.device}")
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


def ends(name: str, x: Tensor, layout: Layout, first: Tensor, channels: int, dtype: torch.dtype, per_batch: bool, shared: bool) -> Tensor:
    """Checks a tensor without time, (C,) where shared and (B,C) where per_batch, and widens it to dtype."""
    allowed = ([(channels,)] if shared else []) + ([(layout.B, channels)] if per_batch else [])
    return _timeless(name, x, layout, first, allowed, dtype)


def vector(name: str, x: Tensor, layout: Layout, first: Tensor) -> Tensor:
    """Checks a parameter with one value per channel, (C,) or (B,C), and widens it."""
    return _timeless(name, x, layout, first, [(layout.C,), (layout.B, layout.C)], layout.param)


def matrix(name: str, x: Tensor, layout: Layout, first: Tensor) -> Tensor:
    """Checks a parameter of shape (C,C), and widens it."""
    return _timeless(name, x, layout, first, [(layout.C, layout.C)], layout.param)


def _timeless(name: str, x: Tensor, layout: Layout, first: Tensor, allowed: list[tuple[int, ...]], dtype: torch.dtype) -> Tensor:
    tensor(name, x)
    if tuple(x.shape) not in allowed:
        expected = " or ".join(str(s) for s in allowed)
        raise ValueError(f"{name} must have shape {expected}, got {shape(x)}")
    if x.device != first.device:
        raise ValueError(f"{name} must be on the device of the inputs, {first.device}, got {x.device}")
    if x.dtype == dtype:
        return x
    if torch.promote_types(x.dtype, dtype) != dtype:
        raise TypeError(f"{name} has dtype {x.dtype}, expected {dtype} or narrower for {layout.dtype} inputs")
    return x.to(dtype)


def reset_mask(reset: Tensor, layout: Layout, first: Tensor) -> None:
    tensor("reset", reset)
    if reset.dtype != torch.bool:
        raise TypeError(f"reset must be a bool tensor, got {reset.dtype}")
    if tuple(reset.shape) != (layout.B, layout.T):
        raise ValueError(f"reset must have shape ({layout.B}, {layout.T}), got {shape(reset)}")
    if reset.device != first.device:
        raise ValueError(f"reset must be on the device of the inputs, {first.device}, got {reset.device}")


#: The magnitude that an option may have: a product of two, or an inverse, is then a finite number of float32 too, in which kernels compute.
_LARGEST, _SMALLEST = 1e18, 1e-18


def number(name: str, x: object, low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> float:
    """A plain number in [low, high], without low where open_low, without high where open_high; always finite, and none that kernels, which
    take it in float32, would make an infinity or a zero of.
    """
    if type(x) is float and low < x < high and _SMALLEST <= abs(x) <= _LARGEST:
        return x  # at once: an operator may have a dozen options
    if not isinstance(x, Real) or isinstance(x, bool):
        raise TypeError(f"{name} must be a number, got {type(x).__name__}")
    try:
        value = float(x)
    except OverflowError:  # of an integer
        value = math.inf if x > 0 else -math.inf
    open_low, open_high = open_low or low == -math.inf, open_high or high == math.inf
    if not (low < value if open_low else low <= value) or not (value < high if open_high else value <= high):
        raise ValueError(f"{name} must be in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}, got {value:g}")
    if abs(value) > _LARGEST:
        raise ValueError(f"{name} must be at most {_LARGEST:g} in magnitude, got {value:g}")
    if low == 0 and open_low and value < _SMALLEST:
        raise ValueError(f"{name} must be at least {_SMALLEST:g}, got {value:g}")
    return value


def constant(x: Any) -> Any:
    """A number as itself, known, under torch.compile too, which then compiles anew for another; all else as it is."""
    if not isinstance(x, Real):
        return x
    from torch.fx.experimental.symbolic_shapes import guard_scalar  # brings sympy, which whoever compiles has loaded

    return guard_scalar(x)


def varying(name: str, x: object, low: float, high: float) -> float | Tensor:
    """A number in [low, high], or a scalar tensor that holds one: that is a number too, but under torch.compile returned unread."""
    if not isinstance(x, Tensor):
        return number(name, x, low, high)
    if x.dtype != torch.float64:
        raise TypeError(f"{name} must be a number or a float64 tensor, got {x.dtype}")
    if x.dim() != 0 or x.device.type != "cpu":
        raise ValueError(f"{name} must be a number or a tensor of shape () on the CPU, got {shape(x)} on {x.device}")
    if x.requires_grad:
        raise ValueError(f"{name} must not require a gradient: it gets none")
    if torch.compiler.is_compiling():
        return x
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        raise ValueError(f"{name} must not be transformed by torch.func: it has no derivative, and is one for all that is mapped")
    return number(name, x.item(), low, high)
