"""What the network reads of a spike train: two numbers an interval."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..spikes import Spikes

#: Spikes of a train that are read, its first.
MOST_SPIKES = 250


class Features(NamedTuple):
    """Of B trains of L intervals at most."""

    x: Tensor  # (B, L, 2): log(1 + ISI / ms), and its difference to the one before (the first's 0)
    mask: Tensor  # (B, L) bool: where there is an interval


def padded(spikes: Spikes, first: Tensor | None = None, most: int = MOST_SPIKES) -> Tensor:
    """Times (B, n) in ms, infinite behind a train's last: of each train at most ``most`` from its
    spike number ``first`` (B,) on."""
    held, start = spikes.offsets.diff(), spikes.offsets[:-1]
    if first is not None:
        held, start = held - first, start + first
    held = held.clamp(max=most)
    place = torch.arange(int(held.max()) if len(held) else 0, device=held.device)
    inside = place < held[:, None]
    times = spikes.times.new_full(inside.shape, torch.inf)
    times[inside] = spikes.times[(start[:, None] + place)[inside]]
    return times


def of_times(times: Tensor, dtype: torch.dtype = torch.float32) -> Features:
    """The features of padded times (B, n), ascending. L = n - 1."""
    mask = times[:, 1:].isfinite()
    isi = times.diff(dim=1).masked_fill(~mask, 0.0)  # in float64: times are long, intervals short
    log = isi.log1p()
    change = torch.zeros_like(log)
    change[:, 1:] = log[:, 1:] - log[:, :-1]
    return Features(torch.stack((log, change), 2).to(dtype) * mask[..., None], mask)


def of_spikes(spikes: Spikes, dtype: torch.dtype = torch.float32) -> Features:
    """The features of trains, B in all."""
    return of_times(padded(spikes), dtype)
