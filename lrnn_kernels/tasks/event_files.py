"""Recordings of events from the files in which they are published; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..extras import needs
from .events import Events

SHD_UNITS = 700  # channels of the artificial cochlea
NMNIST_SIDE = 34
NMNIST_UNITS = 2 * NMNIST_SIDE**2


class Recordings(NamedTuple):
    """Recordings, what they are, and how many units they have."""

    samples: list[Events]  # times in float64, units in int64
    labels: np.ndarray  # (len(samples),), int64
    size: int


def load_shd(path: str | Path, *, size: int = SHD_UNITS) -> Recordings:
    """Reads an HDF5 file as SHD and SSC are published: for every recording an array of times in
    ``spikes/times``, seconds, one of as many units in ``spikes/units``, and one of ``labels``.

    Source: Cramer et al., 2020. Raises ImportError without h5py, FileNotFoundError, and ValueError,
    which names what is missing or does not fit.
    """
    with needs("a file of SHD", "h5py"):
        import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected an HDF5 file as SHD's")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is not an HDF5 file")
    with h5py.File(path, "r") as file:
        missing = [name for name in ("spikes/times", "spikes/units", "labels") if name not in file]
        if missing:
            raise ValueError(
                f"{path} holds no {', '.join(missing)}; it holds {', '.join(file) or 'nothing'}"
            )
        times, units = file["spikes/times"][:], file["spikes/units"][:]
        labels = file["labels"][:].astype(np.int64)
    if not len(times) == len(units) == len(labels):
        raise ValueError(
            f"{path} holds {len(times)} recordings of times, {len(units)} of units and "
            f"{len(labels)} labels"
        )
    samples = [
        Events(t.astype(np.float64), u.astype(np.int64)) for t, u in zip(times, units, strict=True)
    ]
    for number, sample in enumerate(samples):
        if len(sample.times) != len(sample.units):
            raise ValueError(
                f"recording {number} of {path} has {len(sample.times)} times and "
                f"{len(sample.units)} units"
            )
        if len(sample.units) and not 0 <= sample.units.min() <= sample.units.max() < size:
            raise ValueError(
                f"units must be 0 ... {size - 1} (size - 1), got {sample.units.min()} to "
                f"{sample.units.max()} in recording {number} of {path}"
            )
    return Recordings(samples, labels, size)


def load_nmnist(folder: str | Path) -> Recordings:
    """Reads a folder of N-MNIST, ``Train`` or ``Test``, which holds one folder for each digit, "0"
    to "9", of files ``*.bin``; in the order of their names.

    Source: Orchard et al., 2015; the files are as ``nmnist_events`` says. Raises FileNotFoundError
    where there are none, and ValueError, which names the file, for other content.
    """
    folder = Path(folder)
    files = [(digit, p) for digit in range(10) for p in sorted((folder / str(digit)).glob("*.bin"))]
    if not files:
        raise FileNotFoundError(
            f'{folder} holds no recording; expected folders "0" to "9" of files *.bin'
        )
    samples = []
    for _, file in files:
        try:
            samples.append(nmnist_events(file.read_bytes()))
        except ValueError as error:
            raise ValueError(f"{file} is not a file of N-MNIST: {error}") from error
    labels = np.array([digit for digit, _ in files], dtype=np.int64)
    return Recordings(samples, labels, NMNIST_UNITS)


def nmnist_events(content: bytes) -> Events:
    """The events of one file of N-MNIST: 40 bits each, big-endian, from the highest bit

        39 ... 32   x, the column
        31 ... 24   y, the row
        23          polarity: 1 brighter, 0 darker
        22 ... 0    time in microseconds

    Units are polarity * 34 * 34 + y * 34 + x, of 2312. Raises ValueError for a length that is not
    of whole events and for places outside 34 x 34.
    """
    if len(content) % 5:
        raise ValueError(f"events have 5 bytes, got {len(content)} bytes")
    x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64).T
    if len(x) and max(x.max(), y.max()) >= NMNIST_SIDE:
        raise ValueError(f"x and y must be below {NMNIST_SIDE}, got up to {x.max()} and {y.max()}")
    polarity, microseconds = high >> 7, (high & 0x7F) << 16 | middle << 8 | low
    return Events(microseconds / 1e6, (polarity * NMNIST_SIDE + y) * NMNIST_SIDE + x)
