"""The T-maze, cloned at 5 to 20 steps and tested up to 100,000."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from lrnn_kernels.tasks import t_maze as task

from . import horizons
from .claim import Claim, Plain, by_setting, cpu_seconds, of
from .networks import Network
from .training import Recipe, Training

TRAINED = (5, 20)
UNITS = 32
#: What must measure an interval first, and so forget it soon: a ring that begins further in.
_TRANSIENT = {"LRU": {"r_min": 0.4, "r_max": 0.9}}
_NEVER = 10**9
_LEARNED = 0.99
_STEPS = {"shown": 400, "flashes": 600}
SHOWN = ("BMRU", "BRC", "NBRC", "CMRU", "AlphaCMRU", "GRU", "LSTM", "MinGRU", "LRU")
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
    options = _TRANSIENT if cue == "flashes" else None
    network = Network(setting["network"], 4, UNITS, 4, options)

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

    training = Training(network, Recipe(setting["steps"], lr=1e-2, warmup=40, weight_decay=0.0))
    training.train(attempt)
    return network.eval(), training.late()


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Clones the optimal policy, and tests it at every horizon."""
    network, accuracy = cloned(setting, seed)
    found = horizons.optimal(network, setting["cue"])
    return {
        "accuracy": accuracy,
        "breaks_at": horizons.breaks_at(found),
        "optimal": {str(horizon): right for horizon, right in found.items()},
    }


def table(found: list[Plain]) -> list[list[str]]:
    """A row for each network, over its seeds."""
    rows = []
    for (network,), runs in by_setting(found, "network").items():
        breaks = sorted(run["breaks_at"] or _NEVER for run in runs)
        ends = [f"{x:,}" if x < _NEVER else "never" for x in (breaks[0], breaks[-1])]
        rows.append(
            [
                network,
                of(sum(run["accuracy"] > _LEARNED for run in runs), len(runs)),
                of(sum(run["optimal"]["100000"] for run in runs), len(runs)),
                ends[0] if ends[0] == ends[1] else " to ".join(ends),
                cpu_seconds(runs),
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    """How far each seed of each network is optimal."""
    panel(figure.subplots(), found)


def panel(axes, runs: list[Plain]) -> None:
    """Networks from top to bottom, how far each is optimal to the right."""
    names = list(by_setting(runs, "network"))
    for row, ((_,), group) in enumerate(by_setting(runs, "network").items()):
        for place, run in enumerate(group):
            last = run["breaks_at"]
            tried = (TRAINED[0], *horizons.HORIZONS)
            reach = max(h for h in tried if last is None or h < last)
            y = row + (place - (len(group) - 1) / 2) * 0.7 / max(len(group), 2)
            color = "tab:green" if last is None else "tab:red"
            axes.plot([TRAINED[0], reach], [y, y], color=color, lw=4 if len(group) < 3 else 2)
            axes.plot(reach, y, ">" if last is None else "|", color=color, ms=7)
    axes.axvspan(*TRAINED, color="0.85", lw=0)
    axes.text(10, -0.65, "trained", ha="center", fontsize=8, color="0.4")
    axes.set_yticks(range(len(names)), [name for (name,) in names])
    axes.set_xscale("log")
    axes.set_xlim(4, 3e5)
    axes.set_ylim(len(names) - 0.4, -0.9)
    axes.set_xlabel("steps between cue and action, up to which the policy is optimal")
    axes.grid(axis="x", alpha=0.3)


_claim = partial(
    Claim,
    run=run,
    header=("network", "learned at 5-20", "optimal at 100,000", "breaks at", "CPU s"),
    table=table,
    plot=plot,
)

SHOWN_CUE = _claim(
    name="t-maze",
    says="A cue is shown, and after a corridor asked for. Policies cloned at 5 to 20 steps are "
    "tested at up to 100,000: right in every cell of the corridor, then the arm that the cue asked "
    "for. The BMRU's state does not change while it waits, so it is optimal at any horizon; the "
    "states of linear recurrences decay until all cues are alike.",
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
