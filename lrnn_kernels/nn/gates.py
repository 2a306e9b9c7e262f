"""What happens inside units that write now and then: which steps update which unit, and by how
much."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .checks import State
from .directions import Watch


class Gated:
    """Layers whose units are updated at some steps and hold at the others."""

    def gates(
        self, x: Tensor, h_0: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Which steps update which unit: z of every layer, 1 where it is updated and 0 where it
        holds, for the arguments of a call. (x is no PackedSequence.)

        Returns a tensor per layer in the form of out, (T,B,D*hidden_size), differentiable by the
        surrogate of H: ``torch.cat(rnn.gates(x), -1).mean()`` is a rate that training can
        lower. It runs the layers as a call does.
        """
        return self._watched(x, h_0, reset, self._gate)

    def _watched(
        self, x: Tensor, h_0: State | None, reset: Tensor | None, what: Watch
    ) -> tuple[Tensor, ...]:
        """What a function says of each layer's parameters and drive in a call, (B,T,C), in the form
        of out, directions side by side."""
        found: list[Tensor] = []
        self._sequence(x, h_0, reset, lambda p, drive: found.append(what(p, drive)))
        count = 2 if self.bidirectional else 1
        layers = [torch.cat(found[i : i + count], -1) for i in range(0, len(found), count)]
        if x.dim() == 2:
            return tuple(y.squeeze(0) for y in layers)
        return tuple(y if self.batch_first else y.transpose(0, 1) for y in layers)

    def _gate(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        """z of one layer and direction, (B,T,H), from ``_drive``'s output."""
        raise NotImplementedError


class Drifting(Gated):
    """Gated layers whose units add to their state what they are updated by."""

    def drift(
        self, x: Tensor, h_0: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """By how much every step moves every unit's level, h[t] - h[t-1] where nothing is reset, in
        the form of ``gates``; differentiable. Its sum over a constant input says where a level
        runs away to."""
        return self._watched(x, h_0, reset, self._drift)

    def _drift(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        raise NotImplementedError
