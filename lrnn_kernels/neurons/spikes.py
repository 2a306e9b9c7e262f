"""The spikes of a population: ragged, and what became of each neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Status(IntEnum):
    """What became of a neuron."""

    FINE = 0
    INVALID = 1  # a conductance is NaN, infinite or negative, or all are 0: not simulated
    EXPLODED = 2  # a state is NaN or infinite at the end: its spikes are dropped
    OVERFLOW = 3  # more spikes than the max_spikes asked for: the first are kept, counts has all


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spike times of B neurons.

    Neuron b spiked at ``times[offsets[b] : offsets[b + 1]]``. ``counts`` goes on where the times
    do not (overflow), and is offsets.diff() else. ``spikes[b]`` are the times of neuron b;
    ``spikes[a:b]``, a mask (B,) or a list, an array or a tensor of neurons give Spikes of these.
    """

    times: Tensor  # (N,) float64: ms, of neuron after neuron, ascending in each
    offsets: Tensor  # (B + 1,) int64
    counts: Tensor  # (B,) int64
    status: Tensor  # (B,) int8: see Status

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[float] | Tensor]) -> Spikes:
        """Spikes of neurons whose times, in ms and ascending, are given; all fine."""
        rows = [torch.as_tensor(times, dtype=torch.float64) for times in lists]
        for b, times in enumerate(rows):
            if times.dim() != 1:
                raise ValueError(f"lists[{b}] must have shape (N,), got {tuple(times.shape)}")
            if not times.isfinite().all() or (times.diff() < 0).any():
                raise ValueError(f"lists[{b}] must hold ascending, finite times in ms")
        counts = torch.tensor([len(times) for times in rows], dtype=torch.int64)
        times = torch.cat(rows) if rows else torch.empty(0, dtype=torch.float64)
        return cls(times, _offsets(counts), counts, torch.zeros(len(rows), dtype=torch.int8))

    @classmethod
    def from_padded(cls, times: Tensor, counts: Tensor, status: Tensor) -> Spikes:
        """Spikes of times (B, slots), of which row b holds min(counts[b], slots)."""
        held = counts.clamp(max=times.shape[1])
        mask = torch.arange(times.shape[1], device=times.device) < held[:, None]
        return cls(times[mask], _offsets(held), counts, status)

    @classmethod
    def cat(cls, pieces: Sequence[Spikes]) -> Spikes:
        """The neurons of several, one after the other."""
        if not pieces:
            return cls.from_lists([])
        held = torch.cat([piece.offsets.diff() for piece in pieces])
        parts = ((piece.times, piece.counts, piece.status) for piece in pieces)
        times, counts, status = (torch.cat(part) for part in zip(*parts, strict=True))
        return cls(times, _offsets(held), counts, status)

    def without(self, neurons: Tensor) -> Spikes:
        """The same, with no spikes of the neurons of a mask (B,); their status stays."""
        keep = ~neurons
        held = self.offsets.diff() * keep
        times = self.times[keep.repeat_interleave(self.offsets.diff())]
        return Spikes(times, _offsets(held), self.counts * keep, self.status)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int | slice | Tensor | Sequence[int]) -> Tensor | Spikes:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            self._within(int(index), int(index))
            b = int(index) % len(self)
            return self.times[self.offsets[b] : self.offsets[b + 1]]
        rows = self._rows(index)
        held = self.offsets.diff()[rows]
        offsets = _offsets(held)
        place = torch.arange(int(offsets[-1]), device=self.times.device)
        place = place + (self.offsets[rows] - offsets[:-1]).repeat_interleave(held)
        return Spikes(self.times[place], offsets, self.counts[rows], self.status[rows])

    def _rows(self, index: object) -> Tensor:
        """The numbers of neurons, (n,)."""
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            steps = torch.arange(len(chosen), device=self.times.device)
            return steps * chosen.step + chosen.start
        if not isinstance(index, (Tensor, np.ndarray, Sequence)) or isinstance(index, str):
            raise TypeError(
                f"neurons must be an int, a slice, a mask or a list, got {type(index).__name__}"
            )
        if not isinstance(index, Tensor):
            index = np.asarray(index, dtype=None if len(index) else np.int64)
            if index.dtype.kind not in "biu":
                raise TypeError(f"neurons must be a mask or of integers, got {index.dtype}")
            index = torch.from_numpy(index)
        rows = index.to(self.times.device)
        if rows.dim() != 1:
            raise IndexError(f"neurons must be one after the other, got shape {tuple(rows.shape)}")
        if rows.dtype == torch.bool:
            if len(rows) != len(self):
                raise IndexError(f"a mask must be of {len(self)} neurons, got {len(rows)}")
            return rows.nonzero()[:, 0]
        if rows.is_floating_point() or rows.is_complex():
            raise TypeError(f"neurons must be a mask or of integers, got {rows.dtype}")
        if len(rows):
            self._within(int(rows.min()), int(rows.max()))
        return rows.long() % max(len(self), 1)

    def _within(self, low: int, high: int) -> None:
        for b in (low, high):
            if not -len(self) <= b < len(self):
                raise IndexError(f"there are {len(self)} neurons, got neuron {b}")

    def to_lists(self) -> list[list[float]]:
        """The times of every neuron, ms."""
        return [row.tolist() for row in self.times.split(self.offsets.diff().tolist())]

    def to(self, device: torch.device | str) -> Spikes:
        return Spikes(*(x.to(device) for x in self._tensors))

    def neurons(self) -> Tensor:
        """(N,) int64: whose each of the times is."""
        b = torch.arange(len(self), device=self.times.device)
        return b.repeat_interleave(self.offsets.diff())

    @property
    def overflow(self) -> Tensor:
        """(B,) bool: neurons that had more spikes than slots."""
        return self.status == Status.OVERFLOW

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return self.times, self.offsets, self.counts, self.status

    def __repr__(self) -> str:
        wrong = [
            f"{int((self.status == status).sum())} {status.name.lower()}"
            for status in (Status.INVALID, Status.EXPLODED, Status.OVERFLOW)
            if (self.status == status).any()
        ]
        return f"Spikes({', '.join([f'{len(self)} neurons', f'{len(self.times)} spikes', *wrong])})"


class Holder(Protocol):
    """What holds spikes: a ``recordings.Recorded``, a ``Simulation``."""

    @property
    def spikes(self) -> Spikes: ...


def held(spikes: Spikes | Holder) -> Spikes:
    """Spikes as they are, or those that something holds; raises TypeError for all else."""
    found = getattr(spikes, "spikes", spikes)
    if not isinstance(found, Spikes):
        raise TypeError(
            "spikes must be neurons.Spikes, or what has them, as a Recorded or a Simulation, got "
            f"{type(spikes).__name__}"
        )
    return found


def _offsets(held: Tensor) -> Tensor:
    return torch.cat((held.new_zeros(1), held.cumsum(0)))
