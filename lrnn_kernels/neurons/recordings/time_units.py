"""Seconds or milliseconds: stated by the file, or by who reads it, never guessed from the times."""

from __future__ import annotations

from .errors import RecordingError

#: How many ms each is.
UNITS = {"s": 1000.0, "ms": 1.0}


def stated(unit: object) -> str | None:
    """The argument, checked."""
    if unit is not None and not (isinstance(unit, str) and unit in UNITS):
        raise ValueError(f"unit must be 's' or 'ms' (or None: it is not stated), got {unit!r}")
    return unit


def agreed(source: str, unit: str | None, inside: str | None, where: str) -> str:
    """The unit of a file that says ``inside`` in the place ``where``, if it does."""
    if inside is None and unit is None:
        raise RecordingError(
            f"{source}: are its times in s or in ms? State the unit of time, or let the file say "
            f"it ({where})"
        )
    if inside is not None and unit is not None and inside != unit:
        raise RecordingError(
            f"{source}: the unit of time was stated as {unit}, but the file says {inside} ({where})"
        )
    return inside or unit


def origin(inside: str | None, where: str) -> str:
    """Who stated the unit, for the report."""
    return "as stated" if inside is None else f"as the file says, {where}"
