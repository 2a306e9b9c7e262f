"""What the recurrent part of a block is made from: layers by their names, so that a config is
plain data, or any factory of one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .. import nn
from ..nn import members
from ..options import integer

#: Arguments of a layer that the block it stands in decides.
DECIDED = ("input_size", "hidden_size", "batch_first", "process_group", "device", "dtype")

#: What makes a recurrent layer, batch first, from the number of its input channels.
Factory = Callable[[int], torch.nn.Module]


def names() -> list[str]:
    """Layers that a config may name: what lrnn_kernels.nn exports, but for compositions."""
    found = ((name, getattr(nn, name)) for name in nn.__all__)
    return [
        name
        for name, cls in found
        if isinstance(cls, type) and issubclass(cls, nn.Recurrent) and cls is not nn.Recurrent
    ]


@dataclass(frozen=True, init=False)
class Layer:
    """A recurrent layer by its name: ``Layer("BMRU", 64, eps=1.0)``.

    Args:
        name: of a layer in lrnn_kernels.nn.
        hidden_size: its states; the width of the backbone if None.
        options: keyword arguments of the layer's constructor, numbers, strings, bools or tuples of
            them; not batch_first, which is True, nor input_size, device and dtype.

    Raises TypeError or ValueError, naming the argument, for what the layer does not take.
    """

    name: str
    hidden_size: int | None
    options: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, hidden_size: int | None = None, **options: Any) -> None:
        if name not in names():
            raise ValueError(f"name must be one of {', '.join(names())}, got {name!r}")
        if hidden_size is not None:
            hidden_size = integer("hidden_size", hidden_size)
        known = inspect.signature(getattr(nn, name)).parameters
        for option in options:
            if option not in known or option in DECIDED:
                allowed = ", ".join(key for key in known if key not in DECIDED)
                raise TypeError(f"{name} takes no option {option!r} here, only {allowed}")
        fixed = tuple((key, _plain(key, value)) for key, value in sorted(options.items()))
        for field, value in (("name", name), ("hidden_size", hidden_size), ("options", fixed)):
            object.__setattr__(self, field, value)

    def build(
        self,
        input_size: int,
        width: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> torch.nn.Module:
        return getattr(nn, self.name)(
            input_size,
            width if self.hidden_size is None else self.hidden_size,
            batch_first=True,
            device=device,
            dtype=dtype,
            **dict(self.options),
        )

    def to_dict(self) -> dict[str, Any]:
        options = {key: _listed(value) for key, value in self.options}
        return {"layer": self.name, "hidden_size": self.hidden_size, "options": options}


@dataclass(frozen=True, init=False)
class Stacked:
    """Layers one above the other as the recurrent part of a block:
    ``Stacked(Layer("LRU"), Layer("BMRU", 64))``. Each may be a name, too."""

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer | str) -> None:
        if not layers:
            raise ValueError("Stacked must have at least one layer, got none")
        found = tuple(named(f"layer {i}", layer) for i, layer in enumerate(layers))
        for number, layer in enumerate(found):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"layer {number} must be a Layer or a name, got {type(layer).__name__}"
                )
        object.__setattr__(self, "layers", found)

    def build(
        self,
        input_size: int,
        width: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> torch.nn.Module:
        built = []
        for layer in self.layers:
            built.append(layer.build(input_size, width, device, dtype))
            input_size = built[-1].output_size
        return nn.Stack(*built)

    def to_dict(self) -> dict[str, Any]:
        return {"stack": [layer.to_dict() for layer in self.layers]}


#: The recurrent part of a block, or one of several that are summed.
Part = Layer | Stacked | Factory


def named(what: str, value: object) -> Part:
    """A part as a config holds it: a name stands for a Layer of that name."""
    if isinstance(value, str):
        return Layer(value)
    if isinstance(value, type) and issubclass(value, nn.Recurrent):
        return Layer(value.__name__)
    built = isinstance(value, torch.nn.Module | type)  # these can be called, too
    if isinstance(value, Layer | Stacked) or (callable(value) and not built):
        return value
    if isinstance(value, nn.Recurrent):
        name = type(value).__name__
        raise TypeError(
            f"{what} must be what layers are made by, got a {name} itself: {name!r}, or "
            f"models.Layer({name!r}, {value.hidden_size}, ...) with its options"
        )
    raise TypeError(
        f"{what} must be the name of a layer, a Layer, a Stacked or a factory, got {value!r}"
    )


def to_dict(part: Part) -> dict[str, Any]:
    if not isinstance(part, Layer | Stacked):
        raise TypeError(
            f"cell must be made of names, Layer and Stacked to be written down, got {part!r}"
        )
    return part.to_dict()


def from_dict(what: str, value: object) -> Part:
    """The inverse of ``to_dict``; a name alone will do."""
    if isinstance(value, str):
        return named(what, value)
    if isinstance(value, Mapping) and value.keys() == {"stack"}:
        parts = [from_dict(f"{what}'s layer {i}", part) for i, part in enumerate(value["stack"])]
        return Stacked(*parts)
    keys = {"layer", "hidden_size", "options"}
    if isinstance(value, Mapping) and "layer" in value and value.keys() <= keys:
        return Layer(value["layer"], value.get("hidden_size"), **value.get("options", {}))
    raise ValueError(f"{what} must be a name, or have the keys layer or stack, got {value!r}")


def build(
    parts: tuple[Part, ...], input_size: int, width: int, summed: bool, device, dtype
) -> torch.nn.Module:
    """The recurrent part of a block. Outputs of several are added where ``summed``, else lie side
    by side, for a linear map of them all is the sum of a linear map of each."""
    built = [_built(part, input_size, width, device, dtype) for part in parts]
    if len(built) == 1:
        return built[0]
    return nn.Parallel(*built, merge="sum" if summed else "concat")


def _built(part: Part, input_size: int, width: int, device, dtype) -> torch.nn.Module:
    if isinstance(part, Layer | Stacked):
        return part.build(input_size, width, device, dtype)
    layer = part(input_size)
    members.check("what cell makes", layer)
    if not layer.batch_first:
        raise ValueError("what cell makes must have batch_first=True, got False")
    if layer.input_size != input_size:
        raise ValueError(
            f"what cell makes must have input_size = {input_size}, the width of a block and its "
            f"positional encoding, got {layer.input_size}"
        )
    return layer.to(device=device, dtype=dtype)


def _plain(name: str, value: object) -> Any:
    """An option that JSON can hold, and nobody can change: lists become tuples."""
    if isinstance(value, list | tuple):
        return tuple(_plain(name, x) for x in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{name} must be a number, a string, a bool or a tuple of them, got {type(value).__name__}"
    )


def _listed(value: Any) -> Any:
    return [_listed(x) for x in value] if isinstance(value, tuple) else value
