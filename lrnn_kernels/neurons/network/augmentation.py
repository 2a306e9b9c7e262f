"""Trains as a recording may have them: shorter, with spikes that were missed or came late."""

from __future__ import annotations

import torch
from torch import Tensor

from ..metrics import FEWEST_SPIKES
from ..spikes import Spikes
from .features import Features, of_times, padded

#: ms; share of the spikes.
JITTER, MISSED = 2.0, 0.05


def windows(spikes: Spikes, longest: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(first, length) of a run of spikes of each train, int64 (B,): of at least half of them, and
    of ``longest`` at most."""
    held = spikes.offsets.diff()
    least = torch.maximum((held + 1) // 2, held.clamp(max=FEWEST_SPIKES))
    length = least + (_uniform(held, generator) * (held - least + 1)).long()
    length = length.clamp(max=longest)
    first = (_uniform(held, generator) * (held - length + 1)).long()
    return first, length


def blurred(times: Tensor, generator: torch.Generator) -> Tensor:
    """Padded times (B, n): each 2 ms off (standard deviation) and one of twenty missed, though no
    more than leave two."""
    noise = torch.randn(times.shape, generator=generator, dtype=times.dtype)
    missed = torch.rand(times.shape, generator=generator) < MISSED
    missed[:, :2] = False
    return (times + JITTER * noise).masked_fill(missed, torch.inf).sort(1).values


def augmented(
    spikes: Spikes, first: Tensor, length: Tensor, generator: torch.Generator
) -> Features:
    """The features of B trains' windows, blurred."""
    times = padded(spikes, first)
    inside = torch.arange(times.shape[1]) < length[:, None]
    times = times.masked_fill(~inside, torch.inf)[:, : int(length.max())]
    return of_times(blurred(times, generator))


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(like), generator=generator, dtype=torch.float64)
