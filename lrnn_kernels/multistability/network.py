"""A network as its recurrent layers, each of one layer and one direction, and how they read each
other: what samples, holds and warms sees of any composition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from ..calls import arguments
from ..nn import Parallel, Recurrent, Stack, checks, single
from ..nn.members import State

#: What runs a part of a network: (part, what it does, its inputs...) -> what that returns.
Call = Callable[..., object]


def plainly(part: object, does: Callable, *inputs):
    return does(*inputs)


@dataclass(eq=False)
class Unit:
    """One recurrent layer, with a state of its own."""

    name: str
    layer: nn.Module  # of one layer, the parameters those of the network's
    number: int  # of its state among all
    first: bool  # whether of all Parallels around it, it is in the first member
    shows_state: bool = field(init=False)

    def __post_init__(self) -> None:
        self.shows_state = single.shows_state(self.layer)

    @cached_property
    def alone(self) -> Network:
        """As a network of its own."""
        return Network(self.layer)

    def run(self, x: Tensor, states: list, call: Call) -> Tensor:
        out, states[self.number] = call(self, self.layer, x, states[self.number])
        return out


@dataclass(eq=False)
class Above:
    """Parts one above the other, and the output map."""

    parts: list
    output: nn.Module | None = None

    def run(self, x: Tensor, states: list, call: Call) -> Tensor:
        for part in self.parts:
            x = part.run(x, states, call)
        return x if self.output is None else call(self, self.output, x)


@dataclass(eq=False)
class Beside:
    """Parts side by side, their outputs merged, and the output map."""

    parts: list
    concatenated: bool
    output: nn.Module | None

    def run(self, x: Tensor, states: list, call: Call) -> Tensor:
        return call(self, self._merged, *[part.run(x, states, call) for part in self.parts])

    def _merged(self, *outs: Tensor) -> Tensor:
        x = torch.cat(outs, -1) if self.concatenated else sum(outs[1:], outs[0])
        return x if self.output is None else self.output(x)


class Network:
    """What a user calls ``net``. Raises TypeError for what is no recurrent layer or composition,
    and ValueError for a bidirectional layer."""

    def __init__(self, net: nn.Module) -> None:
        #: All recurrent layers, from the input on, members of a Parallel in order.
        self.units: list[Unit] = []
        self.net = net
        self.root = self._read(net, "", True)
        self.like = next(net.parameters())

    def _read(self, layer: object, path: str, first: bool):
        if isinstance(layer, Stack | Parallel):
            beside = isinstance(layer, Parallel)
            parts = [
                self._read(member, f"{path}layers.{i}.", first and not (beside and i))
                for i, member in enumerate(layer.layers)
            ]
            if beside:
                return Beside(parts, layer.merge == "concat", layer.output)
            return Above(parts, layer.output)
        if not isinstance(layer, Recurrent | nn.RNNBase):
            what = f"net's {path[:-1]}" if path else "net"
            raise TypeError(
                f"{what} must be a recurrent layer of lrnn_kernels.nn, a Stack or Parallel of "
                f"them, or torch.nn.GRU, LSTM or RNN, got {type(layer).__name__}"
            )
        name = type(layer).__name__
        name = f"{path[:-1]} ({name})" if path else name
        if layer.bidirectional:
            raise ValueError(
                f"net must be of one direction, got a bidirectional layer, {name}: no state of it "
                "is carried on"
            )
        found = []
        for k in range(layer.num_layers):
            title = f"{name} layer {k}" if layer.num_layers > 1 else name
            found.append(Unit(title, single.single(layer, k), len(self.units), first))
            self.units.append(found[-1])
        return found[0] if len(found) == 1 else Above(found)

    @property
    def time(self) -> int:
        """The dimension of sequences in which time runs."""
        return 1 if self.net.batch_first else 0

    def run(self, x: Tensor, states: list, call: Call = plainly) -> list:
        """The units' states after a sequence, from theirs before it, or None for their start. Each
        unit, merge and output map is run by ``call``."""
        return self.outputs(x, states, call)[1]

    def outputs(self, x: Tensor, states: list, call: Call = plainly) -> tuple[Tensor, list]:
        """The outputs too, and before the states."""
        states = list(states)
        return self.root.run(x, states, call), states

    def constant(self, u: Tensor, steps: int, count: int) -> Tensor:
        """u, (in,) or (N,in), as the input of every step: a view, whose product with a weight
        layers make once."""
        if u.dim() == 2:
            u = u.unsqueeze(self.time)
        sizes = (count, steps) if self.time else (steps, count)
        return u.expand(*sizes, -1)

    def check(self, name: str, sequences: Tensor) -> None:
        """Sequences, (T,N,in), or as batch_first says."""
        arguments.tensor(name, sequences)
        letters = ("N", "T") if self.net.batch_first else ("T", "N")
        expected = f"({', '.join(letters)}, {self.net.input_size})"
        if sequences.dim() != 3 or 0 in sequences.shape:
            raise ValueError(
                f"{name} must have shape {expected}, none of them 0, got "
                f"{arguments.shape(sequences)}"
            )
        if sequences.shape[-1] != self.net.input_size:
            raise ValueError(
                f"{name} must have input_size = {self.net.input_size} channels, got "
                f"{sequences.shape[-1]}"
            )
        if sequences.dtype != self.like.dtype:
            raise TypeError(
                f"{name} must be of the parameters' dtype, {self.like.dtype}, got {sequences.dtype}"
            )

    def split(self, states: object) -> list:
        """The units' states from those of the network, as a call takes and returns them."""
        return list(_split(self.net, states, "states"))

    def join(self, states: list) -> State:
        """The inverse of ``split``."""
        return _join(self.net, iter(states))


