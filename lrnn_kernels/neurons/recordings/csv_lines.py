"""A CSV without header: one unit a line, as many times as there are, named by the line's number."""

from __future__ import annotations

import numpy as np

from .csv_numbers import of_line, one_by_one
from .csv_text import cells, pieces
from .errors import RecordingError
from .recorded import Found
from .time_units import UNITS, origin

_ONE_EACH = (
    ": each line is one unit; if each line is one time, put them on one line, or add a unit to "
    "each and the header unit,time_ms (or unit,time_s)"
)


def found_lines(text: str, source: str, unit: str) -> Found:
    names, times = [], []
    for first, piece in pieces(text, 0, 1):
        for number, line in enumerate(piece.split("\n"), first):
            names.append(str(number))
            times.append(_times(line.strip(", \t"), source, number))
    while not len(times[-1]):  # blank lines at the end
        del names[-1], times[-1]
        if not times:
            raise RecordingError(f"{source}: it holds no numbers")
    _refuse_pairs([row for row in times if len(row)], source)
    hint = _ONE_EACH if len(times) > 2 and max(map(len, times)) == 1 else ""
    return Found.of_rows(
        names, times, "CSV, one unit a line", unit, origin(None, ""), UNITS[unit], hint=hint
    )


def _times(line: str, source: str, number: int) -> np.ndarray:
    if not line:
        return np.empty(0)
    if '"' not in line:
        return of_line(line, source, number)
    row = cells(line, source, number)
    while row and not row[-1]:
        del row[-1]
    return one_by_one(row, source, number)


def _refuse_pairs(times: list[np.ndarray], source: str) -> None:
    """Two numbers on every line, of which one is whole and repeats, may be unit and time."""
    if len(times) < 2 or any(len(row) != 2 for row in times):
        return
    columns = np.stack(times, 1)
    for header, column in (("unit,time_ms", columns[0]), ("time_ms,unit", columns[1])):
        whole = np.isfinite(column).all() and (column == np.floor(column)).all()
        if whole and len(np.unique(column)) < len(column):
            raise RecordingError(
                f"{source}: are these units of two spikes each, or pairs of unit and time? If "
                f"pairs, add the header {header} (or {header.replace('_ms', '_s')})"
            )
