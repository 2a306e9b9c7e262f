"""Checks of a call's arguments, with messages that name the argument, what was got and what was
expected."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..cell import Cell, carry_dtype

#: What users may call a state.
STATE = ("h0", "h", "h_0", "hx", "hidden", "mem", "state", "states", "initial_state")

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
    """All that the checks of a call look at, but for how a tensor is stored, which a kernel will
    not take (see ``strided``); None where sizes may be symbols, or for what is no plain tensor."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return None
    seen: list[Any] = [cell, packed]
    try:
        for x in tensors:
            if x is None:
                seen.append(None)
            elif type(x) is Tensor or type(x) is Parameter:
                seen += (x.shape, x.dtype, x.device)
            else:
                return None
    except RuntimeError:  # a nested tensor may have no shape
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


#: In place of a nested tensor of sequences of several lengths.
PADDED = "torch.nested.to_padded_tensor({}, 0.0)"


def strided(name: str, x: object, several: str = "") -> None:
    """x is a tensor, and one that lies in memory with strides, as kernels read it. several: what is
    taken in place of a nested one, {} its name."""
    tensor(name, x)
    if x.layout is torch.strided and not x.is_nested:
        return
    got, hint = f"one of {x.layout}", f"; {name}.to_dense() is" if name.isidentifier() else ""
    if x.is_nested:
        hint = f"; {several.format(name)} for sequences of several lengths" if several else ""
        got = "a nested one"
    raise TypeError(f"{name} must be a strided tensor, got {got}{hint}")


def streams(cell: Cell, inputs: list[Tensor], packed: bool) -> list[Tensor]:
    """Checks the (B,T,C) inputs against each other and brings them to one dtype, the widest."""
    names = ("packed",) if packed else cell.inputs
    first = inputs[0]
    _stream(cell, names[0], first)
    sizes, device, dtype, mixed = first.shape, first.device, first.dtype, False
    if sizes[2] < 1:
        raise ValueError(f"{names[0]} must have at least one channel, got {shape(first)}")
    for name, x in zip(names[1:], inputs[1:], strict=True):
        _stream(cell, name, x)
        if x.shape != sizes:
            raise ValueError(
                f"{name} must have the shape of {names[0]}, {shape(first)}, got {shape(x)}"
            )
        if x.device != device:
            raise ValueError(
                f"{name} must be on the device of {names[0]}, {device}, got {x.device}"
            )
        mixed = mixed or x.dtype != dtype
    if not mixed:
        return inputs
    for name, x in zip(names, inputs, strict=True):
        _taken(cell, name, x.dtype, x.dtype)  # torch has no common type of all that there are
        dtype = torch.promote_types(dtype, x.dtype)
    return [x.to(dtype) for x in inputs]


def _stream(cell: Cell, name: str, x: Tensor) -> None:
    strided(name, x, PADDED)
    if x.dim() != 3:
        raise ValueError(f"{name} must have shape (B, T, C), got {shape(x)}")
    if not (x.is_floating_point() or x.is_complex()):
        kinds = "floating point" + " or complex" * any(d.is_complex for d in cell.dtypes)
        raise TypeError(f"{name} must be {kinds}, got {x.dtype}")


def dtypes(cell: Cell, layout: Layout, first: Tensor) -> None:
    """Of a call's first stream: its type, and of split storage its width."""
    dtype = layout.param if layout.split else layout.dtype
    _taken(cell, cell.inputs[0], layout.dtype, dtype)
    if layout.split and not layout.packed and first.shape[2] % 2:
        raise ValueError(
            f"{cell.inputs[0]} must have an even number of channels, got {first.shape[2]}; "
            f"{_said_of_split(cell, layout)}"
        )


def _said_of_split(cell: Cell, layout: Layout) -> str:
    stream = cell.inputs[0]
    return (
        f"{stream} is real, and so read as split storage of {layout.C} complex channels: "
        f"{stream}.to({layout.param}) for complex values"
    )


def _taken(cell: Cell, name: str, got: torch.dtype, dtype: torch.dtype) -> None:
    """A stream's type, or that of the values it stores, is one that the cell takes."""
    if dtype not in cell.dtypes:
        expected = ", ".join(str(d).removeprefix("torch.") for d in cell.dtypes)
        raise TypeError(f"{name} has dtype {got}, but {cell.function.__name__} takes {expected}")


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


