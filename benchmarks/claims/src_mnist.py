"""A spiking recurrent cell network learns MNIST, in floating point and in the integers of its
FPGA form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lrnn_kernels import fixed_point
from lrnn_kernels.tasks import mnist

from . import progress
from .src_network import FloatNetwork, IntegerNetwork, Network
from .training import Recipe, accuracy, fit

HEADER = ("network", "frames", "levels", "epochs", "rounded", "accuracy", "published", "seconds")
SEED = 0  # of weights and batches; training spikes are drawn from SEED + 1 on
CODING_SEED = 0  # of the spikes of the digits that are classified
HELD_OUT = 5000
BATCH = 128

#: The float network, and how its weights are trained further in integers, separately for every
#: number of frames and levels. All of it was chosen on the last 5,000 training digits, held out of
#: training (``validate``), never on the test set.
FLOAT = {
    "form": "float",
    "frames": 220,
    "levels": None,
    "epochs": 5,
    "lr": 1e-2,
    "sharpness": 0.2,
    "published": None,
}
INTEGER = (
    {
        "form": "integer",
        "frames": 220,
        "levels": 256,
        "epochs": 1,
        "lr": 3e-3,
        "sharpness": 0.1,
        "published": 0.9631,
    },
    {
        "form": "integer",
        "frames": 55,
        "levels": 16,
        "epochs": 3,
        "lr": 6e-3,
        "sharpness": 0.3,
        "published": 0.9332,
    },
    {
        "form": "integer",
        "frames": 44,
        "levels": 8,
        "epochs": 3,
        "lr": 6e-3,
        "sharpness": 0.3,
        "published": 0.9289,
    },
)
QUICK = {"epochs": 1, "train": 12000, "test": 2000}


def load(
    path: str | Path, *, validate: bool = False, quick: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test digits with their labels; with ``validate`` the end of the training set
    takes the test set's place."""
    x, y, x_test, y_test = (torch.from_numpy(part) for part in mnist.load(path))
    if validate:
        x, x_test = x[:-HELD_OUT], x[-HELD_OUT:]
        y, y_test = y[:-HELD_OUT], y[-HELD_OUT:]
    if quick:
        x, y, x_test, y_test = (
            x[: QUICK["train"]],
            y[: QUICK["train"]],
            x_test[: QUICK["test"]],
            y_test[: QUICK["test"]],
        )
    return x, y, x_test, y_test


def evaluate(network: Network, x: Tensor, labels: Tensor) -> float:
    """The share of digits classified rightly: integers by ``fixed_point.Network``, the FPGA's
    arithmetic, without torch."""
    if isinstance(network, IntegerNetwork):
        integers = fixed_point.Network([network.quantized()])
        found = integers.classify(
            x.numpy(), network.frames, silent=network.silent, seed=CODING_SEED
        ).labels
        return float((found == labels.numpy()).mean())
    network.reseed(CODING_SEED)
    return accuracy(network, x, labels)


def run(
    data: tuple[Tensor, Tensor, Tensor, Tensor],
    *,
    quick: bool = False,
    kept: dict[str, np.ndarray] | None = None,
) -> list[dict]:
    """Trains on what ``load`` returned and classifies: a row for the float network, and one for
    each network of integers.

    In ``kept``, for levels B, are left: weights_B (100,784), accuracy_B, and spikes_B (785,), in
    how many frames of the test digits how many pixels spike. Circuits are made of them (``fpga``).
    """
    torch.manual_seed(SEED)
    network = FloatNetwork(FLOAT["frames"], sharpness=FLOAT["sharpness"], seed=SEED + 1)
    rows = [_row(network, FLOAT, data, quick)]
    for setting in INTEGER:
        sharpness, levels = setting["sharpness"], setting["levels"]
        integers = IntegerNetwork(
            setting["frames"], levels, network.weight, sharpness=sharpness, seed=SEED + 1
        )
        rounded = evaluate(integers, *data[2:])
        rows.append({**_row(integers, setting, data, quick), "rounded_accuracy": rounded})
        if kept is not None:
            kept[f"weights_{levels}"] = integers.quantized().weights
            kept[f"accuracy_{levels}"] = np.array(rows[-1]["test_accuracy"])
            kept[f"spikes_{levels}"] = _spikes(data[2], integers)
    return rows


def _spikes(x: Tensor, network: IntegerNetwork) -> np.ndarray:
    """(785,), in how many frames of these digits how many pixels spike."""
    found = np.zeros(x.shape[1] + 1, np.int64)
    for first in range(0, len(x), 500):  # traces of all would take gigabytes
        traces = fixed_point.traces(
            x[first : first + 500].numpy(),
            network.frames,
            silent=network.silent,
            seed=CODING_SEED,
            first=first,
        )
        found += np.bincount(traces.unpack().sum(2).ravel(), minlength=len(found))
    return found


def _row(
    network: Network, setting: dict, data: tuple[Tensor, Tensor, Tensor, Tensor], quick: bool
) -> dict:
    x, y, x_test, y_test = data
    epochs = QUICK["epochs"] if quick else setting["epochs"]
    recipe = Recipe(
        steps=epochs * (len(x) // BATCH),
        lr=setting["lr"],
        warmup=50,
        weight_decay=0.0,
        clip=float("inf"),
    )
    progress.start()
    done = fit(network, x, y, recipe, seed=SEED, batch=BATCH)
    progress.finish()
    seeds = {"seed": SEED, "coding_seed": CODING_SEED}
    sizes = {"train_digits": len(x), "test_digits": len(x_test)}
    return {
        **setting,
        "epochs": epochs,
        "test_accuracy": evaluate(network, x_test, y_test),
        **sizes,
        **seeds,
        **done,
    }


def title(rows: list[dict], *, validate: bool) -> str:
    """What the table says of its rows."""
    which = "held-out training" if validate else "test"
    return (
        f"MNIST, 784-100 SRC, detached rule: trained on {rows[0]['train_digits']:,} digits, "
        f"accuracy on {rows[0]['test_digits']:,} {which} digits.\n"
        "Integers start from the float network's weights (rounded), and are trained further, "
        "for each row by itself (accuracy).\n"
        f"Seed {SEED}, coding seed {CODING_SEED}. Published: the FPGA form's paper."
    )


def cells(row: dict) -> list[str]:
    """A row of ``run`` for the table."""
    accuracies = (
        f"{100 * row[key]:.2f} %" if row.get(key) else ""
        for key in ("rounded_accuracy", "test_accuracy", "published")
    )
    return [
        row["form"],
        str(row["frames"]),
        str(row["levels"] or ""),
        str(row["epochs"]),
        *accuracies,
        f"{row['seconds']:.0f}",
    ]
