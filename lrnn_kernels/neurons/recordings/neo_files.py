"""Other formats of electrophysiology, by neo, whose spike trains have units of their own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...extras import needs
from .errors import RecordingError, quoted, reason, said
from .names import distinct
from .recorded import Found, Recorded, clean
from .time_units import UNITS

if TYPE_CHECKING:
    import neo

#: Readers that are left out: one runs what it reads, one is read otherwise, one makes its data up,
#: and the times of the others are in a unit, or at a rate, that the file does not state.
LEFT_OUT = {
    "PickleIO",
    "NWBIO",
    "ExampleIO",
    "AsciiSignalIO",
    "AsciiSpikeTrainIO",
    "NestIO",
    "KlustaKwikIO",
}

_OTHER_MAT = ": of .mat files neo reads its own; write times to a CSV there, with writematrix"


def from_neo(segment_or_block: neo.Segment | neo.Block) -> Recorded:
    """The spike trains of a neo Segment or Block, in ms, whatever their units; lazy ones are
    loaded. Trains of different segments are units of their own: no interval crosses segments."""
    neo = _neo()
    if isinstance(segment_or_block, neo.Block):
        segments = segment_or_block.segments
    elif isinstance(segment_or_block, neo.Segment):
        segments = [segment_or_block]
    else:
        raise TypeError(
            "segment_or_block must be a neo Segment or Block, got "
            f"{type(segment_or_block).__name__}"
        )
    return clean(_found(segments, "neo", "spike trains in memory", None), "neo")


def read(path: Path, unit: str | None) -> Recorded:
    """A file, or a folder, that one of neo's readers knows by its ending."""
    neo = _neo(path)
    source = said(path.name)
    from neo.io import list_candidate_ios

    try:
        candidates = list_candidate_ios(path) if path.is_dir() or path.suffix else []
    except ValueError:
        candidates = []
    known = [
        io
        for io in dict.fromkeys(candidates)
        if io.__name__ not in LEFT_OUT and neo.SpikeTrain in io.supported_objects
    ]
    readers = [io for io in known if path.is_dir() == (io.mode == "dir")]
    if known and not readers:
        what = "a file, not of the folder" if path.is_dir() else "the folder, not of its files"
        raise RecordingError(f"{source}: neo reads this format by the name of {what}")
    if not readers:
        kind = "a folder" if path.is_dir() else path.suffix or "a name without ending"
        raise RecordingError(
            f"{source}: {kind} is none of .csv, .txt, .npz and .nwb, and neo knows no such format "
            "of spike trains"
        )
    if path.is_file() and not path.stat().st_size:
        raise RecordingError(f"{source}: it is empty")
    errors, silent = [], []
    for reader in readers:
        try:
            with _quietly():
                segments = _segments(reader, path)
                found = _found(segments, source, f"neo's {reader.__name__}", unit)
        except RecordingError:
            raise
        except Exception as error:  # each of neo's readers fails in its own way
            errors.append(f"{reader.__name__}: {reason(error)}"[:150])
            continue
        if found.names:
            return clean(found, source)
        silent.append(reader.__name__)
    if silent:
        raise RecordingError(
            f"{source}: neo's {' and '.join(silent)} finds no spike trains in it"
            + (_OTHER_MAT if path.suffix.lower() == ".mat" else ": were its spikes sorted?")
        )
    raise RecordingError(f"{source}: neo cannot read it ({'; '.join(dict.fromkeys(errors))})")


def _neo(path: Path | None = None):
    with needs(path.name if path else "from_neo", "neo", extra="neo"):
        import neo
    return neo


def _segments(reader: type, path: Path) -> list:
    file = reader(dirname=str(path)) if reader.mode == "dir" else reader(str(path))
    # Lazily where that is possible: traces may be of many gigabytes.
    blocks = file.read(lazy=True) if file.support_lazy else file.read()
    return [segment for block in blocks if block is not None for segment in block.segments]


@contextmanager
def _quietly() -> Iterator[None]:
    """What is wrong is said in the RecordingError, once."""
    logger = logging.getLogger("neo")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _found(segments: list, source: str, layout: str, unit: str | None) -> Found:
    names, rows, units = [], [], []
    for place, segment in enumerate(segments, 1):
        prefix = f"segment {place}: " if len(segments) > 1 else ""
        for number, train in enumerate(segment.spiketrains, 1):
            train = train.load() if hasattr(train, "load") else train
            names.append(prefix + _name(train, number))
            units.append(str(train.units.dimensionality))
            rows.append(_in_ms(train, units[-1]))
    theirs = list(dict.fromkeys(units))
    if unit is not None and theirs not in ([unit], []):
        raise RecordingError(
            f"{source}: the unit of time was stated as {unit}, but its spike trains are in "
            f"{' and '.join(theirs)}"
        )
    names, notes = distinct(names)
    if len(segments) > 1:
        notes.append(
            f"{len(segments):,} segments: the trains of each are units of their own, and no "
            "interval crosses segments"
        )
    return Found.of_rows(
        names, rows, layout, " and ".join(theirs), "as the spike trains say", 1.0, notes
    )


def _in_ms(train, unit: str) -> np.ndarray:
    times = np.asarray(train.magnitude, dtype=np.float64)
    return times * (UNITS[unit] if unit in UNITS else float(train.units.rescale("ms").magnitude))


def _name(train, number: int) -> str:
    name = getattr(train, "name", None)
    if name:
        return str(name)
    for key in ("id", "unit_id", "unit"):
        if key in train.annotations:
            return quoted(train.annotations[key]).strip("'")
    return str(number)
