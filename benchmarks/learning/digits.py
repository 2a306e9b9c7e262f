"""scikit-learn's 8x8 digits, one pixel a step: 64 steps, 1437 sequences to learn from and 360 to test on. No download."""

from __future__ import annotations

import torch
from torch import Tensor

from .model import CELLS, Classifier
from .training import Recipe, accuracy, train

TITLE = "8x8 digits as sequences of 64 pixels: 2 blocks, mean over steps, the same network for all"
HEADER = ("cell", "parameters", "train accuracy", "test accuracy", "seconds")
SEED = 0

#: Learning rates, the better of a few tried for each cell, and higher than the papers' since the run is so short.
RATES = {"BMRU": 1e-2, "CMRU": 1e-2, "LRU": 4e-3, "minGRU": 4e-3}


def load() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test sequences (N,64,1) with their labels; the split is fixed and holds every digit in equal shares."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    sequences = (pixels / 16 - 0.5).astype("float32")[..., None]
    split = train_test_split(sequences, labels, test_size=0.2, random_state=SEED, stratify=labels)
    x, x_test, y, y_test = (torch.from_numpy(part) for part in split)
    return x, y, x_test, y_test


def run(*, quick: bool = False, cells: list[str] | None = None) -> list[dict]:
    """Trains one network per cell; returns one row each."""
    x, y, x_test, y_test = load()
    rows = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # operations this small, 0.1 ms each, gain little from a second thread and lose much on a busy machine
    for cell in cells or CELLS:
        # Smaller batches than the papers', for a run a hundred times shorter; dropout would be a quarter of its time.
        recipe = Recipe(epochs=3 if quick else 25, batch=32, lr=RATES[cell])
        torch.manual_seed(SEED)
        model = Classifier(cell, inputs=1, classes=10, width=32, dropout=0.0)
        done = train(model, x, y, recipe, seed=SEED, label=f"digits, {cell}")
        rows.append(
            {
                "cell": cell,
                "parameters": sum(p.numel() for p in model.parameters()),
                "train_accuracy": accuracy(model, x, y),
                "test_accuracy": accuracy(model, x_test, y_test),
                "epochs": recipe.epochs,
                **done,
            }
        )
    torch.set_num_threads(threads)
    return rows


def cells(row: dict) -> list[str]:
    """A row of ``run`` for the table."""
    accuracies = (f"{100 * row[name]:.1f} %" for name in ("train_accuracy", "test_accuracy"))
    return [row["cell"], f"{row['parameters']:,}", *accuracies, f"{row['seconds']:.0f}"]
