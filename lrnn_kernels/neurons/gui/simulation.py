"""Simulating twins in pieces, so that a user sees how far it is and may cancel at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..model import Model
from ..progress import Told
from ..simulate import simulate
from ..spikes import Spikes, Status

#: ms: a piece, after each of which a user may cancel; it is a small part of a second.
PIECE = 1000.0
#: ms: V is kept this long, at these intervals.
V_WINDOW, V_EVERY = 3000.0, 0.1


class Cancelled(Exception):
    """Whoever waited for a simulation does no longer."""


class Fired(NamedTuple):
    """What n neurons did; times from the end of their settling."""

    spikes: Spikes  # ms
    t: Tensor  # (N,) ms
    V: Tensor  # (n, N) mV


def fired(
    model: Model,
    g: Tensor,
    T: float,
    progress: Told = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Fired:
    """Simulates neurons g (n, channels) until they have settled as in the published protocol, and
    for T ms more. Tells the share that is done; raises Cancelled after the piece during which
    ``cancelled`` became true."""
    settle = model.recipe.protocol[1]
    end, state, pieces, t, V = settle + T, None, [], [], []
    while state is None or state.time < end - model.dt / 2:
        time = 0.0 if state is None else state.time
        if cancelled():
            raise Cancelled
        progress(time / end)
        piece = min(PIECE, (settle if time < settle else end) - time)
        recorded = settle <= time < settle + V_WINDOW
        spikes, state, record = simulate(
            model,
            g,
            round(piece / model.dt) * model.dt,
            state=state,
            discard=settle,
            record=V_EVERY if recorded else None,
        )
        pieces.append(spikes)
        if recorded:
            t.append(record.t - settle)
            V.append(record["V"])
    if cancelled():
        raise Cancelled
    progress(1.0)
    found = joined(pieces)
    moved = Spikes(found.times - settle, found.offsets, found.counts, found.status)
    return Fired(moved, torch.cat(t), torch.cat(V, 1))


def joined(pieces: Sequence[Spikes]) -> Spikes:
    """The spikes of the same neurons, one piece of time after the other."""
    owner = torch.cat([piece.neurons() for piece in pieces])
    order = owner.argsort(stable=True)
    times = torch.cat([piece.times for piece in pieces])[order]
    held = torch.bincount(owner, minlength=len(pieces[0]))
    counts = torch.stack([piece.counts for piece in pieces]).sum(0)
    status = torch.stack([piece.status for piece in pieces]).amax(0)
    offsets = torch.cat((held.new_zeros(1), held.cumsum(0)))
    exploded = torch.stack([piece.status == Status.EXPLODED for piece in pieces]).any(0)
    status = status.masked_fill(exploded, int(Status.EXPLODED))
    return Spikes(times, offsets, counts, status).without(exploded)
