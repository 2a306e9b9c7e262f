"""Numbers in text: many at once by NumPy; one by one where that finds something else, to say
what and where."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from .csv_text import separated
from .errors import RecordingError, quoted

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?", re.I | re.A)
_MISSING = {"", "nan", "+nan", "-nan", "na", "n/a", "<na>", "null", "none"}


def is_number(entry: str) -> bool:
    return _NUMBER.fullmatch(entry.strip()) is not None


def is_missing(entry: str) -> bool:
    """Empty, or what programs write for no number."""
    return entry.strip().lower() in _MISSING


def of_line(line: str, source: str, number: int) -> np.ndarray:
    """Numbers between commas; what is missing is NaN."""
    values = together(line, ",", line.count(",") + 1)
    if values is None:
        values = one_by_one(line.split(","), source, number)
    return values


def together(text: str, separator: str, count: int) -> np.ndarray | None:
    """``count`` numbers at once, or None where not all is numbers."""
    try:
        # A last number of our own: where NumPy stops at something else, one is missing.
        values = np.fromstring(f"{text}{separator}0", sep=separator)
    except ValueError:
        return None
    return values[:-1] if len(values) == count + 1 else None


def one_by_one(entries: Iterable[str], source: str, number: int) -> np.ndarray:
    """Numbers, of which one that is none is refused by its line and itself."""
    return np.array([of_entry(entry, source, number) for entry in entries], dtype=np.float64)


def of_entry(entry: str, source: str, number: int) -> float:
    entry = entry.strip()
    if _NUMBER.fullmatch(entry):
        return float(entry)
    if is_missing(entry):
        return np.nan
    raise RecordingError(f"{source}: line {number}: {_wrong(entry)}")


def _wrong(entry: str) -> str:
    """What an entry is that is no number, and what to do."""
    said = f"{quoted(entry)} is no number"
    if ";" in entry:
        return f"{said}; {separated('semicolons')}"
    if "\t" in entry:
        return f"{said}; {separated('tabs')}"
    if re.fullmatch(r"[+-]?\d+,\d+", entry):
        return f"{said}; write a point in decimals (1.5, not 1,5)"
    if "..." in entry or "\u2026" in entry:
        return f"{said}; the list was cut when it was written: write times.tolist(), not an array"
    if re.match(r"\[?(?:np\.)?(?:float|int|array)\d*\(", entry):
        return f"{said}, but Python's; write times.tolist()"
    if entry.startswith(("[", "(")):
        return f"{said}; lists in brackets need a header, spiking_times_ms or spiking_times_s"
    if entry.startswith("#"):
        return f"{said}; comment lines are read above a header alone; remove them"
    if len(parts := entry.split()) > 1 and all(map(is_number, parts)):
        return f"{said}; {separated('blanks')}"
    if re.match(r"[^\W\d]", entry):
        return f"{said}; names of units are read under a header, as unit,time_ms"
    return said