def vector(cell: Cell, name: str, x: Tensor, layout: Layout, first: Tensor) -> Tensor:
    """Checks a parameter with one value per channel, (C,) or (B,C), and widens it."""
    allowed, hint = [(layout.C,), (layout.B, layout.C)], ""
    if tuple(x.shape) not in allowed:
        if name in cell.per_step and layout.T != 1:  # of one step, (B,C) says it
            allowed.append(tuple(first.shape))
        if layout.split:
            hint = "; " + _said_of_split(cell, layout)
    return _timeless(name, x, layout, first, allowed, layout.param, hint)


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
    hint: str = "",
) -> Tensor:
    strided(name, x)
    if hint or tuple(x.shape) not in allowed:
        *but_one, last = map(str, allowed)
        expected = f"{', '.join(but_one)} or {last}" if but_one else last
        raise ValueError(f"{name} must have shape {expected}, got {shape(x)}{hint}")
    if x.device != first.device:
        raise ValueError(
            f"{name} must be on the device of the inputs, {first.device}, got {x.device}"
        )
    if x.dtype == dtype:
        return x
    widens(name, x, dtype, layout.dtype)
    return x.to(dtype)


def widens(name: str, x: Tensor, dtype: torch.dtype, inputs: torch.dtype) -> None:
    """Values of x are values of dtype, the one that goes with that of the inputs."""
    try:
        fits = torch.promote_types(x.dtype, dtype) == dtype
    except RuntimeError:  # float8 types have none in common with others
        fits = False
    if not fits:
        raise TypeError(
            f"{name} has dtype {x.dtype}, expected {dtype} or narrower for {inputs} inputs"
        )


def reset_mask(reset: Tensor, layout: Layout, first: Tensor) -> None:
    strided("reset", reset)
    if reset.dtype != torch.bool:
        raise TypeError(f"reset must be a bool tensor, got {reset.dtype}; reset.bool() is")
    if tuple(reset.shape) != (layout.B, layout.T):
        raise ValueError(f"reset must have shape ({layout.B}, {layout.T}), got {shape(reset)}")
    if reset.device != first.device:
        raise ValueError(
            f"reset must be on the device of the inputs, {first.device}, got {reset.device}"
        )


def refuse(function: str, cell: Cell, unknown: Collection[str]) -> None:
    """Raises TypeError of a keyword that a function of a cell with several states does not take, if
    there is one: of a single state's, with what several are."""
    for name in unknown:
        states = ", ".join(cell.states)
        hint = f": its states are state, ({states})" if name in STATE else ""
        raise TypeError(f"{function} takes no argument {name!r}{hint}")


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
        strided(stream, first)
        raise ValueError(f"{stream} must have shape (B, T, C), got {shape(first)}")
    if not isinstance(states, (tuple, list)) or len(states) != len(parts):
        got = (
            f"{len(states)} of them" if isinstance(states, (tuple, list)) else type(states).__name__
        )
        raise TypeError(
            f"{name} must be a tuple of {len(parts)} tensors ({', '.join(parts)}), got {got}"
        )
    try:
        B, C, carry = first.shape[0], first.shape[-1], carry_dtype(first.dtype)
        allowed = [(C,)] * shared + [(B, C)]
        for part, x in zip(parts, states, strict=True):
            right = type(x) is Tensor and x.shape == states[0].shape == (B, C) and x.dtype == carry
            if right and x.device == first.device and x.layout is torch.strided:
                continue  # at once: naming what is right takes longer than the step
            strided(f"{name} {part}", x)
            if tuple(x.shape) not in allowed or x.shape != states[0].shape:
                raise ValueError(
                    f"{name} {part} must have shape {' or '.join(map(str, allowed))}, all of them "
                    f"alike, got {shape(x)}"
                )
            if x.device != first.device:
                raise ValueError(
                    f"{name} {part} must be on the device of {stream}, {first.device}, got "
                    f"{x.device}"
                )
            if first.dtype in cell.dtypes:
                widens(f"{name} {part}", x, carry, first.dtype)
        return torch.cat(list(states), -1)
    except RuntimeError:  # said by torch of what has no shape, or is stored in another way
        strided(stream, first)
        for part, x in zip(parts, states, strict=True):
            strided(f"{name} {part}", x)
        raise
