"""Where states under a constant input are after many steps: no step is taken twice that is known to
lead where one has led before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .network import Network, plainly, tensors

#: Steps of a piece. The fewer, the sooner an orbit is seen to have closed: one of p steps after
#: p pieces at most, or at once where p divides a piece, as 1, 2, 3, 4, 6, 8 do. Pieces of 240 steps
#: are 13 % faster to run through with 32 x 256 units of a GRU.
PIECE = 24
#: States that a sequence's new ones are compared with, at most.
MOST_SEEN = 1 << 12


def after(
    network: Network, states: list, u: Tensor, steps: int, *, piece: int = PIECE, stop: bool = True
) -> list:
    """The units' states after ``steps`` of the input u, without gradients.

    stop: whether orbits that have come to a state for the second time are followed no further. The
    result has the same bits either way.

    That holds for one reason: all steps but the remainder are taken by one and the same call, of as
    many sequences for as many steps, on as many threads. A scan of another length, or of fewer
    sequences, may add in another order and give other last bits. In one form the network is a map
    from bits to bits, and within it every sequence is one of its own, whose row stands where it
    stood: a row that repeats will do so for ever.
    """
    count = tensors(states[0])[0].shape[1]
    pieces, rest = divmod(steps, piece)
    x = network.constant(u, piece, count)
    run = _Unchanged()
    orbit = _Orbits(states, pieces)
    for done in range(1, pieces + 1):
        before, states = states, network.run(x, states, run if stop else plainly)
        if stop and all(new is old for new, old in zip(states, before, strict=True)):
            break
        if stop and orbit.add(done, states):
            states = orbit.finished(done, states, lambda h: network.run(x, h, run))
            break
    if rest:
        states = network.run(network.constant(u, rest, count), states)
    return states


class _Unchanged:
    """Runs a part of a network unless it was given the very same before: a lower layer that has
    come to rest is not run again, nor what reads it alone.

    A state that a part gives back with the bits it came with stays the object that it was, so that
    to be the same is to be the same object.
    """

    def __init__(self) -> None:
        self._last: dict[object, tuple[tuple, object]] = {}

    def __call__(self, part: object, does: Callable, *inputs):
        given, result = self._last.get(part, ((), None))
        if len(given) == len(inputs) and all(a is b for a, b in zip(given, inputs, strict=True)):
            return result
        result = does(*inputs)
        if isinstance(result, tuple):
            out, state = result
            before = inputs[1]
            result = out, before if _equal(before, state) else state
        self._last[part] = inputs, result
        return result


def _equal(a, b) -> bool:
    pairs = zip(tensors(a), tensors(b), strict=True)
    return all(torch.equal(bits(x), bits(y)) for x, y in pairs)


def bits(x: Tensor) -> Tensor:
    """A state's bits as whole numbers, complex ones with a last dimension of two: zeros of both
    signs are two numbers, and a NaN equals itself."""
    if x.is_complex():
        x = torch.view_as_real(x)
    kinds = {8: torch.int64, 4: torch.int32, 2: torch.int16}
    return x.view(kinds[x.element_size()]) if x.is_floating_point() else x


class _Orbits:
    """Finds every sequence's period, in pieces: the first state, of all after each piece, that it
    comes back to."""

    def __init__(self, states: list, pieces: int) -> None:
        self._pieces = pieces
        # Digests of 128 bits, in place of the states: two of one digest are not to be expected.
        self._seen = [{_digest(row): 0} for row in _rows(states)]
        #: Each sequence's period, 0 where it is not known yet.
        self._periods = [0] * len(self._seen)

    def add(self, done: int, states: list) -> bool:
        """The states after so many pieces; whether all periods are known."""
        for i, row in enumerate(_rows(states)):
            if self._periods[i]:
                continue
            seen = self._seen[i]
            self._periods[i] = done - seen.setdefault(_digest(row), done)
            if len(seen) > MOST_SEEN:
                seen.clear()
        return all(self._periods)

    def finished(self, done: int, states: list, step: Callable[[list], list]) -> list:
        """The states after all pieces, of a batch in which every sequence is on its cycle."""
        left = [(self._pieces - done) % period for period in self._periods]  # each one's, to go
        result = [tuple(h.clone() for h in tensors(state)) for state in states]
        for ahead in range(1, max(left) + 1):
            states = step(states)
            arrived = [i for i, pieces in enumerate(left) if pieces == ahead]
            for kept, state in zip(result, states, strict=True):
                for h, new in zip(kept, tensors(state), strict=True):
                    h[:, arrived] = new[:, arrived]
        return [
            new if isinstance(old, tuple) else new[0]
            for new, old in zip(result, states, strict=True)
        ]


def _rows(states: list) -> np.ndarray:
    """All bytes of every sequence's state, (N, bytes)."""
    parts = [bits(h)[0].flatten(1) for state in states for h in tensors(state)]
    return torch.cat(parts, 1).cpu().numpy()


def _digest(row: np.ndarray) -> bytes:
    return hashlib.blake2b(row, digest_size=16).digest()
