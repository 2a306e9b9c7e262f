"""Compositions of recurrent layers: one above the other, and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..calls.distributed import ProcessGroup
from ..options import one_of
from . import final, members, ranks, signature
from .members import State

MERGES = ("sum", "concat")


class _Container(nn.Module):
    """What compositions share: members, their states, the output map."""

    layers: nn.ModuleList

    def __init__(self, layers: Sequence[nn.Module], output_size: int | None) -> None:
        super().__init__()
        name = type(self).__name__
        if not layers:
            raise ValueError(f"{name} must have at least one layer, got none")
        for number, layer in enumerate(layers):
            members.check(f"{name}'s layer {number}", layer)
        first = layers[0]
        for number, layer in enumerate(layers):
            if layer.batch_first != first.batch_first:
                raise ValueError(
                    f"{name}'s layers must agree on batch_first: layer 0 has {first.batch_first}, "
                    f"layer {number} has {layer.batch_first}"
                )
        self.layers = nn.ModuleList(layers)
        self.batch_first: bool = first.batch_first
        self.input_size: int = first.input_size
        width = self._width()
        self.output = None
        if output_size is not None:
            like = next(self.parameters())
            self.output = nn.Linear(
                width, output_size, bias=False, device=like.device, dtype=like.dtype
            )
        #: Channels of the output.
        self.output_size: int = width if output_size is None else output_size

    def _width(self) -> int:
        """Channels before the output map; raises ValueError where members do not fit."""
        raise NotImplementedError

    @property
    def bidirectional(self) -> bool:
        """Whether a member reads a sequence from its end, too."""
        return any(layer.bidirectional for layer in self.layers)

    @property
    def process_group(self) -> ProcessGroup | None:
        """That of all members, whose time is split over its ranks; set it on each of them."""
        return ranks.common(list(self.layers))

    def _states(self, states: Sequence[State | None] | None) -> Sequence[State | None]:
        """A state for every member, checked to be as many."""
        if states is None:
            return [None] * len(self.layers)
        if not isinstance(states, (tuple, list)):
            raise TypeError(
                f"states must be a tuple with the state of each layer, got {type(states).__name__}"
            )
        if len(states) != len(self.layers):
            raise ValueError(
                f"states must hold a state for each of {len(self.layers)} layers, got {len(states)}"
            )
        return states

    def _mapped(self, out: Tensor | PackedSequence) -> Tensor | PackedSequence:
        if self.output is None:
            return out
        if isinstance(out, PackedSequence):
            return out._replace(data=self.output(out.data))
        return self.output(out)

    def _run(self, x, states, reset, one) -> tuple[Tensor | PackedSequence, tuple[State, ...]]:
        raise NotImplementedError

    def forward(
        self,
        x: Tensor | PackedSequence,
        states: Sequence[State | None] | None = None,
        reset: Tensor | None = None,
        *,
        return_sequence: bool = True,
        **unknown: Any,
    ) -> tuple[Tensor | PackedSequence, tuple[State, ...]]:
        """Runs all layers over a sequence: (out, states).

        Args:
            x: as any of the layers takes it, see ``Recurrent.forward``; also a PackedSequence, or
                without a batch.
            states: a tuple with the state of each layer, as that layer takes it, or None for its
                own start.
            reset: as of ``Recurrent.forward``; all layers start anew there. A layer of torch has no
                reset within a sequence: its sequence is run in pieces, which waits for the mask to
                arrive at the CPU.
            return_sequence (keyword): False for out after the last step alone, which without
                gradients takes the memory of a piece of the sequence.

        Returns (out, states): what the layers give, mapped; a tuple with each layer's last state,
        which the call on the next piece of the sequence, and ``step``, take.
        """
        if unknown:
            signature.refuse(type(self), unknown, signature.keywords(_Container.forward))
        if return_sequence:
            ranks.common(list(self.layers))
            return self._run(x, states, reset, members.run)
        if self.bidirectional:
            raise ValueError(
                "return_sequence must be True where a layer is bidirectional: its directions end "
                "at different steps"
            )
        return final.last(self, x, states, reset)

    def step(
        self,
        x: Tensor,
        states: Sequence[State | None] | None = None,
        reset: Tensor | None = None,
        **unknown: Any,
    ) -> tuple[Tensor, tuple[State, ...]]:
        """One time step, for streaming: x (B,input_size) or (input_size,), reset (B,) or ().

        Returns (out, states). States may come from a sequence, and go to one. Raises RuntimeError
        where a layer is bidirectional.
        """
        if unknown:
            signature.refuse(type(self), unknown, signature.keywords(_Container.step))
        return self._run(x, states, reset, members.step)


class Stack(_Container):
    """Recurrent layers one above the other, each of which reads the outputs of the one below:
    ``out, states = stack(x, states=None, reset=None)``.

        hybrid = nn.Stack(nn.LRU(28, 64), nn.BMRU(64, 64), output_size=64)

    Layers may be those of this package, torch.nn.GRU, LSTM and RNN, and other compositions.

    Args:
        layers: they agree on batch_first, and each one's input_size is the width of the output of
            the one below.
        output_size (keyword): channels of out = W_o y, a linear map without bias of the last
            layer's outputs, as the papers have; by default out = y.

    The call is described at ``forward``, one step at ``step``.

    state_dict: layers.{i}.* for layer i, output.weight (output_size, width).

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    def __init__(self, *layers: nn.Module, output_size: int | None = None) -> None:
        super().__init__(layers, output_size)

    def _width(self) -> int:
        width = members.width(self.layers[0])
        for number, layer in enumerate(list(self.layers)[1:], 1):
            if layer.input_size != width:
                raise ValueError(
                    f"layer {number} must have input_size = {width}, the width of layer "
                    f"{number - 1}'s output, got {layer.input_size}"
                )
            width = members.width(layer)
        return width

    def _run(self, x, states, reset, one):
        found = []
        for layer, state in zip(self.layers, self._states(states), strict=True):
            x, state = one(layer, x, state, reset)
            found.append(state)
        return self._mapped(x), tuple(found)


