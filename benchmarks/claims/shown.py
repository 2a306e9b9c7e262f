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
    says = textwrap.fill(f"{claim.says} {seeds(found)}", _WIDTH)
    return report.table(claim.header, claim.table(found), says)


def markdown(claim: Claim, found: list[Plain]) -> str:
    """The same rows for a document."""
    return "\n".join(report.markdown(claim.header, claim.table(found)))


def save(claim: Claim, found: list[Plain], folder: Path, *, quick: bool) -> list[Path]:
    """Writes NAME.json, and NAME.png where matplotlib is; returns what was written."""
    about = machine.describe()
    name = f"{claim.name}{'-quick' if quick else ''}"
    content = {"machine": about, "claim": claim.name, "quick": quick, "runs": found}
    written = [report.save(content, folder, name)]
    plot = drawn(claim, found)
    if plot is not None:
        written.append(folder / f"{name}.png")
        plot.savefig(written[-1], dpi=90)
    return written


def load(path: Path) -> tuple[list[Plain], Plain]:
    """The runs in a file that ``save`` wrote, and the machine they ran on."""
    content = json.loads(path.read_text())
    return content["runs"], content["machine"]


def drawn(claim: Claim, found: list[Plain]):
    """The claim's plot; None where matplotlib is missing."""
    made = figure(11, 4.8)
    if made is not None:
        claim.plot(made, found)
        made.suptitle(textwrap.fill(f"{claim.says} {seeds(found)}", 150), fontsize=9)
    return made


def figure(width: float, height: float):
    """An empty figure that needs no screen, in inches; None where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return Figure(figsize=(width, height), constrained_layout=True)


def seeds(found: list[Plain]) -> str:
    """How many seeds a table is of, and what its figures then are."""
    count = len({run["seed"] for run in found})
    return "One seed." if count == 1 else f"{count} seeds: the median (from the least to the most)."
