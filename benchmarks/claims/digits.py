"""scikit-learn's 8x8 digits, one pixel a step: 64 steps, 1437 sequences to learn from and 360 to
test on. No download."""

from __future__ import annotations

import torch
from torch import Tensor

from lrnn_kernels.tasks.digits import load

from .model import CELLS, Classifier
from .training import Recipe, accuracy, train

TITLE = (
    "8x8 digits as sequences of 64 pixels: 2 blocks, both directions, mean over steps, the "
    "same backbone for all"
)
HEADER = ("cell", "parameters", "train accuracy", "test accuracy", "of three seeds", "seconds")
#: Of cells with thresholds, whose training a single rounding can send another way; of other cells
#: the first.
SEEDS = (0, 1, 2)
WIDTH = 32

#: What differs between cells: states (both directions together), epochs, learning rate, noise on
#: the pixels. All of it, and the backbone, was chosen on a fifth of the training set held out of
#: training (``validate``), never on the test set. For the LRU fewer states and epochs are enough.
#: Only the BMRU and CMRU see noise: a threshold can lie between two grey levels, 1/16 apart, and
#: half of that blurs it.
SETTINGS = {
    "BMRU": {"states": 96, "epochs": 30, "lr": 6e-3, "noise": 0.03, "seeds": SEEDS},
    "CMRU": {"states": 96, "epochs": 30, "lr": 6e-3, "noise": 0.03, "seeds": SEEDS},
    "LRU": {"states": 32, "epochs": 14, "lr": 4e-3, "noise": 0.0, "seeds": SEEDS[:1]},
    "minGRU": {"states": 96, "epochs": 22, "lr": 6e-3, "noise": 0.0, "seeds": SEEDS[:1]},
}


def run(
    *, quick: bool = False, cells: list[str] | None = None, validate: bool = False
) -> list[dict]:
    """Trains one network per cell and seed; returns a row per cell, with the run of median test
    accuracy and all test accuracies."""
    data = load(validate=validate)
    rows = []
    threads = torch.get_num_threads()
    # Operations this small gain little from a second thread and lose much on a busy machine.
    torch.set_num_threads(1)
    for cell in cells or CELLS:
        seeds = SETTINGS[cell]["seeds"][: 1 if quick else None]
        runs = sorted(
            (_run(cell, seed, data, quick) for seed in seeds), key=lambda run: run["test_accuracy"]
        )
        row = runs[(len(runs) - 1) // 2] | {
            "test_accuracies": [run["test_accuracy"] for run in runs]
        }
        rows.append(row | {"seconds": sum(run["seconds"] for run in runs)})
    torch.set_num_threads(threads)
    return rows


def _run(cell: str, seed: int, data: tuple[Tensor, Tensor, Tensor, Tensor], quick: bool) -> dict:
    x, y, x_test, y_test = data
    settings = SETTINGS[cell]
    recipe = Recipe(
        epochs=3 if quick else settings["epochs"], lr=settings["lr"], noise=settings["noise"]
    )
    torch.manual_seed(seed)
    model = Classifier(cell, inputs=1, classes=10, width=WIDTH, states=settings["states"])
    done = train(model, x, y, recipe, seed=seed, label=f"digits, {cell}, seed {seed}")
    return {
        "cell": cell,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_accuracy": accuracy(model, x, y),
        "test_accuracy": accuracy(model, x_test, y_test),
        "epochs": recipe.epochs,
        **done,
    }


def cells(row: dict) -> list[str]:
    """A row of ``run`` for the table."""
    accuracies = [f"{100 * row[name]:.1f} %" for name in ("train_accuracy", "test_accuracy")]
    low, high = row["test_accuracies"][0], row["test_accuracies"][-1]
    spread = f"{100 * low:.1f} to {100 * high:.1f} %" if high > low else ""
    return [row["cell"], f"{row['parameters']:,}", *accuracies, spread, f"{row['seconds']:.0f}"]
