"""What the Triton kernels of neurons compile to, as triton.py has it for the recurrences: rows of
the same kind, in results/triton-neurons-VERSION.tsv.

Each model is compiled in both types with a constant current alone, and with all that a call may
have: a current and a sigma for each neuron, a waveform, noise, a recording. In float64 also as the
scheme is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
import triton as compiler

from . import triton

if TYPE_CHECKING:
    from lrnn_kernels.triton_kernels.populations import PopulationCall

TYPES = {"float32": torch.float32, "float64": torch.float64}
#: Storage, as a row calls it: the type, whether a call has all that it may, other options.
STORAGE = {
    f"{name}, {what}": (dtype, what == "all", {})
    for name, dtype in TYPES.items()
    for what in ("current", "all")
} | {"float64, as written": (torch.float64, True, {"as_written": True})}


def call(
    model: str, dtype: torch.dtype, has_all: bool, B: int = 64, slots: int = 16, **options: Any
) -> PopulationCall:
    """A population of zeros."""
    from lrnn_kernels.triton_kernels.populations import EXTRA, NEURONS, PopulationCall

    neuron = NEURONS[model]
    columns = B if has_all else 1
    options = {
        "first_step": 0,
        "steps": 64,
        "dt": 0.025,
        "discard": 0.0,
        "threshold": (10.0, 0.0),
        "current": torch.zeros(64 if has_all else 1, columns, dtype=dtype),
        "current_rate": 0.5,
        "noise": None,
        "record_every": 4,
        "record_states": (0,) if has_all else (),
        "every": 4,
        "seed": 0,
        **options,
    }
    every, seed = options.pop("every"), options.pop("seed")
    first, last = options["first_step"], options["first_step"] + options["steps"]
    record = None
    if has_all:
        options["noise"] = SimpleNamespace(
            sigma=torch.zeros(B, dtype=dtype),
            neurons=torch.zeros(B, dtype=torch.int64),
            seed=seed,
            every=every,
            warm_up=100,
            sections=torch.rand(2, 3),
        )
        samples = -(-last // options["record_every"]) + -first // options["record_every"]
        record = torch.zeros(samples, 1, B, dtype=dtype)
    return PopulationCall(
        model,
        torch.zeros(B, neuron.channels, dtype=dtype),
        torch.zeros(B, neuron.states + EXTRA, dtype=torch.float64),
        torch.zeros(B, slots, dtype=torch.float64),
        torch.zeros(B, dtype=torch.int64),
        record=record,
        **options,
    )


def _launch(model: str, storage: str, target: str):
    """A launch whose programs are one warp of the target."""
    dtype, has_all, options = STORAGE[storage]
    lanes = triton.TARGETS[target].warp_size
    (launch,) = call(model, dtype, has_all, lanes=lanes, **options).launches()
    return model, storage, launch, target


def every() -> Iterator[tuple]:
    """All (model, storage, launch, target)."""
    from lrnn_kernels.triton_kernels.populations import NEURONS

    for model in NEURONS:
        for storage in STORAGE:
            for target in triton.TARGETS:
                yield _launch(model, storage, target)


def some() -> Iterator[tuple]:
    """The largest kernels of every model."""
    from lrnn_kernels.triton_kernels.populations import NEURONS

    for model in NEURONS:
        for name in TYPES:
            for target in ("sm_90", "gfx942"):
                yield _launch(model, f"{name}, all", target)


def table_path() -> Path:
    return triton.RESULTS / f"triton-neurons-{compiler.__version__}.tsv"
