"""Corridors that follow each other: one cue for all of them, and one for each."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lrnn_kernels.tasks import horizon
from lrnn_kernels.tasks import t_maze as task

from . import horizons
from .claim import Claim, Plain, by_setting, cpu_seconds, of
from .networks import Network
from .training import Recipe, Training

TRAINED = (5, 20)
UNITS, HIDDEN, BATCH = 32, 32, 64
CORRIDORS = 3
#: (layers, whether the read-out has a hidden layer.)
NETWORKS = (
    ("BMRU", False),
    ("BMRU", True),
    ("LRU", False),
    ("LRU", True),
    ("LRU>BMRU", False),
    ("LRU>BMRU", True),
    ("BRC", True),
    ("GRU", True),
)
QUICK = (("BMRU", False), ("BMRU", True), ("LRU", True))
#: Cells of the corridors before the one whose horizons are decided.
BEFORE = (5, 20, 1000)
_STEPS = 600
_LEARNED = 0.99


def settings(quick: bool) -> list[Plain]:
    return [
        {"network": name, "hidden": hidden, "steps": _STEPS}
        for name, hidden in (QUICK if quick else NETWORKS)
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Clones the optimal policy, and decides at which horizons of the first corridor, and of the
    last, it is one."""
    torch.manual_seed(seed)
    hidden = HIDDEN if setting["hidden"] else None
    network = Network(setting["network"], 6, UNITS, 4, hidden=hidden)
    env = task.TMaze(task.consecutive(CORRIDORS, *TRAINED), BATCH, seed=seed * 10**6)

    def attempt() -> tuple[Tensor, Tensor]:
        env.reset()
        batch = task.walks(env)
        out, _ = network(batch.inputs)
        junction = batch.mask & (env.arms >= 0)
        # In equal parts: of all steps, one in fourteen is a junction.
        loss = sum(
            F.cross_entropy(out[mask], batch.targets[mask])
            for mask in (junction, batch.mask & ~junction)
        )
        return loss, (out.argmax(-1) == batch.targets)[junction].float().mean()

    training = Training(network, Recipe(setting["steps"], lr=1e-2, warmup=40, weight_decay=0.0))
    training.train(attempt)
    network.eval()
    return {
        "accuracy": training.late(),
        "first": horizons.judged(network, corridor([])),
        **horizons.judged(network, corridor(BEFORE)),
    }


def corridor(before: tuple[int, ...] | list[int]) -> horizon.Corridor:
    """What is decided: of the first corridor where nothing comes before; else of the last, after
    corridors that have each so many cells, all cues, and the arms that they ask for."""
    cues = []
    one = torch.eye(6)
    lengths = [(length,) * (CORRIDORS - 1) for length in before] or [()]
    for cells in lengths:
        for sigma, *locals_ in product((0, 1), repeat=len(cells) + 2):
            inputs: list[Tensor] = []
            actions: list[int] = []
            for k, local in enumerate(locals_):
                cue = one[task.LOCAL_UP + local]
                inputs.append(cue if k else cue + one[sigma])
                actions.append(task.RIGHT)
                if k < len(cells):
                    inputs += [one[task.CORRIDOR]] * (cells[k] - 1) + [one[task.JUNCTION]]
                    actions += [task.RIGHT] * (cells[k] - 1) + [_arm(sigma, local)]
            name = f"{sigma}, {locals_} after {cells}"
            cues.append(horizon.Cue(name, torch.stack(inputs), actions, _arm(sigma, locals_[-1])))
    shortest = TRAINED[0]
    return horizon.Corridor(cues, one[task.CORRIDOR], task.RIGHT, one[task.JUNCTION], shortest)


def _arm(sigma: int, local: int) -> int:
    return task.DOWN if sigma ^ local else task.UP


def _name(name: str, hidden: bool) -> str:
    return f"{name}, hidden layer" if hidden else name


def table(found: list[Plain]) -> list[list[str]]:
    return [
        [
            _name(network, hidden),
            of(sum(run["accuracy"] > _LEARNED for run in runs), len(runs)),
            horizons.count([run["first"] for run in runs], "proved"),
            horizons.count(runs, "proved"),
            horizons.ends(runs),
            cpu_seconds(runs),
        ]
        for (network, hidden), runs in by_setting(found, "network", "hidden").items()
    ]


def plot(figure, found: list[Plain]) -> None:
    named = [{**run, "network": _name(run["network"], run["hidden"])} for run in found]
    axes = figure.subplots()
    horizons.panel(axes, named, TRAINED)
    axes.set_title("the last of three corridors")


CLAIM = Claim(
    name="consecutive",
    says="Three corridors follow each other. One cue is shown at the very beginning, and one at "
    "the start of each corridor; the right arm is their exclusive or. Decided at all horizons of "
    "the first corridor, and of the last, after two of 5, of 20 and of 1,000 cells each. A BMRU "
    "holds both cues, and of what it holds a hidden layer makes the exclusive or, at every "
    "horizon; a linear read-out cannot. An LRU forgets. The stack LRU>BMRU learns the task where "
    "it was trained, and keeps the first corridor for ever, but breaks after long ones, as do a "
    "GRU and most BRCs.",
    settings=settings,
    run=run,
    header=(
        "network",
        "learned at 5-20",
        "first corridor proved",
        "last corridor proved",
        "breaks at",
        "CPU s",
    ),
    table=table,
    plot=plot,
)
