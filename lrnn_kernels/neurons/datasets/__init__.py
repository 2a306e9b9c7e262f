"""Data sets of neurons, their dynamic input conductances and their spikes, in shards on disk.

settings = datasets.Settings("stg", pairs=75_000, neurons=16, seed=0)
datasets.make(settings, "stg-75000")                    # goes on where it was interrupted
for shard in datasets.load("stg-75000", split="train"):
    shard.spikes, shard.g_s, shard.g_u                  # Spikes, (n,), (n,)

python -m lrnn_kernels.neurons dataset stg --pairs 75000 --neurons 16 --out stg-75000

Files are .npz, or with ``Settings(..., format="parquet")`` a row a neuron for other programs (pip
install "lrnn-kernels[parquet]"); ``load`` makes the same shards of both.

A pair of targets (g_s, g_u) has some neurons, whose conductances differ widely. A shard depends on
the settings and its number alone. Source: as of ``lrnn_kernels.neurons``.
"""

from .making import described, make
from .reading import load
from .settings import FORMATS, LAWS, SPLITS, Settings
from .shards import Shard

__all__ = ["FORMATS", "LAWS", "SPLITS", "Settings", "Shard", "described", "load", "make"]
