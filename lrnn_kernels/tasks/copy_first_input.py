"""Copy-first-input: a value, noise of its own kind, and the value again at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from . import checks, draws
from .batch import Batch, last_step, mean_square


def draw(*, batch_size: int = 32, steps: int = 300, generator: torch.Generator) -> Batch:
    """T independent values of N(0,1); the first is asked for at the last step.

    inputs   (B, T, 1), float32
    targets  (B, T, 1), float32: the first value; read at the last step
    metric   mean square error; the constant answer 0 has 1.0, which is chance
    source   Vecoven, Ernst and Drion, "A bio-inspired bistable recurrent cell allows for
             long-lasting memory", 2021
    """
    checks.sizes(batch_size, steps, generator)
    inputs = draws.normal((batch_size, steps, 1), generator)
    targets = inputs[:, :1].clone().expand(-1, steps, -1)  # not a view of what users may change
    return Batch(inputs, targets, last_step(batch_size, steps))


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Mean square error at the last step; chance 1.0. outputs: (B,T,1) or (B,1)."""
    return mean_square(outputs, batch)
