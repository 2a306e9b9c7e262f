"""Writes the tables of README.md that follow from the code: ``python docs/tables.py``, or with
``--check`` says whether they are up to date."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from lrnn_kernels import nn  # noqa: E402
from lrnn_kernels.cells import CELLS  # noqa: E402


def operators() -> str:
    """A row for each public function: its positional arguments, and its equation."""
    rows = {}
    for cell in CELLS.values():
        parameters = inspect.signature(cell.function).parameters.values()
        given = [str(p.replace(annotation=p.empty)) for p in parameters if p.kind < p.KEYWORD_ONLY]
        rows.setdefault(f"`{cell.function.__name__}({', '.join(given)})`", cell.summary)
    return _table("operator", "recurrence", rows)


def layers() -> str:
    """A row for each recurrent layer and composition, and what its docstring begins with."""
    rows = {}
    for name in nn.__all__:
        layer = getattr(nn, name)
        if issubclass(layer, torch.nn.Module) and layer is not nn.Recurrent:
            first = inspect.getdoc(layer).split("\n\n")[0]
            rows[f"`nn.{name}`"] = " ".join(first.split()).rstrip(":")
    return _table("layer", "what it is", rows)


def _table(left: str, right: str, rows: dict[str, str]) -> str:
    lines = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items()]
    return "\n".join([f"| {left} | {right} |", "|---|---|", *lines])


TABLES = {"operators": operators, "layers": layers}


def written(text: str) -> str:
    """README.md with its tables as they should be: each stands after a comment with its name."""
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- {name}: [^\n]*-->\n)\n*(\|[^\n]*\n)*\n*")
        before, *found, after = place.split(text)
        if len(found) != 2:
            raise ValueError(f"README.md must hold one place for the table of {name}")
        text = f"{before}{found[0]}\n{table()}\n\n{after}"
    return text


def main(arguments: list[str]) -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    new = written(text)
    if arguments == ["--check"]:
        return int(new != text)
    readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