def tensors(state: State) -> tuple[Tensor, ...]:
    """Those of one unit's state, each (1,N,H)."""
    return state if isinstance(state, tuple) else (state,)


def rows(states: list) -> Tensor:
    """Units' states side by side, (N,D), complex ones as real and imaginary parts."""
    found: list[Tensor] = []
    for h in (h.squeeze(0) for state in states for h in tensors(state)):
        # Not view_as_real, whose backward pass fails for a gradient at an odd place in memory.
        found += [h.real, h.imag] if h.is_complex() else [h]
    return torch.cat(found, 1)


def _split(layer: nn.Module, states: object, name: str) -> Iterator[State]:
    if isinstance(layer, Stack | Parallel):
        if not isinstance(states, tuple | list) or len(states) != len(layer.layers):
            got = f"{len(states)}" if isinstance(states, tuple | list) else type(states).__name__
            raise TypeError(
                f"{name} must be a tuple with the state of each of {len(layer.layers)} layers, "
                f"got {got}"
            )
        for i, (member, state) in enumerate(zip(layer.layers, states, strict=True)):
            yield from _split(member, state, f"{name}[{i}]")
        return
    parts = states if isinstance(states, tuple | list) else (states,)
    for h in parts:
        arguments.tensor(name, h)
        if h.dim() != 3 or h.shape[0] != layer.num_layers:
            raise ValueError(
                f"{name} must have shape ({layer.num_layers}, N, {layer.hidden_size}), got "
                f"{arguments.shape(h)}"
            )
    if isinstance(layer, Recurrent):
        checks.state(layer, name, states, (parts[0].shape[1],))
    for k in range(layer.num_layers):
        one = tuple(h[k : k + 1] for h in parts)
        yield one if isinstance(states, tuple | list) else one[0]


def _join(layer: nn.Module, states: Iterator[State]) -> State:
    if isinstance(layer, Stack | Parallel):
        return tuple(_join(member, states) for member in layer.layers)
    found = [next(states) for _ in range(layer.num_layers)]
    if len(found) == 1:
        return found[0]
    if isinstance(found[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
    return torch.cat(found)
