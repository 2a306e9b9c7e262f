"""What a user hands to a backbone, checked: errors name the argument, what was got and what was
expected. ``network`` is a ``backbone.Backbone``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..calls import arguments
from ..nn import checks
from ..options import integer

#: Types of lengths; x's ids are int64, as torch.nn.Embedding takes them.
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)

_STATES = "a tuple (position, windows, cells, total), as a call returns it"


def call(
    network: torch.nn.Module,
    x: Tensor,
    states: tuple | None,
    reset: Tensor | None,
    lengths: Tensor | Sequence[int] | None,
) -> Tensor | None:
    """Of a sequence; returns lengths as int64 where x is."""
    _input(network, x, ["B", "T"])
    checks.reset(reset, tuple(x.shape[:2]))
    if network.config.head in ("last", "mean") and x.shape[1] == 0:
        raise ValueError(
            f"x must have at least one step to end with, got shape {arguments.shape(x)}"
        )
    _states(network, states, x.shape[0])
    if states is not None and network.bidirectional:
        raise ValueError(
            "states must be None where a cell is bidirectional: it needs the steps to come"
        )
    return None if lengths is None else _lengths(lengths, x)


def step(network: torch.nn.Module, x: Tensor, states: tuple | None, reset: Tensor | None) -> None:
    """Of one step."""
    if network.bidirectional:
        raise RuntimeError(
            "step is for one direction: a bidirectional cell's output needs the steps to come"
        )
    _input(network, x, ["B"])
    checks.reset(reset, tuple(x.shape[:1]))
    _states(network, states, x.shape[0])


def _input(network: torch.nn.Module, x: Tensor, dims: list[str]) -> None:
    if isinstance(x, PackedSequence):
        raise TypeError(
            "x must be a tensor, got PackedSequence: torch.nn.utils.rnn.pad_packed_sequence(x, "
            "batch_first=True) makes x and lengths of it, which is an argument too"
        )
    checks.sequence(x, f"{arguments.PADDED}, with lengths,")
    tokens = network.config.head == "tokens"
    sizes = dims if tokens else [*dims, str(network.input_size)]
    if x.dim() != len(sizes):
        expected = ", ".join(sizes) + ("," if len(sizes) == 1 else "")
        raise ValueError(f"x must have shape ({expected}), got {arguments.shape(x)}")
    if not tokens:
        checks.channels(network, x)
    elif x.dtype != torch.int64:
        raise TypeError(f"x must hold token ids, int64, got {x.dtype}")


def _states(network: torch.nn.Module, states: tuple | None, batch: int) -> None:
    """Those of cells are checked by the cells."""
    if states is None:
        return
    if not isinstance(states, tuple | list):
        raise TypeError(f"states must be {_STATES}, got {type(states).__name__}")
    if len(states) != 4:
        raise ValueError(f"states must be {_STATES}, got {len(states)} parts")
    position, windows, cells, total = states
    depth, width, conv = network.config.depth, network.config.width, network.config.conv
    for name, part, count in (("windows", windows, depth if conv else 0), ("cells", cells, depth)):
        if not isinstance(part, tuple | list):
            raise TypeError(f"states' {name} must be a tuple, got {type(part).__name__}")
        if len(part) != count:
            raise ValueError(f"states' {name} must be as many as {count}, got {len(part)}")
    expected = {"position": (position, (batch,))}
    expected |= {f"window {i}": (w, (batch, conv - 1, width)) for i, w in enumerate(windows)}
    if network.config.head == "mean":
        expected["total"] = (total, (batch, width))
    for name, (part, shape) in expected.items():
        arguments.tensor(f"states' {name}", part)
        if tuple(part.shape) != shape:
            raise ValueError(f"states' {name} must have shape {shape}, got {arguments.shape(part)}")
    if position.dtype != torch.int64:
        raise TypeError(f"states' position must be int64, got {position.dtype}")


def _lengths(lengths: Tensor | Sequence[int], x: Tensor) -> Tensor:
    if isinstance(lengths, list | tuple):
        lengths = torch.tensor([integer("lengths", n) for n in lengths], dtype=torch.int64)
    arguments.tensor("lengths", lengths)
    if lengths.dtype not in _WHOLE:
        raise TypeError(f"lengths must be of an integer type, got {lengths.dtype}")
    B, T = x.shape[:2]
    if tuple(lengths.shape) != (B,):
        raise ValueError(f"lengths must have shape ({B},), got {arguments.shape(lengths)}")
    # On a GPU to look would be to wait; an index out of range is an error there.
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and B:
        low, high = (int(length) for length in lengths.aminmax())
        if low < 1 or high > T:
            raise ValueError(f"lengths must be from 1 to {T}, got {low if low < 1 else high}")
    return lengths.to(x.device, torch.int64)
