"""Arguments of the tasks, checked: errors name the argument, what was got and what was expected."""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import integer


def on_cpu(generator: object) -> None:
    """Draws on other devices are other draws."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator on the CPU, got {type(generator).__name__}"
        )
    if generator.device.type != "cpu":
        raise ValueError(f"generator must be on the CPU, got one on {generator.device}")


def sizes(batch_size: object, steps: object, generator: object, least: int = 2) -> None:
    """What every generated batch is given; fewer than ``least`` steps have no room for the task."""
    integer("batch_size", batch_size)
    integer("steps", steps, least)
    on_cpu(generator)


def batches(batch_size: object, generator: object) -> None:
    """What a batch that is drawn from data is given."""
    integer("batch_size", batch_size)
    on_cpu(generator)


def labels(x: Tensor, count: int, what: str) -> None:
    """A class for each of so many things."""
    if x.shape != (count,):
        raise ValueError(
            f"labels must have shape ({count},) as there are {what}, got {tuple(x.shape)}"
        )
    if x.dtype.is_floating_point or x.dtype.is_complex or x.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {x.dtype}")
    if int(x.min()) < 0:
        raise ValueError(f"labels must be at least 0, got {int(x.min())}")
