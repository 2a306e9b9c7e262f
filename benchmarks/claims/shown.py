"""What a claim's runs found, for readers: a table, a JSON, a plot."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from ..measure import machine, report
from .claim import Claim, Plain

_WIDTH = 96


def table(claim: Claim, found: list[Plain]) -> str:
    """For the terminal: what is claimed, and a row for each network."""
    says = textwrap.fill(f"{claim.says} {of(found)}", _WIDTH)
    return report.table(claim.header, claim.table(found), says)


def markdown(claim: Claim, found: list[Plain]) -> str:
    """The same rows for a document."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in claim.table(found)]
    lines = [f"| {' | '.join(row)} |" for row in (claim.header, *rows)]
    lines.insert(1, "|---" * len(claim.header) + "|")
    return "\n".join(lines)


def save(claim: Claim, found: list[Plain], folder: Path, *, quick: bool) -> list[Path]:
    """Writes NAME.json, and NAME.png where matplotlib is; returns what was written."""
    about = machine.describe()
    name = f"{claim.name}{'-quick' if quick else ''}"
    content = {"machine": about, "claim": claim.name, "quick": quick, "runs": found}
    written = [report.save(content, folder, name)]
    figure = drawn(claim, found)
    if figure is not None:
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=90)
    return written


def load(path: Path) -> tuple[list[Plain], Plain]:
    """The runs in a file that ``save`` wrote, and the machine they ran on."""
    content = json.loads(path.read_text())
    return content["runs"], content["machine"]


def drawn(claim: Claim, found: list[Plain]):
    """The claim's plot; None where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(11, 4.8), constrained_layout=True)
    FigureCanvasAgg(figure)
    claim.plot(figure, found)
    figure.suptitle(textwrap.fill(f"{claim.says} {of(found)}", 150), fontsize=9)
    return figure


def of(found: list[Plain]) -> str:
    """How many seeds a table is of, and what its figures then are."""
    seeds = len({run["seed"] for run in found})
    return "One seed." if seeds == 1 else f"{seeds} seeds: the median (from the least to the most)."
