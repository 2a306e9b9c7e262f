"""What a network is trained and tested on: spike trains whose DICs are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .. import datasets
from ..metrics import FiringClass, metrics
from ..spikes import Spikes, Status
from .dicsnet import METRICS
from .losses import Targets


@dataclass(frozen=True, eq=False)
class Examples:
    """B neurons that are not silent, with the first 250 spikes of each and what is to be said of
    them; ``examples[rows]`` are some."""

    spikes: Spikes
    targets: Targets

    @classmethod
    def load(cls, folder: Path | str, split: str, limit: int | None = None) -> Examples:
        """Of a data set, "train", "validation" or "test"; its first ``limit``."""
        pieces, count = [], 0
        for shard in datasets.load(folder, split):
            pieces.append(cls.of(shard.spikes, torch.stack((shard.g_s, shard.g_u), 1)))
            count += len(pieces[-1])
            if limit is not None and count >= limit:
                break
        spikes = Spikes.cat([piece.spikes for piece in pieces])
        parts = zip(*(piece.targets for piece in pieces), strict=True)
        every = cls(spikes, Targets(*(torch.cat(part) for part in parts)))
        return every if limit is None else every[torch.arange(min(limit, count))]

    @classmethod
    def of(cls, spikes: Spikes, dics: Tensor) -> Examples:
        """Of spike trains and their g_s and g_u (B, 2); silent ones, and those whose simulation
        was not fine, are left out. The metrics are of all spikes."""
        found = metrics(spikes)
        rows = (found.firing_class != FiringClass.SILENT) & (spikes.status == Status.FINE)
        values = torch.stack([getattr(found, name) for name in METRICS], 1)
        return cls(
            spikes[rows],
            Targets(
                dics[rows].float(),
                found.firing_class[rows] - int(FiringClass.SPIKING),
                values[rows].log1p().float(),
            ),
        )

    def __len__(self) -> int:
        return len(self.spikes)

    def __getitem__(self, rows: Tensor) -> Examples:
        return Examples(self.spikes[rows], Targets(*(part[rows] for part in self.targets)))
