"""From times as they were found to Spikes: what is dropped, sorted, counted and refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..spikes import Spikes, Status
from .errors import RecordingError, said
from .report import FEWEST, REFRACTORY, Report, UnitReport

LATEST = 1e9  # ms, 11 days: no recording's time, and small enough that intervals keep their digits


@dataclass(frozen=True, eq=False)
class Recorded:
    """Recorded units: their spikes, their names, and what became of what was read."""

    spikes: Spikes  # ms, ascending, B units
    names: list[str]  # B
    report: Report
    source: str

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Recorded({self.source!r}, {len(self)} units, {len(self.spikes.times)} spikes)"


@dataclass
class Found:
    """Times as a file has them, unit after unit."""

    names: list[str]
    times: np.ndarray  # (N,), of any number type
    counts: np.ndarray  # (units,) int64
    layout: str
    unit: str
    unit_from: str
    to_ms: float  # ms in a unit
    notes: list[str] = field(default_factory=list)
    hint: str = ""  # what may be wrong where no unit has spikes enough

    @classmethod
    def of_rows(cls, names: list[str], rows: Sequence[np.ndarray], *args, **kwargs) -> Found:
        """Of an array for each unit."""
        counts = np.array([len(row) for row in rows], dtype=np.int64)
        times = np.concatenate(rows) if rows else np.empty(0)
        return cls(names, times, counts, *args, **kwargs)


def clean(found: Found, source: str) -> Recorded:
    """What can be simulated, predicted from and plotted, or a RecordingError."""
    times = np.array(found.times, dtype=np.float64)  # a copy, which is sorted in place
    if found.to_ms != 1.0:
        with np.errstate(over="ignore"):  # to infinity, which is refused
            times *= found.to_ms
    neurons = len(found.counts)
    owner = np.repeat(np.arange(neurons), found.counts)

    def per_unit(mask: np.ndarray, owner: np.ndarray) -> np.ndarray:
        return np.bincount(owner[mask], minlength=neurons)

    missing = np.isnan(times)
    nan = per_unit(missing, owner)
    if missing.any():
        times, owner = times[~missing], owner[~missing]
    _refuse_the_far(times, owner, found, source)

    same = owner[1:] == owner[:-1]
    unsorted = per_unit(same & (times[1:] < times[:-1]), owner[1:]) > 0
    ends = np.cumsum(np.bincount(owner, minlength=neurons))
    for unit in np.flatnonzero(unsorted):
        times[ends[unit - 1] if unit else 0 : ends[unit]].sort()

    twice = np.zeros(len(times), dtype=bool)
    twice[1:] = same & (times[1:] == times[:-1])
    duplicates = per_unit(twice, owner)
    if twice.any():
        times, owner = times[~twice], owner[~twice]
    kept = np.bincount(owner, minlength=neurons)
    negative = per_unit(times < 0, owner)
    short = (owner[1:] == owner[:-1]) & (np.diff(times) < REFRACTORY)
    refractory = per_unit(short, owner[1:])

    counters = (found.counts, nan, duplicates, unsorted, negative, refractory, kept)
    rows = zip(found.names, *(counter.tolist() for counter in counters), strict=True)
    report = Report(
        source,
        found.layout,
        found.unit,
        found.unit_from,
        tuple(UnitReport(*row) for row in rows),
        tuple(found.notes),
    )
    _refuse_the_silent(report, found.hint)
    counts = torch.from_numpy(kept[kept > 0])
    offsets = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    fine = torch.full((len(counts),), Status.FINE, dtype=torch.int8)
    spikes = Spikes(torch.from_numpy(times), offsets, counts, fine)
    names = [name for name, count in zip(found.names, kept, strict=True) if count]
    return Recorded(spikes, names, report, source)


def _refuse_the_far(times: np.ndarray, owner: np.ndarray, found: Found, source: str) -> None:
    far = np.flatnonzero(~(np.abs(times) <= LATEST))
    if not len(far):
        return
    time, name = times[far[0]], said(found.names[owner[far[0]]])
    if np.isinf(time):
        raise RecordingError(f"{source}: unit {name} has an infinite time")
    raise RecordingError(
        f"{source}: unit {name} has a spike at {time:g} ms, beyond {LATEST:g} ms (11 days); is "
        f"{found.unit} the right unit, and are these times?"
    )


def _refuse_the_silent(report: Report, hint: str) -> None:
    if not report.total("spikes"):
        raise RecordingError(f"{report.source}: it holds no spike times{hint}")
    most = max(unit.spikes for unit in report.units)
    if most < FEWEST:
        one = len(report.units) == 1
        what = (
            "its one unit has" if one else f"none of its {len(report.units):,} units has more than"
        )
        raise RecordingError(
            f"{report.source}: {what} {most} spike{'s' if most > 1 else ''}, and {FEWEST} are the "
            f"fewest that tell anything{hint}"
        )
