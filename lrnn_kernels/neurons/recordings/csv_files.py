"""CSV: one unit a line; or long, of columns unit and time; or a column of bracketed lists."""

from __future__ import annotations

import re

from .csv_columns import found_lists, found_long
from .csv_lines import found_lines
from .csv_numbers import is_missing, is_number
from .csv_text import cells, decode, refuse_separators
from .errors import RecordingError, quoted
from .recorded import Found
from .time_units import agreed, origin

#: Columns by which a layout is known, and the unit that each states.
TIMES = {"time": None, "time_ms": "ms", "time_s": "s"}
LISTS = {"spiking_times": None, "spiking_times_ms": "ms", "spiking_times_s": "s"}
#: Columns that name units, the first of which counts.
NAMES = ("unit", "id", "name")

_EXPECTED = (
    "expected no header and one unit a line, or a header with the columns unit,time_ms (or "
    "time_s), or with spiking_times_ms (or spiking_times_s)"
)


def found(data: bytes, source: str, unit: str | None) -> Found:
    """What a CSV holds."""
    text = decode(data, source)
    first, line, body = _first(text, 0, 1, source)
    comments = []
    while _is_comment(line):
        comments.append((first, line))
        first, line, body = _first(text, body, first + 1, source)
    refuse_separators(line, source, first)
    words, header = _words(line, source, first)
    if not _is_header(header):
        _refuse_comments(comments, source)
        _refuse_unknown(words, source)
        chosen = agreed(source, unit, None, "a header unit,time_ms or spiking_times_ms")
        return found_lines(text, source, chosen)
    column, inside = _column(header, source)
    name = next((header.index(name) for name in NAMES if name in header), None)
    for name_of in header:
        if name_of in NAMES and header.count(name_of) > 1:
            raise RecordingError(f"{source}: two of its columns are named {quoted(name_of)}")
    kind = header[column]
    where = f"its column {kind}" if inside else f"name the column {kind}_ms or {kind}_s"
    chosen = agreed(source, unit, inside, where)
    build = found_lists if kind in LISTS else found_long
    made = build(text, body, first, source, header, column, name, chosen, origin(inside, where))
    if comments:
        lines = f"{len(comments)} comment line{'s' if len(comments) > 1 else ''}"
        made.notes.append(f"Not read: {lines} above the header")
    return made


def _words(line: str, source: str, number: int) -> tuple[list[str], list[str]]:
    """The cells of a line that may be a header, and these in small letters; none of another."""
    # A unit's line may be long, and is no header where it begins without a word of four letters.
    worded = re.search(r"[^\W\d]{4}", line[:4096])
    words = cells(line, source, number) if worded else []
    return words, [word.lower() for word in words]


def _is_header(words: list[str]) -> bool:
    return any(cell in TIMES or cell in LISTS or cell in NAMES for cell in words)


def _is_comment(line: str) -> bool:
    """Whether a line begins with #, and is no header whose first column is named so."""
    if not line.lstrip(' \t"').startswith("#"):
        return False
    cells = [cell.strip(' \t"').lower() for cell in line.split(",")]
    names_and_times = any(x in NAMES for x in cells) and any(x in TIMES for x in cells)
    return not names_and_times and not any(x in LISTS for x in cells)


def _refuse_comments(comments: list[tuple[int, str]], source: str) -> None:
    """Without a header below, the last comment may be one, as NumPy writes it, or a unit that is
    not to be read: lines are units, which their numbers name."""
    if not comments:
        return
    number, line = comments[-1]
    bare = line.strip(' \t",').lstrip("# ")
    said = f"{source}: line {number} is a comment, {quoted(line)}"
    if _is_header([word.strip().lower() for word in bare.split(",")]):
        raise RecordingError(
            f"{said}: if it is the header, write it without # (np.savetxt with comments='')"
        )
    raise RecordingError(f"{said}: comment lines are read above a header alone; remove them")


def _first(text: str, start: int, number: int, source: str) -> tuple[int, str, int]:
    """The first line that is not blank, from the beginning of that of a number on: its number,
    itself, and where the next begins."""
    match = re.compile(r"[^\s,]").search(text, start)
    if match is None:
        raise RecordingError(f"{source}: it holds no entries")
    begin = text.rfind("\n", start, match.start()) + 1 or start
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    number += text.count("\n", start, begin)
    return number, text[begin:end], min(end + 1, len(text))


def _refuse_unknown(header: list[str], source: str) -> None:
    """A first line of words is a header that is not known; one of numbers is a unit's."""
    words = [cell for cell in header if not is_missing(cell) and not is_number(cell)]
    filled = [cell for cell in header if not is_missing(cell)]
    if words and len(words) == len(filled) and all(re.match(r"[^\W\d]", w) for w in words):
        raise RecordingError(
            f"{source}: its first line, {_columns(words)}, is neither of numbers nor a header "
            f"that is known: {_EXPECTED}"
        )


def _columns(header: list[str]) -> str:
    return ", ".join(map(quoted, header[:8])) + (", ..." if len(header) > 8 else "")


def _column(header: list[str], source: str) -> tuple[int, str | None]:
    """The column that holds times, and the unit that its name states."""
    known = {**TIMES, **LISTS}
    places = [n for n, cell in enumerate(header) if cell in known]
    if not places:
        raise RecordingError(
            f"{source}: its header, {_columns(header)}, has no column of times: {_EXPECTED}"
        )
    if len(places) > 1:
        several = _columns([header[n] for n in places])
        raise RecordingError(f"{source}: which column holds the times, of {several}? Keep one")
    if header[places[0]] in TIMES and not any(name in header for name in NAMES):
        raise RecordingError(
            f"{source}: it has a column {header[places[0]]} and none that says whose: add a column "
            "unit (the same for every time, if there is one unit)"
        )
    return places[0], known[header[places[0]]]
