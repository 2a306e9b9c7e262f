"""One way in: a path, bytes, or lists of times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from . import csv_files, neo_files, npz_files, nwb_files
from .errors import RecordingError, quoted, said
from .recorded import Found, Recorded, clean
from .time_units import UNITS, stated

#: Formats that are read from bytes as well.
OF_BYTES = {".csv": csv_files.found, ".txt": csv_files.found, ".npz": npz_files.found}

_SHEET = "a spreadsheet is not read: save it there as CSV UTF-8"
_PICKLE = (
    "a pickle is refused, because to read one is to run it: write the times to CSV, NPZ or NWB"
)
#: Endings that are known and not read.
REFUSED = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), _SHEET),
    **dict.fromkeys((".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth"), _PICKLE),
    ".npy": "a .npy file names no units: write an NPZ, np.savez(path, unit='ms', name=times, ...)",
    ".tsv": "tabs separate the entries: write them with commas, as .csv",
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".tar"), "unpack it first"),
}


def read(path: str | os.PathLike, *, unit: str | None = None) -> Recorded:
    """The spikes of every unit in a file, in ms.

    unit: "s" or "ms" where the file does not say what its times are in.

    Raises RecordingError, of one sentence, for what cannot be read for certain, FileNotFoundError,
    and ImportError where the format takes a package that is not installed.
    """
    path, unit = Path(path), stated(unit)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    ending = path.suffix.lower()
    source = said(path.name)
    _refuse(source, ending)
    if path.is_dir():
        if ending in (*OF_BYTES, ".nwb"):
            raise RecordingError(f"{source}: it is a folder, not a file")
        return neo_files.read(path, unit)
    if ending in OF_BYTES:
        return read_bytes(path.read_bytes(), path.name, unit=unit)
    if ending == ".nwb":
        return clean(nwb_files.found(path, unit), source)
    return neo_files.read(path, unit)


def read_bytes(data: bytes, name: str, *, unit: str | None = None) -> Recorded:
    """The spikes of every unit in the bytes of a CSV or an NPZ, told by the ending of its name.
    Nothing is written to the disk. Raises RecordingError."""
    unit = stated(unit)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, got {type(data).__name__}")
    if not isinstance(name, str):
        raise TypeError(f"name must be a file's name, got {type(name).__name__}")
    source, ending = said(name), ending_of(name)
    data = bytes(data)
    if not data.strip():
        raise RecordingError(f"{source}: it is empty")
    return clean(OF_BYTES[ending](data, source, unit), source)


def ending_of(name: str) -> str:
    """The ending of a file's name, in small letters, where its bytes are read. Raises
    RecordingError where they are not."""
    source, ending = said(name), Path(name).suffix.lower()
    _refuse(source, ending)
    if ending not in OF_BYTES:
        known = ", ".join(OF_BYTES)
        raise RecordingError(
            f"{source}: {ending or 'a name without ending'} cannot be read here, only {known}"
        )
    return ending


def _refuse(source: str, ending: str) -> None:
    if ending in REFUSED:
        raise RecordingError(f"{source}: {REFUSED[ending]}")


def of(
    lists: Sequence[Sequence[float] | np.ndarray | Tensor],
    names: Sequence[str] | None = None,
    *,
    unit: str | None = None,
) -> Recorded:
    """Units whose times are at hand: cleaned, refused and reported as those of a file. Names are
    "1", "2", ... where none are given. Times are in the unit "s" or "ms"; where it is not stated in
    ms, as all times of this package, and the report says that nobody stated it."""
    unit_from = "as stated" if stated(unit) else "the default of recordings.of"
    unit = unit or "ms"
    if isinstance(lists, (str, bytes)) or not hasattr(lists, "__len__"):
        raise TypeError(f"lists must be a list of lists of times, got {type(lists).__name__}")
    names = [str(n + 1) for n in range(len(lists))] if names is None else [str(n) for n in names]
    if len(names) != len(lists):
        raise ValueError(f"names must be of {len(lists)} units, got {len(names)}")
    if len(set(names)) != len(names):
        again = next(name for n, name in enumerate(names) if name in names[:n])
        raise ValueError(f"names must differ, got {quoted(again)} twice")
    rows = [_row(name, times) for name, times in zip(names, lists, strict=True)]
    found = Found.of_rows(names, rows, "lists in memory", unit, unit_from, UNITS[unit])
    return clean(found, "times")


def _row(name: str, times: object) -> np.ndarray:
    if isinstance(times, Tensor):
        times = times.detach().cpu()
        times = (times.double() if times.is_floating_point() else times).numpy()
    try:
        row = np.asarray(times)
    except ValueError:  # lists of different lengths within
        row = np.empty(0, dtype=object)
    if row.size == 0 and row.ndim == 1 and row.dtype != object:
        return np.empty(0)
    if row.ndim != 1 or row.dtype.kind not in "fiu":
        raise TypeError(
            f"lists: unit {said(name)} must be a list of numbers, got {row.ndim} dimensions of "
            f"{row.dtype}"
        )
    return row.astype(np.float64)
