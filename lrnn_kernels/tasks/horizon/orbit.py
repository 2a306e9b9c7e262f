"""Whether a walker's whole state comes back, bit for bit, to one that it was in."""

from __future__ import annotations

import torch
from torch import Tensor

from ...multistability.orbit import bits
from .walk import State, Walk, flat


class Orbit:
    """Brent's cycle detection, of every row: its states are compared with one of theirs before,
    which is put forward each time that the steps have doubled. The first return is the period."""

    def __init__(self, walk: Walk, state: State) -> None:
        self._walk = walk
        self._anchor, self._at = self._parts(state), 0
        #: Each row's period, 0 where it is not known.
        self.periods = [0] * walk.count

    def add(self, done: int, states: list[State]) -> None:
        """The walkers' states after each of some steps, the first of them step ``done``, counted
        from 0."""
        same = self._same(states)
        lags = torch.arange(done + 1, done + 1 + len(states)) - self._at
        same &= (lags % self._walk.period == 0).to(same.device)[:, None]
        for row in (same.any(0).cpu() & (torch.tensor(self.periods) == 0)).nonzero()[:, 0].tolist():
            self.periods[row] = int(lags[int(same[:, row].int().argmax())])
        after = done + len(states)
        if after >= 2 * self._at:
            self._anchor, self._at = self._parts(states[-1]), after

    def _parts(self, state: State) -> list[Tensor]:
        """The walkers' bits, the batch first."""
        parts = zip(flat(state), self._walk.batch, strict=True)
        return [bits(h.narrow(at, 0, self._walk.count)).movedim(at, 0).clone() for h, at in parts]

    def _same(self, states: list[State]) -> Tensor:
        """(K, B): which rows' states are those of the anchor."""
        found = torch.ones(len(states), self._walk.count, dtype=torch.bool)
        for part, anchor in enumerate(self._anchor):
            at = self._walk.batch[part]
            now = torch.stack([flat(state)[part] for state in states])
            now = bits(now.narrow(at + 1, 0, self._walk.count)).movedim(at + 1, 1)
            found = found.to(now.device) & (now == anchor).reshape(*found.shape, -1).all(2)
        return found
