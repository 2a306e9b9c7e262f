"""scikit-learn's 8x8 digits, one pixel a step: an ordinary task."""

from __future__ import annotations

from pathlib import Path

import torch

from lrnn_kernels.models import Backbone, BackboneConfig, Layer
from lrnn_kernels.tasks.digits import load

from .claim import Claim, Plain, by_setting, cpu_seconds, median, spread
from .networks import parameters
from .training import Recipe, accuracy, fit

BATCH, EPOCHS, QUICK_EPOCHS = 64, 30, 14

#: The backbone of all, the papers' but for what makes a run a hundred times shorter than theirs
#: learn: BatchNorm for LayerNorm, since what tells two digits apart is small beside what all of
#: them share; small MLPs; cells of both directions.
BACKBONE = {
    "input_size": 1,
    "output_size": 10,
    "width": 32,
    "head": "mean",
    "norm": "batch",
    "mlp": "relu",
    "expansion": 1,
    "dropout": 0.0,
    "position_offsets": False,
}

#: What differs between cells: states in either direction, options, learning rate, noise on the
#: pixels. All of it, and the backbone, was chosen on fifths of the training set held out of
#: training, never on the test set. Thresholds begin anywhere in (0, 3), with
#: surrogates three times as wide as by default, so that a short run moves them; a threshold can lie
#: between two grey levels, 1/16 apart, and noise blurs it.
_HYSTERESIS = {"width": 0.3, "beta_init": (0.0, 3.0)}
CELLS = {
    "BMRU": {"states": 48, "options": _HYSTERESIS, "lr": 6e-3, "noise": 0.1},
    "CMRU": {"states": 48, "options": _HYSTERESIS, "lr": 6e-3, "noise": 0.1},
    "LRU": {"states": 16, "options": {"r_min": 0.9, "r_max": 0.999}, "lr": 4e-3, "noise": 0.0},
    "MinGRU": {"states": 48, "options": {"gate_init": (-5.0, 0.0)}, "lr": 6e-3, "noise": 0.0},
}


class Classifier(Backbone):
    """A backbone whose states nobody asks for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[0]


def settings(quick: bool) -> list[Plain]:
    return [{"network": cell, "epochs": QUICK_EPOCHS if quick else EPOCHS} for cell in CELLS]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    x, y, x_test, y_test = load()
    cell = CELLS[setting["network"]]
    layer = Layer(setting["network"], cell["states"], bidirectional=True, **cell["options"])
    recipe = Recipe(setting["epochs"] * (len(x) // BATCH), lr=cell["lr"])
    torch.manual_seed(seed)
    network = Classifier(BackboneConfig(cell=layer, **BACKBONE))
    fit(network, x, y, recipe, seed=seed, batch=BATCH, noise=cell["noise"])
    return {
        "parameters": parameters(network),
        "train_accuracy": accuracy(network, x, y),
        "test_accuracy": accuracy(network, x_test, y_test),
    }


def _percent(values: list[float]) -> str:
    return spread([100 * x for x in values], "{:.1f}") + " %"


def table(found: list[Plain]) -> list[list[str]]:
    return [
        [
            name,
            f"{runs[0]['parameters']:,}",
            _percent([run["train_accuracy"] for run in runs]),
            _percent([run["test_accuracy"] for run in runs]),
            cpu_seconds(runs),
        ]
        for (name,), runs in by_setting(found, "network").items()
    ]


def plot(figure, found: list[Plain]) -> None:
    panel(figure.subplots(), found)


def panel(axes, found: list[Plain]) -> None:
    """Test accuracy of each seed, a column for each network."""
    names = list(by_setting(found, "network"))
    for place, runs in enumerate(by_setting(found, "network").values()):
        accuracies = [100 * run["test_accuracy"] for run in runs]
        axes.bar(place, median(accuracies), color="0.8", width=0.6)
        axes.plot([place] * len(runs), accuracies, "o", color="tab:green", ms=5)
    axes.set_xticks(range(len(names)), [name for (name,) in names])
    axes.set_ylim(0, 100)
    axes.set_ylabel("digits classified rightly, %")
    axes.grid(axis="y", alpha=0.3)


CLAIM = Claim(
    name="digits",
    says="Digits of 8 x 8 pixels as sequences of 64 steps, 1,437 to learn from and 360 to test on, "
    "in the papers' backbone with positional encoding, the same for all: on an ordinary task "
    "thresholds and discrete states come within a point and a half of the best.",
    settings=settings,
    run=run,
    header=("network", "parameters", "train accuracy", "test accuracy", "CPU s"),
    table=table,
    plot=plot,
    seeds=3,
)
