"""The T-maze with two units, whose states can be drawn: where the corridor leads them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from lrnn_kernels.tasks import horizon
from lrnn_kernels.tasks import t_maze as task

from . import horizons, t_maze
from .claim import Claim, Plain, by_setting, cpu_seconds, of

NETWORKS = ("BMRU", "BRC", "GRU", "MinGRU")
QUICK = ("BRC", "MinGRU")
UNITS, STEPS = 2, 800
_WALKED = 1000
_POINTS, _PATH = 41, 200
#: Of more ends than these it is said that states stay about where they are.
_FEW = 100


def settings(quick: bool) -> list[Plain]:
    return [
        {"cue": "shown", "network": name, "units": UNITS, "steps": STEPS}
        for name in (QUICK if quick else NETWORKS)
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Clones the optimal policy, and looks where the corridor takes all states that there are."""
    network, accuracy = t_maze.cloned(setting, seed)
    plane = horizon.basins(network, task.LAB, steps=_WALKED, points=_POINTS)
    ends = plane.ends.flatten(0, 1).double().round(decimals=4).unique(dim=0).tolist()
    return {
        "accuracy": accuracy,
        **horizons.judged(network, task.LAB),
        "plane": {
            "axis": plane.first.tolist(),
            "action": plane.action.tolist(),
            "ends": ends if len(ends) < _FEW else None,
            "paths": {
                name: path[:_PATH].double().round(decimals=4).tolist()
                for name, path in plane.paths.items()
            },
        },
    }


def table(found: list[Plain]) -> list[list[str]]:
    return [
        [
            network,
            of(sum(run["accuracy"] > t_maze.LEARNED for run in runs), len(runs)),
            horizons.count(runs, "proved"),
            horizons.ends(runs),
            cpu_seconds(runs),
        ]
        for (network,), runs in by_setting(found, "network").items()
    ]


def plot(figure, found: list[Plain]) -> None:
    """The phase planes of the first seed that learned: colours are the action at the junction, once
    the corridor was long; dots are where states end, lines the two cues' paths."""
    groups = by_setting(found, "network")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, ((network,), runs) in zip(panels, groups.items(), strict=True):
        learned = [run for run in runs if run["accuracy"] > t_maze.LEARNED]
        run = (learned or runs)[0]
        plane = run["plane"]
        axes.pcolormesh(
            plane["axis"], plane["axis"], plane["action"], cmap="Pastel1", vmin=0, vmax=8
        )
        if plane["ends"] is None:
            axes.plot(*zip(*product(plane["axis"], repeat=2), strict=True), "k.", ms=1)
        else:
            axes.plot(*zip(*plane["ends"], strict=True), "k.", ms=5)
        for name, path in plane["paths"].items():
            axes.plot(*zip(*path, strict=True), ".-", lw=1, ms=3, label=f"after {name!r}")
        axes.set_title(f"{network}, breaks at: {horizons.ends([run])}")
        axes.set_xlabel("state of unit 1")
    panels[0].set_ylabel("state of unit 2")
    panels[0].legend(fontsize=8)


CLAIM = Claim(
    name="two-units",
    says="Two units, whose states can be drawn. Colours say what is done at the junction once the "
    "corridor has been 1,000 cells long, from every state there is; dots are where states end, "
    "lines where the cues lead. A BMRU's units keep all that the corridor does not write; a BRC "
    "and a GRU have a basin for each cue where they have learned the task; a minGRU ends in one "
    "point from all states, or nearly, and so in one arm for both cues.",
    settings=settings,
    run=run,
    header=("network", "learned at 5-20", "proved at all horizons", "breaks at", "CPU s"),
    table=table,
    plot=plot,
)
