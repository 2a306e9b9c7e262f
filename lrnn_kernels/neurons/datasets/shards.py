"""One shard: what is drawn and simulated of some pairs, and how it lies on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..metrics import firing_class
from ..noise import Noise
from ..populations import monte_carlo, neuromodulate, spiking_population
from ..simulate import simulate
from ..spikes import Spikes
from . import files, npz, parquet
from .settings import SPLITS, Settings

#: How files are written and read, by the name of their format, which they also end with.
_FORMATS = {"npz": npz, "parquet": parquet}

#: A number of its own for each thing that is drawn of a shard.
_TARGETS, _NEURONS, _SPLITS = range(3)
#: The arrays of a file, beside the number of those dropped; the last four are its spikes'.
_NAMES = (
    "g",
    "g_s",
    "g_u",
    "pair",
    "split",
    "firing_class",
    "times",
    "offsets",
    "counts",
    "status",
)


@dataclass(frozen=True, eq=False)
class Shard:
    """n neurons. ``save`` writes all of it in the settings' format, ``read`` reads that.

    g: (n, channels) float64, mS/cm^2, in the order of the model's channels.
    g_s, g_u: (n,) float64, the targets at the model's threshold voltage, by the leak; NaN where
        conductances were drawn independently.
    pair: (n,) int64, which pair of the data set.
    split: (n,) int8, 0 train, 1 validation, 2 test; the same for all neurons of a pair.
    firing_class: (n,) int64, 0 silent, 1 spiking, 2 bursting, by the spikes that are kept.
    spikes: the times from ``discard`` on, ms from the start of the simulation.
    dropped: how many neurons of these pairs have a negative conductance, and are left out.
    """

    g: Tensor
    g_s: Tensor
    g_u: Tensor
    pair: Tensor
    split: Tensor
    firing_class: Tensor
    spikes: Spikes
    dropped: int

    def __len__(self) -> int:
        return len(self.g)

    def __getitem__(self, rows: Tensor) -> Shard:
        """Some of the neurons, by a mask (n,) or their numbers."""
        parts = (x[rows] for x in (self.g, self.g_s, self.g_u, self.pair, self.split))
        return Shard(*parts, self.firing_class[rows], self.spikes[rows], self.dropped)

    def save(self, path: Path, settings: Settings) -> None:
        """Writes a file that is there whole or not at all, whatever happens meanwhile. The same
        neurons give the same bytes."""
        write, arrays = _FORMATS[settings.format].write, self._arrays()
        files.write(path, lambda file: write(file, arrays, settings))

    def _arrays(self) -> dict[str, np.ndarray]:
        spikes = self.spikes
        tensors = {
            "g": self.g,
            "g_s": self.g_s,
            "g_u": self.g_u,
            "pair": self.pair,
            "split": self.split,
            "firing_class": self.firing_class,
            "times": spikes.times,
            "offsets": spikes.offsets,
            "counts": spikes.counts,
            "status": spikes.status,
        }
        arrays = {name: x.cpu().numpy() for name, x in tensors.items()}
        return {**arrays, "dropped": np.int64(self.dropped)}

    @classmethod
    def read(cls, path: Path, settings: Settings) -> Shard:
        """Raises ValueError where the file is no whole shard of these settings' kind."""
        kind = _FORMATS[settings.format]
        kind.check()
        content = path.read_bytes()
        try:
            arrays = kind.read(content, settings)
            x = {name: torch.from_numpy(arrays[name]) for name in _NAMES}
            dropped = int(arrays["dropped"])
            if x["g"].shape != (len(x["pair"]), len(settings.row.channels)):
                raise ValueError(f"g has shape {tuple(x['g'].shape)}")
        except Exception as error:  # whatever a parser stumbles on in bytes that are damaged
            raise ValueError(
                f"{path} must be a whole shard: {error!r}; without it, the command that made it "
                "makes it again"
            ) from error
        spikes = Spikes(*(x.pop(name) for name in _NAMES[-4:]))
        return cls(**x, spikes=spikes, dropped=dropped)


def made(settings: Settings, number: int, *, backend: str = "auto") -> Shard:
    """Draws and simulates a shard: a function of settings and its number alone."""
    pairs = torch.tensor(settings.pairs_of(number))
    recipe, count = settings.row.recipe, len(pairs) * settings.neurons
    rng = np.random.default_rng([settings.seed, number, _TARGETS])
    targets = [torch.from_numpy(rng.uniform(*ends, len(pairs))) for ends in recipe.modulated]
    seed = int(np.random.SeedSequence([settings.seed, number, _NEURONS]).generate_state(1)[0])
    pair = torch.arange(len(pairs)).repeat_interleave(settings.neurons)
    if settings.law == "dic":
        base = spiking_population(settings.model, count, seed=seed)
        pair = pair[base.kept]
        found = neuromodulate(settings.model, base.g, g_s=targets[0][pair], g_u=targets[1][pair])
        g, pair = found.g, pair[found.kept]
        g_s, g_u = (target[pair] for target in targets)
    else:
        g = monte_carlo(settings.model, count, seed=seed, law=settings.law)
        g_s = g_u = torch.full((count,), torch.nan, dtype=torch.float64)
    rng = np.random.default_rng([settings.seed, number, _SPLITS])
    split = _split(torch.from_numpy(rng.random(len(pairs))), settings)
    spikes = _simulated(settings, g, pairs[0].item() * settings.neurons, backend)
    return Shard(
        g, g_s, g_u, pairs[pair], split[pair], firing_class(spikes), spikes, count - len(g)
    )


def check(settings: Settings, backend: str) -> None:
    """Raises as ``made`` and ``save`` would for settings that no simulation takes, and for a format
    whose package is missing."""
    _FORMATS[settings.format].check()
    _simulated(settings, torch.empty(0, len(settings.row.channels)), 0, backend)


def _simulated(settings: Settings, g: Tensor, first: int, backend: str) -> Spikes:
    """The spikes of neurons whose noise is that of the neurons from first on."""
    noise = Noise(settings.noise, first=first) if settings.noise else None
    return simulate(
        settings.model,
        g,
        settings.T,
        dt=settings.dt,
        discard=settings.discard,
        noise=noise,
        seed=settings.seed,
        dtype=getattr(torch, settings.dtype),
        backend=backend,
    ).spikes


def _split(x: Tensor, settings: Settings) -> Tensor:
    """Numbers of SPLITS, from uniform ones."""
    ends = torch.tensor([1 - settings.validation - settings.test, 1 - settings.test])
    return torch.bucketize(x, ends.double(), right=True).to(torch.int8)


def about(settings: Settings) -> str:
    """What a file holds, for readers."""
    return _FORMATS[settings.format].about(settings)


def paths(settings: Settings, folder: Path, rank: int = 0, world: int = 1) -> list[Path]:
    """Of all shards, or of those that one of several processes makes."""
    numbers = range(rank, settings.shards, world)
    return [folder / f"shard-{number:05d}.{settings.format}" for number in numbers]


def chosen(shard: Shard, split: str | None) -> Shard:
    return shard if split is None else shard[shard.split == SPLITS.index(split)]