class Parallel(_Container):
    """Recurrent layers side by side, which read the same input: ``out, states = parallel(x,
    states=None, reset=None)``.

        both = nn.Parallel(nn.LRU(28, 64), nn.BMRU(28, 64))  # a hybrid: the sum of the two

    Args:
        layers: they agree on batch_first and on input_size, and for a sum on the width of their
            outputs.
        merge (keyword): "sum" of the outputs, or "concat" along the channels, in order.
        output_size (keyword): as of ``Stack``.

    The call, its states and what it raises are as of ``Stack``.
    """

    def __init__(
        self, *layers: nn.Module, merge: str = "sum", output_size: int | None = None
    ) -> None:
        self.merge = one_of("merge", merge, MERGES)
        super().__init__(layers, output_size)

    def _width(self) -> int:
        widths = [members.width(layer) for layer in self.layers]
        for number, layer in enumerate(self.layers):
            if layer.input_size != self.input_size:
                raise ValueError(
                    f"layer {number} must have input_size = {self.input_size}, as layer 0, got "
                    f"{layer.input_size}"
                )
            if self.merge == "sum" and widths[number] != widths[0]:
                raise ValueError(
                    f"layer {number} must have outputs as wide as layer 0's, {widths[0]}, to be "
                    f"added, got {widths[number]}; merge='concat' takes any"
                )
        return widths[0] if self.merge == "sum" else sum(widths)

    def _run(self, x, states, reset, one):
        outs, found = [], []
        for layer, state in zip(self.layers, self._states(states), strict=True):
            out, state = one(layer, x, state, reset)
            outs.append(out)
            found.append(state)
        if isinstance(x, PackedSequence):
            merged = outs[0]._replace(data=self._merged([out.data for out in outs]))
        else:
            merged = self._merged(outs)
        return self._mapped(merged), tuple(found)

    def _merged(self, outs: list[Tensor]) -> Tensor:
        if self.merge == "concat":
            return torch.cat(outs, -1)
        total = outs[0]
        for out in outs[1:]:
            total = total + out
        return total

    def extra_repr(self) -> str:
        return f"merge={self.merge!r}"
