"""A shard as a .npz: numpy's own archive of arrays."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO
from zipfile import ZipFile

import numpy as np

from .settings import Settings

_TABLE = """\
Each `shard-*.npz` holds n neurons, as arrays:

| array | shape, type | what it is |
|---|---|---|
| g | (n, {channels}) float64 | conductances {names}, mS/cm^2 |
| g_s, g_u | (n,) float64 | slow and ultraslow DIC at {V} mV, by the leak; NaN without a target |
| pair | (n,) int64 | neurons of one pair have the same g_s and g_u |
| split | (n,) int8 | 0 train, 1 validation, 2 test; one for all neurons of a pair |
| firing_class | (n,) int64 | 0 silent, 1 spiking, 2 bursting |
| times | (N,) float64 | spike times, ms, from {discard:g} on of {T:g}, neuron after neuron |
| offsets | (n + 1,) int64 | neuron i has times[offsets[i] : offsets[i + 1]] |
| counts, status | (n,) int64, int8 | all spikes; 0 fine, 1 invalid, 2 exploded, 3 overflow |
| dropped | () int64 | neurons that had a negative conductance, and are not here |
"""


def check() -> None:
    """numpy is always there."""


def about(settings: Settings) -> str:
    """What a file holds, for the folder's README."""
    model = settings.row
    return _TABLE.format(
        channels=len(model.channels),
        names=", ".join(model.channel_names),
        V=f"{model.V_threshold:g}",
        discard=settings.discard,
        T=settings.T,
    )


def write(file: BinaryIO, arrays: dict[str, np.ndarray], _settings: Settings) -> None:
    np.savez(file, **arrays)


def read(content: bytes, _settings: Settings) -> dict[str, np.ndarray]:
    """The arrays of a file's bytes; raises where these are no whole shard."""
    with ZipFile(BytesIO(content)) as archive:
        # A member's checksum is looked at where all of it is read, which a damaged header of an
        # array may not ask for.
        members = {name: archive.read(name) for name in archive.namelist()}
    return {
        name.removesuffix(".npy"): np.lib.format.read_array(BytesIO(member), allow_pickle=False)
        for name, member in members.items()
    }
