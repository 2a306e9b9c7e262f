"""What a user hands to a recurrent layer, checked: errors name the argument, what was got and what
was expected. ``layers`` is a ``base.Recurrent``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..calls import arguments

#: A layer's state as its users see it: one tensor, or a tuple of them where a cell carries several.
State = Tensor | tuple[Tensor, ...]

#: What brings tensors and layers to a type.
_METHODS = {"float32": "float", "float64": "double", "float16": "half", "bfloat16": "bfloat16"}


def _expected(layers: nn.Module, dims: str) -> str:
    dims = "BT" if dims == "TB" and layers.batch_first else dims
    return f"({', '.join([*dims, str(layers.input_size)])}{'' if dims else ','})"


def sequence(x: object) -> None:
    """x is a tensor, and not all that a layer returned."""
    if type(x) is tuple:
        raise TypeError(
            "x must be a tensor, got tuple: layers return (out, state), nn.Stack passes out alone"
        )
    arguments.tensor("x", x)


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


def stored(layers: nn.Module, name: str, h: State | None, batch: tuple[int, ...]) -> Tensor | None:
    """A user's states, checked, as the scan stores them."""
    state(layers, name, h, batch)
    return None if h is None else layers._store(h)


def state(layers: nn.Module, name: str, h: State | None, batch: tuple[int, ...]) -> None:
    if h is None:
        return
    expected = (layers.num_layers * (2 if layers.bidirectional else 1), *batch, layers.hidden_size)
    if type(h) is Tensor and h.shape == expected and len(layers.cell.states) == 1:
        return
    parts = {name: h}
    if len(layers.cell.states) > 1:
        wanted = f"a tuple of {len(layers.cell.states)} tensors ({', '.join(layers.cell.states)})"
        if not isinstance(h, (tuple, list)):
            raise TypeError(f"{name} must be {wanted}, got {type(h).__name__}")
        if len(h) != len(layers.cell.states):
            raise ValueError(f"{name} must be {wanted}, got {len(h)}")
        parts = {f"{name} {part}": x for part, x in zip(layers.cell.states, h, strict=True)}
    for part, x in parts.items():
        arguments.tensor(part, x)
        if tuple(x.shape) != expected:
            raise ValueError(f"{part} must have shape {expected}, got {arguments.shape(x)}")


def reset(mask: Tensor | None, expected: tuple[int, ...]) -> None:
    if mask is None:
        return
    arguments.tensor("reset", mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"reset must be a bool tensor, got {mask.dtype}; reset.bool() is")
    if tuple(mask.shape) != expected:
        raise ValueError(f"reset must have shape {expected}, got {arguments.shape(mask)}")
