"""States of a network after each sequence's own number of steps."""

from __future__ import annotations

import torch
from torch import Tensor

from .network import Network, Unit, tensors

#: Pieces into which sequences of several lengths are cut, each of fewer sequences than the one
#: before. A cut costs a call of every unit; more than four saved no time with 32 sequences.
CUTS = 4
#: Steps of a piece, at most, where nothing is recorded.
MOST_STEPS = 512


def at(network: Network, x: Tensor, lengths: Tensor) -> list:
    """The units' states after the first ``lengths`` steps of each sequence, lengths (N,) on the
    CPU, each from 1 to T. Differentiable.

    Sequences that have ended are run on to the next cut at most. Cuts are few where the outputs of
    every unit hold its state, else wherever a sequence ends.
    """
    time = network.time
    lengths, order = lengths.sort(descending=True, stable=True)
    x = x.index_select(1 - time, order.to(x.device))
    ends = lengths.tolist()
    exact = not all(unit.shows_state for unit in network.units)
    found: list[list] = [[] for _ in network.units]
    states: list = [None] * len(network.units)
    start, running = 0, len(ends)
    for stop in _cuts(ends, len(ends) if exact else CUTS):
        piece = x.narrow(time, start, stop - start).narrow(1 - time, 0, running)
        outs: dict[Unit, Tensor] = {}
        states = network.run(piece, states, _keeping(outs))
        left = sum(end > stop for end in ends)
        last = lengths[left:running].to(x.device) - 1 - start
        for unit, state in zip(network.units, states, strict=True):
            found[unit.number].append(_ended(outs, unit, state, last, left, running, time))
        states = [_first(state, left) for state in states]
        start, running = stop, left
    place = order.argsort().to(x.device)  # where each sequence lies among those by length
    return [_joined(parts, place) for parts in found]


def _cuts(ends: list[int], most: int) -> list[int]:
    """Steps at which to cut, rising, ``most`` of them where sequences end, as many in each piece.
    ends: longest first."""
    count = len(ends)
    cuts = {ends[count * k // most] for k in range(min(most, count))}
    if not torch.is_grad_enabled():
        cuts |= set(range(MOST_STEPS, ends[0], MOST_STEPS))
    return sorted(cuts)


def _keeping(outs: dict):
    """Runs a part, and keeps the outputs of units that show their state."""

    def call(part, does, *inputs):
        result = does(*inputs)
        if isinstance(part, Unit) and part.shows_state:
            outs[part] = result[0]
        return result

    return call


def _ended(outs, unit: Unit, state, last: Tensor, left: int, running: int, time: int):
    """The states of those of the running sequences that end in this piece, the last of them."""
    if unit not in outs:
        return tuple(h[:, left:running] for h in tensors(state))
    rows = torch.arange(left, running, device=last.device)
    out = outs[unit]
    h = out[rows, last] if time else out[last, rows]
    return (h.to(tensors(state)[0].dtype).unsqueeze(0),)


def _first(state, count: int):
    if isinstance(state, tuple):
        return tuple(h[:, :count] for h in state)
    return state[:, :count]


def _joined(parts: list[tuple[Tensor, ...]], place: Tensor):
    """The states of all sequences, those that ended last first, in the order of the batch."""
    whole = [torch.cat(h[::-1], 1).index_select(1, place) for h in zip(*parts, strict=True)]
    return whole[0] if len(whole) == 1 else tuple(whole)
