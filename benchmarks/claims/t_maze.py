"""The T-maze, cloned at 5 to 20 steps, and decided at all horizons."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from lrnn_kernels.tasks import t_maze as task

from . import horizons
from .claim import Claim, Plain, by_setting, cpu_seconds, of
from .networks import TRANSIENT, Network
from .training import Recipe, Training

TRAINED = (5, 20)
UNITS = 32
MAZES = {"shown": task.LAB, "flashes": task.FLASHES}
LEARNED = 0.99
_STEPS = {"shown": 400, "flashes": 600}
ANNEALED = "BMRU, annealed"
SHOWN = ("BMRU", "BRC", "NBRC", "CMRU", ANNEALED, "AlphaCMRU", "GRU", "LSTM", "MinGRU", "LRU")
SHOWN_QUICK = ("BMRU", "BRC", "CMRU", "GRU", "MinGRU", "LRU")
FLASHES = ("BMRU", "LRU", "LRU>LRU", "LRU|BMRU", "LRU>BMRU", "MinGRU>BMRU", "GRU", "BRC")
FLASHES_QUICK = ("BMRU", "LRU", "LRU>BMRU")


def _shown(quick: bool) -> list[Plain]:
    return [_setting("shown", name) for name in (SHOWN_QUICK if quick else SHOWN)]


def _flashes(quick: bool) -> list[Plain]:
    return [_setting("flashes", name) for name in (FLASHES_QUICK if quick else FLASHES)]


def _setting(cue: str, network: str) -> Plain:
    return {"cue": cue, "network": network, "steps": _STEPS[cue]}


def cloned(setting: Plain, seed: int) -> tuple[Network, float]:
    """A network that was trained to do as the optimal policy does, and its accuracy at junctions
    over the last batches."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    cue = setting["cue"]
    name, annealed, options = named(setting["network"], cue)
    network = Network(name, 4, setting.get("units", UNITS), 4, options)

    def attempt():
        batch = task.draw(shortest=TRAINED[0], longest=TRAINED[1], generator=generator, cue=cue)
        out, _ = network(batch.inputs)
        junction = task.at_junction(batch)
        # In equal parts: of all steps, one in fourteen is a junction.
        loss = sum(
            F.cross_entropy(out[mask], batch.targets[mask])
            for mask in (junction, batch.mask & ~junction)
        )
        return loss, (out.argmax(-1) == batch.targets)[junction].float().mean()

    recipe = Recipe(setting["steps"], lr=1e-2, warmup=40, weight_decay=0.0)
    if annealed:
        recipe = replace(recipe, schedule="flat", anneal=annealed)
    training = Training(network, recipe)
    training.train(attempt)
    return network.eval(), training.late()


def named(name: str, cue: str) -> tuple[str, tuple[float, float] | None, dict]:
    """A network's layers, the shares of training for which eps is held and falls, and options."""
    options = TRANSIENT if cue == "flashes" else {}
    if name == ANNEALED:
        return "BMRU", (0.3, 0.4), {**options, "BMRU": {"eps": 1.0}}
    return name, None, options


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Clones the optimal policy, and decides at which horizons it is one."""
    network, accuracy = cloned(setting, seed)
    maze = MAZES[setting["cue"]]
    margins = horizons.margins(network, maze)
    return {"accuracy": accuracy, **horizons.judged(network, maze), "margins": margins}


def table(found: list[Plain]) -> list[list[str]]:
    """A row for each network, over its seeds."""
    return [
        [
            network,
            of(sum(run["accuracy"] > LEARNED for run in runs), len(runs)),
            horizons.count(runs, "proved"),
            horizons.ends(runs),
            cpu_seconds(runs),
        ]
        for (network,), runs in by_setting(found, "network").items()
    ]


def plot(figure, found: list[Plain]) -> None:
    """How far each seed of each network is optimal, and by how much."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    horizons.panel(left, found, TRAINED)
    horizons.margins_panel(right, found)


_claim = partial(
    Claim,
    run=run,
    header=("network", "learned at 5-20", "proved at all horizons", "breaks at", "CPU s"),
    table=table,
    plot=plot,
)

SHOWN_CUE = _claim(
    name="t-maze",
    says="A cue is shown, and after a corridor asked for. Policies cloned at 5 to 20 steps are "
    "walked until it is decided at which horizons they are optimal, right in every cell of the "
    "corridor and then the arm that the cue asked for: proved at all of them, as a state came back "
    "bit for bit or was bound; or the first that fails. The BMRU, BRC and nBRC hold the cue; the "
    "states of linear recurrences decay until all cues are alike, the CMRU's levels run away, a "
    "BMRU trained as a CMRU has neither fault.",
    settings=_shown,
)

TWO_FLASHES = _claim(
    name="hybrid",
    says="The T-maze again, but the cue is the time between two flashes, which must be measured, "
    "and then kept. A BMRU takes one step to where it stays, and cannot measure; an LRU measures, "
    "and cannot keep. The stack LRU>BMRU, one layer above the other, does both; side by side and "
    "summed, LRU|BMRU, they do not.",
    settings=_flashes,
)
