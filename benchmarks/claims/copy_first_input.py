"""Copy-first-input: a value of N(0,1) is kept while others of its kind go by, and given at the
end."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from lrnn_kernels import nn as rnn
from lrnn_kernels.tasks import copy_first_input as task

from .claim import Claim, Plain, by_setting, cpu_seconds, errors, of, spread
from .networks import Regression
from .training import Recipe, Training

UNITS, LAYERS, BATCH, STEPS = 64, 2, 32, 1500
LENGTHS = (300, 600)
#: The paper's own cells and its rival, with learning rates at which they were seen to learn; the
#: GRU at several, as none was found.
NETWORKS = (("BRC", 1e-2), ("NBRC", 4e-3), ("GRU", 4e-3), ("GRU", 1e-3))
_DONE = 0.03  # mean square error of late at which training ends
_LEARNED = 0.1


def settings(quick: bool) -> list[Plain]:
    lengths, steps = ((50,), 400) if quick else (LENGTHS, STEPS)
    return [
        {"network": name, "lr": lr, "length": length, "steps": steps}
        for length in lengths
        for name, lr in (NETWORKS[::2] if quick else NETWORKS)
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Trains until it is learned, and tests on 1,000 new sequences."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 50)
    layer = getattr(rnn, setting["network"])
    network = Regression(layer(1, UNITS, num_layers=LAYERS, batch_first=True), UNITS)

    def attempt():
        batch = task.draw(batch_size=BATCH, steps=setting["length"], generator=generator)
        loss = F.mse_loss(network(batch.inputs), batch.answers)
        return loss, loss.detach()

    recipe = Recipe(
        setting["steps"], lr=setting["lr"], schedule="flat", last_lr=0.2, weight_decay=0.0
    )
    training = Training(network, recipe)
    done = training.train(attempt, until=lambda score: score < _DONE)
    test = task.draw(batch_size=1000, steps=setting["length"], generator=generator)
    with torch.no_grad():
        mse = task.metric(network.eval()(test.inputs), test)["mse"]
    return {
        "mse": mse,
        "learned_at": training.first(lambda score: score < _LEARNED),
        "trained": done["steps"],
        "curve": training.curve(),
    }


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for (length, name, lr), runs in by_setting(found, "length", "network", "lr").items():
        learned = [run["learned_at"] for run in runs if run["learned_at"] is not None]
        rows.append(
            [
                f"{name}, lr {lr:g}",
                str(length),
                of(len(learned), len(runs)),
                spread([run["mse"] for run in runs], "{:.3f}"),
                spread(learned, "{:.0f}") if learned else "never",
                cpu_seconds(runs, 0),
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    groups = {
        f"{length} steps of sequence": {
            f"{name}, lr {lr:g}": runs
            for (name, lr), runs in by_setting(group, "network", "lr").items()
        }
        for (length,), group in by_setting(found, "length").items()
    }
    errors(figure, groups, ("tab:green", "tab:blue", "tab:red", "tab:orange"))


CLAIM = Claim(
    name="copy-first-input",
    says="The first of 300 or 600 values of N(0,1) is to be given at the end: mean square error, "
    "1 by chance, learned below 0.1. Two layers of 64 units, at most 1,500 steps. The bistable "
    "BRC and nBRC learn it where the GRU stays at chance.",
    settings=settings,
    run=run,
    header=("network", "length", "learned", "test MSE", "below 0.1 at step", "CPU s"),
    table=table,
    plot=plot,
)
