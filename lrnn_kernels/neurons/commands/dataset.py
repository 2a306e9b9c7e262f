"""python -m lrnn_kernels.neurons dataset MODEL --pairs N --out DIR"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from .. import datasets
from ..models import MODELS
from ..progress import teller


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "dataset",
        help="conductances, DICs and spikes of a population, in shards",
        description="Makes a data set. Interrupted, the same command goes on; under torchrun, each "
        "process makes its share.",
    )
    models = [name for name, model in MODELS.items() if model.recipe is not None]
    command.add_argument("model", choices=models, type=str.lower)
    command.add_argument("--pairs", type=int, required=True, help="targets (g_s, g_u)")
    command.add_argument("--neurons", type=int, default=16, help="of a pair (default: 16)")
    command.add_argument("--out", required=True, help="the folder")
    command.add_argument("--law", choices=datasets.LAWS, default="dic")
    command.add_argument("--T", type=float, help="ms (default: the published protocol's)")
    command.add_argument("--discard", type=float, help="ms without spikes (default: likewise)")
    command.add_argument("--dt", type=float, help="ms (default: the model's)")
    command.add_argument("--noise", type=float, default=0.0, help="sigma, uA/cm^2 (default: 0)")
    command.add_argument("--validation", type=float, default=0.1, help="share of the pairs")
    command.add_argument("--test", type=float, default=0.1, help="share of the pairs")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    command.add_argument("--format", choices=datasets.FORMATS, default="npz", help="of the files")
    command.add_argument("--backend", default="auto", help="as of neurons.simulate")
    command.set_defaults(run=run)


def run(out: str, backend: str, **given: object) -> int:
    rank, world = _place("RANK", 0), _place("WORLD_SIZE", 1)
    settings = datasets.Settings(**given)
    try:
        written = datasets.make(
            settings, out, rank=rank, world=world, backend=backend, progress=_shown(rank)
        )
    except KeyboardInterrupt:
        print(f"\nInterrupted. Finished shards are in {out}; the same command goes on.")
        return 130
    print(f"{len(written)} shards made, {settings.shards} in all, in {out}")
    return 0


def _place(name: str, default: int) -> int:
    """What torchrun tells its processes."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name} must be a whole number, got {text!r}")
    return int(text)


def _shown(rank: int) -> Callable[[int, int], None] | None:
    """A bar on a terminal, of the first process."""
    tell = teller(rank == 0)
    return tell and (lambda done, total: tell(done / total))
