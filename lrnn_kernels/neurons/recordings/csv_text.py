"""From bytes to lines and cells of a CSV, and what turns out to be none."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

from .errors import RecordingError, quoted

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
#: How files begin that are named .csv and are something else, and what to do.
_OTHERS = {
    b"\x89HDF\r\n\x1a\n": "it is an HDF5 file (name it .nwb if it is NWB, .nix if it is NIX)",
    b"\x93NUMPY": "it is NumPy's: save an NPZ, np.savez(path, unit='ms', name=times, ...)",
    b"\xd0\xcf\x11\xe0": "it is a spreadsheet: save it there as CSV UTF-8",
    b"\x1f\x8b": "it is compressed: unpack it first",
    b"%PDF": "it is a PDF",
    b"MATLAB 5.0 MAT": "it is MATLAB's: write its times with writematrix, or as .nwb",
}
_UTF8 = "save it as CSV UTF-8"

PIECE = 1 << 20  # characters that are looked at together: what they become takes more

#: A cell: in quotes, where "" is a quote and lines may break; a list in brackets; or neither.
_CELL = re.compile(
    r'(?:[ \t]*(?:"(?P<quoted>[^"]*(?:""[^"]*)*)"|(?P<list>\[[^\]"]*\]))[ \t]*'
    r'|(?P<plain>[^,"\n\[]*))(?P<end>,|\n|\Z)'
)


def decode(data: bytes, source: str) -> str:
    """The text of a CSV, of one kind of line breaks."""
    if data.startswith(b"PK\x03\x04"):
        raise RecordingError(f"{source}: {_of_zip(data)}")
    for start, what in _OTHERS.items():
        if data.startswith(start):
            raise RecordingError(f"{source}: {what}; a CSV is plain text")
    if data.startswith(_UTF16):
        raise RecordingError(f"{source}: its text is UTF-16 (Excel's Unicode text): {_UTF8}")
    if b"\0" in data:
        raise RecordingError(f"{source}: it is no text: {_UTF8}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordingError(
            f"{source}: line {line} holds bytes that are no UTF-8: {_UTF8}"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _of_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except Exception:  # which kind it is only words the refusal
        names = []
    if names and all(name.endswith(".npy") for name in names):
        return "it is an NPZ: name it .npz"
    return "it is a spreadsheet (it begins with PK): save it there as CSV UTF-8"


def refuse_separators(line: str, source: str, number: int) -> None:
    """Entries are separated by commas: nothing else is, by the first line."""
    outside = re.sub(r'"[^"]*"|\[[^\]]*\]', "", line)
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in outside.strip():
            raise RecordingError(f"{source}: {separated(name)}")


def separated(name: str) -> str:
    """What to say of entries between which something else stands."""
    return (
        f"{name} separate its entries: write commas between them, and points in decimals (1.5, "
        "not 1,5)"
    )


def pieces(text: str, start: int, number: int) -> Iterator[tuple[int, str]]:
    """Whole lines from a place on, as pieces of about PIECE characters, each with the number of
    its first line."""
    while start < len(text):
        end = text.find("\n", start + PIECE)
        piece = text[start : len(text) if end < 0 else end]
        yield number, piece
        number += piece.count("\n") + 1
        start += len(piece) + 1


def rows(text: str, start: int, number: int, source: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line from a place on, with its number; lines may break within quotes or
    brackets."""
    row, first = [], number
    while start < len(text):
        match = _CELL.match(text, start)
        if match is None:
            end = text.find("\n", start)
            rest = text[start : len(text) if end < 0 else end]
            raise RecordingError(
                f"{source}: line {number}: cannot tell the cells in {quoted(rest)}"
            )
        cell = match["plain"]
        if cell is None:
            cell = match["list"] or (match["quoted"] or "").replace('""', '"')
            number += cell.count("\n")
        row.append(cell.strip())
        start = match.end()
        if match["end"] != ",":
            yield first, row
            row, number = [], number + 1
            first = number
    if row:  # the text ended with a comma
        yield first, row


def cells(line: str, source: str, number: int) -> list[str]:
    """The cells of one line."""
    return next(rows(line, 0, number, source), (number, []))[1]
