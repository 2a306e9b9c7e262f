"""What the main job shows of learning: the quick runs of four claims, one table, one plot."""

from __future__ import annotations

from pathlib import Path

from ..measure import report
from . import CLAIMS, copy_first_symbol, digits, horizons, runs, shown, t_maze
from .claim import Plain

NAMES = ("t-maze", "hybrid", "annealing", "digits")
SAYS = """\
What the cells remember, one seed of each network, trained here and now:
  T-maze         a cue is shown, a corridor is walked, and at its end the cue decides; trained with
                 5 to 20 steps between. "Optimal": right in every cell, then the arm asked for;
                 "proved": after any number of steps.
  two flashes    the same, but the cue is the time between two flashes: measured, then kept.
  first symbol   one of eight symbols (chance 0.12) is kept through noise; trained at 200 steps.
  digits         8 x 8 pixels, one a step: an ordinary task, for comparison."""
HEADER = ("task", "network", "its memory", "as trained", "after 100,000 steps", "fails at", "CPU s")

#: What a state does while nothing is to be remembered.
MEMORY = {
    "BMRU": "two states, held exactly",
    "BRC": "two fixed points",
    "CMRU": "a staircase, held while not written",
    "GRU": "gated",
    "MinGRU": "a gated average",
    "LRU": "linear: it decays",
    "LRU>BMRU": "one to measure, one to hold",
    "BMRU, annealed": "trained as a CMRU, then a BMRU",
}
_FAILS = 0.9


def run(folder: Path, *, quick: bool = False) -> dict[str, list[Plain]]:
    """What the claims' quick runs found, by their names; where quick, without the digits."""
    names = NAMES[:-1] if quick else NAMES
    return runs.run([CLAIMS[name] for name in names], folder, quick=True, label="learning")


def table(found: dict[str, list[Plain]]) -> str:
    rows = [
        *(_maze("T-maze", run) for run in found["t-maze"]),
        *(_maze("two flashes", run) for run in found["hybrid"]),
        *(_symbol(run) for run in found["annealing"]),
        *(_digits(run) for run in found.get("digits", [])),
    ]
    return report.table(HEADER, rows, SAYS)


def _row(task: str, run: Plain, as_trained: str, at_end: str, fails: str) -> list[str]:
    seconds = f"{run['cpu_seconds']:.1f}"
    return [task, run["network"], MEMORY[run["network"]], as_trained, at_end, fails, seconds]


def _maze(task: str, run: Plain) -> list[str]:
    as_trained = f"{100 * run['accuracy']:.0f} % right"
    at_end = {"proved": "optimal, proved", "undecided": "optimal"}.get(
        run["verdict"], "not optimal"
    )
    return _row(task, run, as_trained, at_end, horizons.ends([run]))


def _symbol(run: Plain) -> list[str]:
    accuracy = {int(length): x for length, x in run["accuracy"].items()}
    fails = next((f"{length:,}" for length, x in accuracy.items() if x < _FAILS), "never")
    return _row(
        "first symbol",
        run,
        f"{100 * accuracy[copy_first_symbol.TRAINED]:.0f} % right",
        f"{100 * accuracy[100_000]:.0f} % right",
        fails,
    )


def _digits(run: Plain) -> list[str]:
    return _row("digits", run, f"{100 * run['test_accuracy']:.1f} % right", "", "")


def plot(found: dict[str, list[Plain]], folder: Path, name: str) -> Path | None:
    """Four panels in NAME.png; None where matplotlib is missing."""
    figure = shown.figure(12, 7.5)
    if figure is None:
        return None
    (maze, symbol), (flashes, last) = figure.subplots(2, 2)
    horizons.panel(maze, found["t-maze"], t_maze.TRAINED)
    maze.set_title("T-maze: how long a cue is kept")
    horizons.panel(flashes, found["hybrid"], t_maze.TRAINED)
    flashes.set_title("Two flashes: their interval is measured, then kept")
    copy_first_symbol.panel(symbol, found["annealing"])
    symbol.set_title("First symbol, kept through noise")
    if "digits" in found:
        digits.panel(last, found["digits"])
        last.set_title("Digits, a pixel a step: an ordinary task")
    else:
        last.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=90)
    return path
