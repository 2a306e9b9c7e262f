"""The plain numbers among a call's options, checked: errors name the option, what was got and
what was expected."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: The magnitude that an option may have: a product of two, or an inverse, is then a finite number
#: of float32 too, in which kernels compute.
_LARGEST, _SMALLEST = 1e18, 1e-18


class Varying(NamedTuple):
    """An option in [low, high] that may be a tensor: see ``varying``."""

    name: str
    low: float
    high: float


def number(
    name: str,
    x: object,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """A plain number in [low, high], without low where open_low, without high where open_high;
    always finite, and none that kernels, which take it in float32, would make an infinity or a zero
    of.
    """
    if type(x) is float and abs(x) <= _LARGEST:  # at once: an operator may have a dozen options
        if low < x < high and abs(x) >= _SMALLEST:
            return x
        if (x == low and not open_low) or (x == high and not open_high):
            return x
    if not isinstance(x, Real) or isinstance(x, bool):
        raise TypeError(f"{name} must be a number, got {type(x).__name__}")
    try:
        value = float(x)
    except OverflowError:  # of an integer
        value = math.inf if x > 0 else -math.inf
    open_low, open_high = open_low or low == -math.inf, open_high or high == math.inf
    above = low < value if open_low else low <= value
    below = value < high if open_high else value <= high
    if not above or not below:
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, got {value:g}")
    if abs(value) > _LARGEST:
        raise ValueError(f"{name} must be at most {_LARGEST:g} in magnitude, got {value:g}")
    if low == 0 and open_low and value < _SMALLEST:
        raise ValueError(f"{name} must be at least {_SMALLEST:g}, got {value:g}")
    return value


def constant(x: Any) -> Any:
    """A number as itself, known, under torch.compile too, which then compiles anew for another; all
    else as it is."""
    if not isinstance(x, Real):
        return x
    # It brings sympy, which whoever compiles has loaded.
    from torch.fx.experimental.symbolic_shapes import guard_scalar

    return guard_scalar(x)


def varying(option: Varying, x: object) -> float | Tensor:
    """A number in [low, high], or a scalar tensor that holds one: that is a number too, but under
    torch.compile returned unread."""
    name, low, high = option
    if not isinstance(x, Tensor):
        return number(name, x, low, high)
    if x.dtype != torch.float64:
        raise TypeError(f"{name} must be a number or a float64 tensor, got {x.dtype}")
    if x.dim() != 0 or x.device.type != "cpu":
        got = f"{tuple(x.shape)} on {x.device}"
        raise ValueError(f"{name} must be a number or a tensor of shape () on the CPU, got {got}")
    if x.requires_grad:
        raise ValueError(f"{name} must not require a gradient: it gets none")
    if torch.compiler.is_compiling():
        return x
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        raise ValueError(
            f"{name} must not be transformed by torch.func: it has no derivative, and is one for "
            "all that is mapped"
        )
    return number(name, x.item(), low, high)


def one_of(name: str, value: str, known: Collection[str]) -> str:
    """The value, one of those known; raises ValueError that names the option if it is another."""
    if not isinstance(value, Hashable) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return value


def boolean(name: str, x: object) -> bool:
    """An option that is on or off, checked."""
    if not isinstance(x, bool):
        kind = type(x)
        got = kind.__name__ if kind.__name__ != "bool" else f"{kind.__module__}.bool"  # NumPy's
        raise TypeError(f"{name} must be a bool, got {got}")
    return x


def integer(name: str, x: object, least: int = 1) -> int:
    """A count: an integer of at least so many, NumPy's too, as an int."""
    if type(x) is not int and (not isinstance(x, Integral) or isinstance(x, bool)):
        raise TypeError(f"{name} must be an int, got {type(x).__name__}")
    value = int(x)
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def whole(name: str, x: object, low: int, hint: str = "") -> int:
    """A whole number of at least low, also one written as a float; raises TypeError or ValueError
    that names it, what was got, and the hint."""
    if not isinstance(x, Real) or isinstance(x, bool):
        raise TypeError(f"{name} must be a whole number, got {type(x).__name__}{hint}")
    number(name, x, -math.inf, math.inf)
    if x != int(x):
        raise ValueError(f"{name} must be a whole number, got {x:g}{hint}")
    if x < low:
        raise ValueError(f"{name} must be at least {low}, got {x:g}{hint}")
    return int(x)
