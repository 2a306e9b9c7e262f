"""What a recording is refused with, and how its words are quoted: one line, whatever they hold."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 60  # characters of a file that a message quotes


class RecordingError(ValueError):
    """A recording that cannot be read for certain; one sentence says what is wrong, and where."""


def quoted(text: object) -> str:
    """Text of a file in quotes: line breaks escaped, what is long cut."""
    text = str(text)
    return repr(text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")


def said(name: str) -> str:
    """A unit's name as it is, in quotes where it would not read well."""
    plain = name.isprintable() and name == name.strip() and 0 < len(name) <= LONGEST
    return name if plain and "," not in name else quoted(name)


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(map(said, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def reason(error: BaseException) -> str:
    """What a library said, in one line."""
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line[:200]}" if line else type(error).__name__
