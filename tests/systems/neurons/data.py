"""Small data sets, of shards that are small, too."""

import pytest

from lrnn_kernels.neurons import datasets
from lrnn_kernels.neurons.datasets import shards

every_format = pytest.mark.parametrize("form", datasets.FORMATS)


def short_shards(monkeypatch) -> None:
    """Shards of 4 pairs."""
    for module in (datasets.settings, shards):
        if hasattr(module, "SHARD"):
            monkeypatch.setattr(module, "SHARD", 4)


def settings(**given) -> datasets.Settings:
    return datasets.Settings(**{"model": "stg", "pairs": 10, "neurons": 3, "T": 1.0, **given})


def same(a: datasets.Shard, b: datasets.Shard) -> bool:
    """Whether two shards are equal in every bit, dtypes included."""

    def parts(shard):
        spikes = shard.spikes
        mine = (getattr(shard, name) for name in ("g", "g_s", "g_u", "pair", "split"))
        theirs = (spikes.times, spikes.offsets, spikes.counts, spikes.status)
        return (*mine, shard.firing_class, *theirs)

    return a.dropped == b.dropped and all(
        x.dtype == y.dtype and x.shape == y.shape and x.numpy().tobytes() == y.numpy().tobytes()
        for x, y in zip(parts(a), parts(b), strict=True)
    )
