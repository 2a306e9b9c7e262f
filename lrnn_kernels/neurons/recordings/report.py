"""What was found in a recording, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .errors import listed

FEWEST = 3  # spikes without which a unit is silent, as the data sets count it
REFRACTORY = 1.0  # ms: two spikes of one neuron are not closer


class UnitReport(NamedTuple):
    """Counts of one unit of a recording."""

    name: str
    found: int  # entries, NaN included
    nan: int  # dropped
    duplicates: int  # exact ones, dropped
    sorted: bool  # times were not in ascending order, and are
    negative: int  # kept
    refractory: int  # intervals under 1 ms, kept
    spikes: int  # kept; a unit with 0 is dropped

    @property
    def silent(self) -> bool:
        """Fewer than 3 spikes: kept, and no prediction is made."""
        return 0 < self.spikes < FEWEST


@dataclass(frozen=True)
class Report:
    """What was read from a source, unit by unit; those that were empty too, which are dropped."""

    source: str
    layout: str  # as "CSV, one unit a line"
    unit: str  # of the source's times: "s", "ms", or another of neo's
    unit_from: str  # who said so
    units: tuple[UnitReport, ...]
    notes: tuple[str, ...] = ()  # what the reader of the format has to say

    def total(self, counter: str) -> int:
        """A counter, summed over the units."""
        return sum(getattr(unit, counter) for unit in self.units)

    @property
    def empty(self) -> list[str]:
        """Units that had no spike, and were dropped."""
        return [unit.name for unit in self.units if not unit.spikes]

    @property
    def silent(self) -> list[str]:
        """Units of fewer than 3 spikes, which were kept."""
        return [unit.name for unit in self.units if unit.silent]

    @property
    def intervals(self) -> int:
        return sum(max(unit.spikes - 1, 0) for unit in self.units)

    def lines(self) -> list[str]:
        """One short sentence each: what was found, dropped, changed, kept."""
        found, spikes = self.total("found"), self.total("spikes")
        kept = len(self.units) - len(self.empty)
        lines = [
            f"{self.source}: {self.layout}; times in {self.unit}, {self.unit_from}.",
            f"{_many(kept, 'unit')} with {_many(spikes, 'spike')} kept, "
            f"of {_many(len(self.units), 'unit')} with {_many(found, 'entry', 'entries')}.",
        ]
        lines += [f"{note}." for note in self.notes]
        if self.empty:
            lines.append(f"Dropped, for they are empty: {_of(self.empty)}.")
        if nan := self.total("nan"):
            lines.append(f"Dropped: {_many(nan, 'NaN', 'NaN')} in {self._with(lambda u: u.nan)}.")
        if duplicates := self.total("duplicates"):
            where = self._with(lambda u: u.duplicates)
            lines.append(f"Dropped: {_many(duplicates, 'exact duplicate')} in {where}.")
        if self.total("sorted"):
            where = self._with(lambda u: u.sorted)
            lines.append(f"Sorted, for their times were not ascending: {where}.")
        if negative := self.total("negative"):
            where = self._with(lambda u: u.negative)
            lines.append(
                f"Kept: {_many(negative, 'negative time')} in {where}; only intervals count."
            )
        lines += self._refractory()
        if self.silent:
            lines.append(
                f"Kept, but silent (fewer than {FEWEST} spikes: no prediction): {_of(self.silent)}."
            )
        return lines

    def _refractory(self) -> list[str]:
        violations, intervals = self.total("refractory"), self.intervals
        if not violations:
            return []
        share = violations / intervals
        where = self._with(lambda u: u.refractory)
        lines = [
            f"Kept: {violations:,} of {_many(intervals, 'interval')} ({_percent(share)}) under "
            f"{REFRACTORY:g} ms, refractory violations, in {where}."
        ]
        if share > 0.5:
            other = "s" if self.unit == "ms" else "ms"
            lines.append(
                f"Most intervals are under {REFRACTORY:g} ms: are the times in {other}, or of "
                "several neurons together?"
            )
        return lines

    def plain(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "source": self.source,
            "layout": self.layout,
            "unit": self.unit,
            "unit_from": self.unit_from,
            "units": [{**unit._asdict(), "silent": unit.silent} for unit in self.units],
            "notes": list(self.notes),
            "intervals": self.intervals,
            "lines": self.lines(),
        }

    def _with(self, counter: Callable[[UnitReport], int]) -> str:
        return _of([unit.name for unit in self.units if counter(unit)])


def _of(names: list[str]) -> str:
    return f"unit{'s' if len(names) > 1 else ''} {listed(names)}"


def _many(n: int, one: str, more: str = "") -> str:
    return f"{n:,} {one if n == 1 else more or f'{one}s'}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
