"""Tables for the terminal, and JSON for results/."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> str:
    """Aligned columns: the first to the left, the others to the right."""
    cells = [[str(x) for x in header], *([str(x) for x in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            x.rjust(w) if i else x.ljust(w)
            for i, (x, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join([f"\n{title}" if title else "", *lines])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for a document."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    written = [f"| {' | '.join(line)} |" for line in lines]
    return [written[0], "|" + "---|" * len(header), *written[1:]]


def save(results: dict, folder: Path, name: str) -> Path:
    """Writes the JSON, one row of measurements a line; who reads the file finds it whole at all
    times."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    fresh = folder / f"{name}.{os.getpid()}.json"
    fresh.write_text(_compact(results) + "\n")
    fresh.replace(path)
    return path


def _compact(value: object, indent: int = 0) -> str:
    """JSON in which innermost containers stay on one line, so that results can be read and
    compared as text."""
    pad = "  " * (indent + 1)
    nested = isinstance(value, (dict, list, tuple)) and any(
        isinstance(x, (dict, list, tuple)) for x in _items(value)
    )
    if not nested or (isinstance(value, dict) and "operator" in value):
        return json.dumps(value)
    if isinstance(value, dict):
        body = [f"{pad}{json.dumps(k)}: {_compact(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(body) + "\n" + "  " * indent + "}"
    return (
        "[\n"
        + ",\n".join(pad + _compact(v, indent + 1) for v in value)
        + "\n"
        + "  " * indent
        + "]"
    )


def _items(value: dict | list | tuple) -> Sequence[object]:
    return list(value.values()) if isinstance(value, dict) else value
