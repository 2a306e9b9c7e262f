"""Neurodata Without Borders: the table of units, by pynwb; seconds by its standard."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ...extras import needs
from .errors import RecordingError, listed, reason, said
from .names import distinct
from .recorded import Found
from .time_units import UNITS, agreed, origin

_SAYS = "NWB's standard"
HDF5 = b"\x89HDF\r\n\x1a\n"


def found(path: Path, unit: str | None) -> Found:
    """What an NWB file holds. Raises ImportError without pynwb."""
    with needs("an NWB file", "pynwb", extra="nwb"):
        import pynwb
    source = said(path.name)
    with path.open("rb") as file:
        start = file.read(len(HDF5))
    if not start:
        raise RecordingError(f"{source}: it is empty")
    if start != HDF5:
        raise RecordingError(f"{source}: it is no HDF5 file, which NWB files are")
    agreed(source, unit, "s", _SAYS)
    try:
        with warnings.catch_warnings():  # of versions of schemas
            warnings.simplefilter("ignore")
            with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as file:
                names, times, counts, notes = _units(file.read().units, source)
    except RecordingError:
        raise
    except Exception as error:  # HDF5, hdmf and pynwb have errors of many kinds
        raise RecordingError(f"{source}: pynwb cannot read it ({reason(error)})") from error
    return Found(
        names, times, counts, "NWB, table of units", "s", origin("s", _SAYS), UNITS["s"], notes
    )


def _units(table, source: str):
    if table is None:
        raise RecordingError(
            f"{source}: it has no table of units: were its spikes sorted, and written with "
            "add_unit(spike_times=...)?"
        )
    if "spike_times" not in table.colnames:
        columns = listed(list(table.colnames)) or "none"
        raise RecordingError(
            f"{source}: its table of units has no spike_times (its columns: {columns})"
        )
    column = table["spike_times"]
    ends, times = np.asarray(column.data[:]), np.asarray(column.target.data[:])
    counts = np.diff(ends.astype(np.int64), prepend=0)
    if times.ndim != 1 or times.dtype.kind not in "fiu" or (counts < 0).any():
        raise RecordingError(f"{source}: its spike_times are damaged")
    if counts.sum() != len(times):
        raise RecordingError(
            f"{source}: its units say {counts.sum()} spike times, and there are {len(times)}"
        )
    names, notes = distinct([str(unit) for unit in table.id[:]])
    if "obs_intervals" in table.colnames:
        several = sum(len(spans) > 1 for spans in table["obs_intervals"])
        if several:
            units = "unit was" if several == 1 else "units were"
            notes.append(
                f"{several:,} {units} observed with breaks (obs_intervals): intervals across them "
                "are kept"
            )
    return names, times, counts, notes
