"""VAA while networks learn, or do not learn, a long dependence."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from lrnn_kernels.multistability import Log
from lrnn_kernels.tasks import copy_first_input as task

from .claim import Claim, Plain, by_setting, cpu_seconds, curves, of, reached, spread
from .networks import Regression
from .training import Recipe, Training
from .warm_up import UNITS, built, form

BATCH, EVERY = 32, 25
_HELD, _DRAWS = 10_000, 2
_BEGUN, _LEARNED, _DONE = 0.5, 0.1, 0.02  # mean square errors of late
#: Network, form, layers, length, learning rate, steps: those that learn within these, at lengths at
#: which they were seen to, and last one that does not.
RUNS = (
    ("GRU", "as drawn", 1, 5, 5e-3, 400),
    ("GRU", "as drawn", 1, 15, 5e-3, 400),
    ("GRU", "chrono", 1, 50, 5e-3, 500),
    ("LSTM", "chrono", 1, 50, 5e-3, 700),
    ("MGU", "chrono", 1, 50, 5e-3, 500),
    ("BRC", "as drawn", 2, 100, 1e-2, 700),
    ("NBRC", "as drawn", 2, 100, 4e-3, 700),
    ("GRU", "as drawn", 1, 50, 5e-3, 500),
)


def settings(quick: bool) -> list[Plain]:
    rows = [RUNS[1], RUNS[2], RUNS[7]] if quick else RUNS
    return [
        {
            **form(name, kind, layers),
            "length": length,
            "lr": lr,
            "steps": steps,
            "held": _HELD,
        }
        for name, kind, layers, length, lr, steps in rows
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Trains one network, with VAA measured on the same sequences and inputs all the time."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 50)
    length = setting["length"]

    def draw():
        return task.draw(batch_size=BATCH, steps=length, generator=generator)

    layers, _ = built(setting, 1, lambda: draw().inputs, generator)
    network = Regression(layers, UNITS)
    log = Log(layers, draw().inputs, every=EVERY, steps=setting["held"], draws=_DRAWS, seed=seed)
    recipe = Recipe(
        setting["steps"], lr=setting["lr"], schedule="flat", last_lr=0.2, weight_decay=0.0
    )
    training = Training(network, recipe)

    def attempt():
        log(training.step)
        batch = draw()
        loss = F.mse_loss(network(batch.inputs), batch.answers)
        return loss, loss.detach()

    done = training.train(attempt, until=lambda score: score < _DONE)
    log.every = 1  # the end, at whatever step it is
    log(done["steps"])
    return {
        "mse": done["score"],
        "begun_at": training.first(lambda score: score < _BEGUN),
        "learned_at": training.first(lambda score: score < _LEARNED),
        "trained": done["steps"],
        "vaa": log.history,
        "curve": training.curve(),
    }


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for key, runs in _networks(found).items():
        done = [run for run in runs if run["mse"] < _DONE]
        rows.append(
            [
                _title(*key),
                str(key[-1]),
                reached([run["begun_at"] for run in runs]),
                of(len(done), len(runs)),
                spread([run["mse"] for run in runs], "{:.3f}"),
                spread([run["vaa"][0][1] for run in runs]),
                spread([_at(run, run["begun_at"]) for run in runs if run["begun_at"]]),
                spread([run["vaa"][-1][1] for run in runs]),
                of(sum(run["vaa"][-1][1] > run["vaa"][0][1] for run in runs), len(runs)),
                cpu_seconds(runs),
            ]
        )
    return rows


def _networks(found: list[Plain]) -> dict[tuple, list[Plain]]:
    return by_setting(found, "network", "form", "layers", "length")


def _title(name: str, kind: str, layers: int, _length: int) -> str:
    how = [] if kind == "as drawn" else [kind]
    return ", ".join([name, *how, *(["2 layers"] if layers > 1 else [])])


def _at(run: Plain, step: int) -> float:
    """VAA as it was last measured, no later than this step."""
    return [value for at, value in run["vaa"] if at <= step][-1]


def plot(figure, found: list[Plain]) -> None:
    left, right = figure.subplots(1, 2)
    colors = ("olive", "tab:cyan", "tab:blue", "tab:red", "tab:orange", "tab:green", "tab:purple")
    for color, (key, runs) in zip((*colors, "black"), _networks(found).items(), strict=False):
        curves(left, runs, color, f"{_title(*key)}: {key[-1]}")
        for run in runs:
            right.plot(*zip(*run["vaa"], strict=True), color=color, lw=1, alpha=0.8)
    left.set_yscale("log")
    left.set_ylabel("mean square error (1: chance)")
    right.legend(
        *left.get_legend_handles_labels(), loc="lower right", fontsize=8, title="network: length"
    )
    right.set_ylabel("VAA")
    for axes in (left, right):
        axes.set_xlabel("steps of training")
        axes.grid(alpha=0.3)


CLAIM = Claim(
    name="multistability-rises",
    says="The number of reachable attractors rises as a long dependence is learned. "
    "Copy-first-input: mean square error of late, 1 by chance, and VAA of 32 sequences after "
    "10,000 steps of one input (1/32: they reach one attractor), every 25 steps of training, until "
    "the error passes 0.02; one layer of 64 units where nothing else is said. With chrono "
    "initialization GRUs and MGUs learn length 50, and VAA is at 1, or nearly, by the time that "
    "the error is halved; an LSTM's gets there later. BRC and nBRC start with many attractors (VAA "
    "of an nBRC falls at first), and end with all, or nearly. As drawn, a GRU begins to learn "
    "length 15 in three seeds of five, in which VAA rises, and does not learn 50, where it stays "
    "at 1/32. Length 5 is no long dependence: it is learned while VAA rises to 2/32 at most.",
    settings=settings,
    run=run,
    header=(
        "network",
        "length",
        f"below {_BEGUN} (at step)",
        f"below {_DONE}",
        "MSE at the end",
        "VAA at the start",
        f"when below {_BEGUN}",
        "at the end",
        "risen",
        "CPU s",
    ),
    table=table,
    plot=plot,
)
