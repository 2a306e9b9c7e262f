"""A CSV with a header: long, a row for each spike; or a row for each unit, its times in a list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from .csv_numbers import is_missing, of_entry, one_by_one, together
from .csv_text import pieces, rows
from .errors import RecordingError, quoted, said
from .recorded import Found
from .time_units import UNITS

BATCH = 1 << 15  # rows that are held as lists


def found_long(
    text: str,
    start: int,
    first: int,
    source: str,
    header: list[str],
    column: int,
    name: int,
    unit: str,
    unit_from: str,
) -> Found:
    """Units in order of their first appearance."""
    index: dict[str, int] = {}
    codes, times = [np.empty(0, np.int64)], [np.empty(0)]
    for lines, names, entries in _long(text, start, first + 1, source, header, name, column):
        for line, unit_name in zip(lines, names, strict=True) if _any_missing(names) else ():
            if is_missing(unit_name):
                raise RecordingError(
                    f"{source}: line {line} does not say of which unit its time is"
                )
        codes.append(np.array([index.setdefault(x.strip(), len(index)) for x in names], np.int64))
        values = together(",".join(entries), ",", len(entries))
        if values is None:
            pairs = zip(entries, lines, strict=True)
            values = np.array([of_entry(entry, source, line) for entry, line in pairs])
        times.append(values)
    owner = np.concatenate(codes)
    order = np.argsort(owner, kind="stable")
    return Found(
        list(index),
        np.concatenate(times)[order],
        np.bincount(owner, minlength=len(index)),
        f"CSV, columns {header[name]} and {header[column]}",
        unit,
        unit_from,
        UNITS[unit],
    )


def _any_missing(names: list[str]) -> bool:
    return any(map(is_missing, set(names)))


#: Line numbers, names of units, and their times as they are written.
_Columns = tuple[Sequence[int], list[str], list[str]]


def _long(
    text: str, start: int, number: int, source: str, header: list[str], name: int, column: int
) -> Iterator[_Columns]:
    """Two columns of a long table, piece by piece."""
    if '"' in text or "[" in text:
        table = rows(text, start, number, source)
        while batch := list(islice(table, BATCH)):
            yield _of_rows(batch, source, header, name, column)
        return
    for line, piece in pieces(text, start, number):
        piece = piece.rstrip("\n")
        flat = piece.replace("\n", ",").split(",")  # no list for each row: these take long
        names = flat[name :: len(header)]
        if _is_even(piece, len(header)) and not _any_missing(names):
            yield range(line, line + len(names)), names, flat[column :: len(header)]
        else:
            table = enumerate((row.split(",") for row in piece.split("\n")), line)
            yield _of_rows(list(table), source, header, name, column)


def _is_even(piece: str, width: int) -> bool:
    """Whether every line has as many cells."""
    marks = np.frombuffer(piece.encode(), dtype=np.uint8)
    marks = marks[(marks == ord(",")) | (marks == ord("\n"))]
    breaks = np.flatnonzero(marks == ord("\n"))
    return bool((np.diff(breaks, prepend=-1, append=len(marks)) == width).all())


def _of_rows(
    table: list[tuple[int, list[str]]], source: str, header: list[str], name: int, column: int
) -> _Columns:
    table = [(line, row) for line, row in table if any(map(str.strip, row))]
    for line, row in table:
        if len(row) != len(header):
            _fit(row, header, source, line)
    return [line for line, _ in table], [r[name] for _, r in table], [r[column] for _, r in table]


def _fit(row: list[str], header: list[str], source: str, line: int) -> None:
    """Missing cells at the end are empty; more than the header has must be."""
    if any(map(str.strip, row[len(header) :])):
        raise RecordingError(
            f"{source}: line {line} has {len(row)} entries, and the header {len(header)}: write "
            "points in decimals (1.5, not 1,5), and what holds commas in quotes"
        )
    del row[len(header) :]
    row += [""] * (len(header) - len(row))


def found_lists(
    text: str,
    start: int,
    first: int,
    source: str,
    header: list[str],
    column: int,
    name: int | None,
    unit: str,
    unit_from: str,
) -> Found:
    """A unit in every row, named by its column or by the row's number."""
    names: dict[str, int] = {}
    times = []
    for line, row in rows(text, start, first + 1, source):
        if not any(row):
            continue
        if len(row) != len(header):
            _fit(row, header, source, line)
        unit_name = str(len(names) + 1) if name is None else row[name]
        if is_missing(unit_name):
            raise RecordingError(f"{source}: line {line} does not name its unit")
        if unit_name in names:
            raise RecordingError(
                f"{source}: lines {names[unit_name]} and {line} are both of unit "
                f"{said(unit_name)}: each unit has one row"
            )
        names[unit_name] = line
        times.append(_list(row[column], source, line))
    if not names:
        raise RecordingError(f"{source}: it has a header, and no row under it")
    layout = f"CSV, lists in {header[column]}"
    return Found.of_rows(list(names), times, layout, unit, unit_from, UNITS[unit])


def _list(cell: str, source: str, line: int) -> np.ndarray:
    if is_missing(cell):
        return np.empty(0)
    if cell[0] != "[" or cell[-1] != "]" or len(cell) < 2:
        raise RecordingError(
            f"{source}: line {line}: {quoted(cell)} is no list in brackets, as [1.2, 3.4]"
        )
    inside = cell[1:-1].strip()
    if not inside:
        return np.empty(0)
    if "," in inside:
        values = together(inside, ",", inside.count(",") + 1)
        return (
            one_by_one(re.split(r",", inside.rstrip(", \n")), source, line)
            if values is None
            else values
        )
    entries = inside.split()
    values = together(inside, " ", len(entries))
    return one_by_one(entries, source, line) if values is None else values
