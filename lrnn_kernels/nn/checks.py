"""What a user hands to a recurrent layer, checked: errors name the argument, what was got and what
was expected. ``layers`` is a ``base.Recurrent``."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from ..calls import arguments
from ..cell import Cell, carry_dtype
from ..options import number

#: A layer's state as its users see it: one tensor, or a tuple of them where a cell carries several.
State = Tensor | tuple[Tensor, ...]

#: What brings tensors and layers to a type.
_METHODS = {"float32": "float", "float64": "double", "float16": "half", "bfloat16": "bfloat16"}


#: What layers take in place of a nested tensor.
_PACKED = "torch.nn.utils.rnn.pack_sequence(list({}.unbind()), enforce_sorted=False)"


def dropout(rate: float, num_layers: int) -> float:
    """A layer's dropout, which has no effect in a layer of one: a warning, as torch gives it."""
    rate = number("dropout", rate, 0.0, 1.0)
    if rate and num_layers == 1:
        warnings.warn(
            "dropout is on the outputs of every layer but the last, so that num_layers must be "
            f"greater than 1 for it to have an effect, got dropout={rate:g} and num_layers=1",
            stacklevel=3,
        )
    return rate


def _expected(layers: nn.Module, dims: str) -> str:
    dims = "BT" if dims == "TB" and layers.batch_first else dims
    return f"({', '.join([*dims, str(layers.input_size)])}{'' if dims else ','})"


def sequence(x: object, several: str = _PACKED) -> None:
    """x is a tensor that lies in memory with strides, and not all that a layer returned. several:
    what is taken in place of a nested one."""
    if type(x) is Tensor and x.layout is torch.strided and not x.is_nested:
        return
    if type(x) is tuple:
        raise TypeError(
            "x must be a tensor, got tuple: layers return (out, state), nn.Stack passes out alone"
        )
    arguments.strided("x", x, several)


def shape(layers: nn.Module, x: Tensor, with_batch: str, without: str) -> None:
    """x is a tensor with the dimensions of one of two forms, named by letters of B and T, and the
    channels."""
    sequence(x)
    if x.dim() not in (len(with_batch) + 1, len(without) + 1):
        raise ValueError(
            f"x must have shape {_expected(layers, with_batch)} or {_expected(layers, without)}, "
            f"got {arguments.shape(x)}"
        )
    channels(layers, x)


def channels(layers: nn.Module, x: Tensor) -> None:
    if x.shape[-1] != layers.input_size:
        raise ValueError(
            f"x must have input_size = {layers.input_size} channels, got {x.shape[-1]}"
        )
    if not x.dtype.is_floating_point:
        raise TypeError(f"x must be of a floating point type, got {x.dtype}; x.float() is")
    weight = layers._parameters.get("weight_ih_l0")  # None where parametrized, or a composition's
    if weight is not None and x.dtype != weight.dtype:
        _same_type(x, weight)


def _same_type(x: Tensor, weight: Tensor) -> None:
    """Raises TypeError unless autocast, which leaves float64 alone, brings both to one type."""
    both = x.dtype, weight.dtype
    if torch.is_autocast_enabled(x.device.type) and torch.float64 not in both:
        return
    got, expected = (str(dtype).removeprefix("torch.") for dtype in both)
    raise TypeError(
        f"x must be {expected}, as the parameters, got {got}: x.{_brought_to(expected)}, or "
        f"layer.{_brought_to(got)}"
    )


def _brought_to(dtype: str) -> str:
    return f"{_METHODS[dtype]}()" if dtype in _METHODS else f"to(torch.{dtype})"


def stored(
    layers: nn.Module, name: str, h: State | None, batch: tuple[int, ...], x: Tensor
) -> Tensor | None:
    """A user's states beside x, checked, as the scan stores them."""
    state(layers, name, h, batch, x)
    return None if h is None else layers._store(h)


def state(
    layers: nn.Module,
    name: str,
    h: State | None,
    batch: tuple[int, ...],
    x: Tensor | None = None,
) -> None:
    """A user's states have the shapes that go with a batch, and the type that goes with x."""
    if h is None:
        return
    expected = (layers.num_layers * (2 if layers.bidirectional else 1), *batch, layers.hidden_size)
    row: Cell = layers.cell
    plain = type(h) is Tensor and h.layout is torch.strided and not h.is_nested
    if plain and len(row.states) == 1 and h.shape == expected:
        if x is None or h.dtype is not x.dtype or row.dtypes[0].is_complex:
            _state_type(layers, name, h, x)
        return
    parts = {name: h}
    if len(layers.cell.states) > 1:
        wanted = f"a tuple of {len(layers.cell.states)} tensors ({', '.join(layers.cell.states)})"
        if not isinstance(h, (tuple, list)):
            raise TypeError(f"{name} must be {wanted}, got {type(h).__name__}")
        if len(h) != len(layers.cell.states):
            raise ValueError(f"{name} must be {wanted}, got {len(h)}")
        parts = {f"{name} {part}": q for part, q in zip(layers.cell.states, h, strict=True)}
    for part, q in parts.items():
        arguments.strided(part, q)
        if tuple(q.shape) != expected:
            raise ValueError(f"{part} must have shape {expected}, got {arguments.shape(q)}")
        _state_type(layers, part, q, x)


def _state_type(layers: nn.Module, name: str, h: Tensor, x: Tensor | None) -> None:
    """A state is complex where a cell's are, and no wider than those that go with x."""
    row: Cell = layers.cell
    complex_states = row.dtypes[0].is_complex
    if complex_states and not h.is_complex():
        raise TypeError(f"{name} must be complex for the {type(layers).__name__}, got {h.dtype}")
    if x is None:
        return
    carry = carry_dtype(x.dtype)
    carry = arguments.COMPLEX_OF[carry] if complex_states else carry
    if h.dtype is not carry:
        arguments.widens(name, h, carry, x.dtype)


def reset(mask: Tensor | None, expected: tuple[int, ...]) -> None:
    if mask is None:
        return
    arguments.strided("reset", mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"reset must be a bool tensor, got {mask.dtype}; reset.bool() is")
    if tuple(mask.shape) != expected:
        raise ValueError(f"reset must have shape {expected}, got {arguments.shape(mask)}")
