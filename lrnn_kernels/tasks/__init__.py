"""Tasks for recurrent networks, each in a module of its own, drawn from a seeded generator.

generator = torch.Generator().manual_seed(0)
batch = tasks.copy_first_symbol.draw(batch_size=64, steps=200, generator=generator)
outputs = network(batch.inputs)                             # (B,T,K)
loss = F.cross_entropy(outputs[batch.mask], batch.answers)
tasks.copy_first_symbol.metric(outputs, batch)              # {"accuracy": 0.98, "chance": 0.125}

Every module has ``draw(*, ..., generator)``, which returns the next ``Batch`` of an endless stream,
and ``metric(outputs, batch)``. The same seed gives the same bits on any machine with that version
of torch. Nothing is downloaded: what cannot be drawn is read from a file that the user names.
"""

from . import (
    adaptation,
    associative_recall,
    copy_first_input,
    copy_first_symbol,
    denoising,
    digits,
    event_files,
    events,
    horizon,
    images,
    listops,
    mnist,
    pathfinder,
    selective_copying,
    t_maze,
)
from .batch import Batch

__all__ = [
    "Batch",
    "adaptation",
    "associative_recall",
    "copy_first_input",
    "copy_first_symbol",
    "denoising",
    "digits",
    "event_files",
    "events",
    "horizon",
    "images",
    "listops",
    "mnist",
    "pathfinder",
    "selective_copying",
    "t_maze",
]
