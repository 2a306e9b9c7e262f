"""Denoising: pick the flagged values out of noise, and give them in order at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import integer
from . import checks, draws
from .batch import Batch, mean_square


def draw(
    *,
    batch_size: int = 32,
    steps: int = 400,
    generator: torch.Generator,
    values: int = 5,
    padding: int = 0,
) -> Batch:
    """Channel 0 is N(0,1) noise. Channel 1 is 1 at ``values`` random steps, -1 at the first of the
    last ``values`` steps, which asks for the flagged values in order, and 0 elsewhere. With
    ``padding`` none of that many steps before the question is flagged.

    inputs   (B, T, 2), float32; T = steps counts the padding
    targets  (B, T, 1), float32: at the last ``values`` steps the flagged values, before them 0,
             which is not read
    metric   mean square error; the constant answer 0 has 1.0, which is chance
    source   Vecoven, Ernst and Drion, "A bio-inspired bistable recurrent cell allows for
             long-lasting memory", 2021: 400 steps, 5 values, padding 0 or 200
    """
    values = integer("values", values)
    padding = integer("padding", padding, 0)
    checks.sizes(batch_size, steps, generator, least=2 * values + padding)
    asked = steps - values
    inputs = torch.zeros(batch_size, steps, 2)
    inputs[..., 0] = draws.normal((batch_size, steps), generator)
    flagged = draws.distinct(asked - padding, values, batch_size, generator).sort(dim=1).values
    inputs[..., 1].scatter_(1, flagged, 1.0)
    inputs[:, asked, 1] = -1
    targets = torch.zeros(batch_size, steps, 1)
    targets[:, asked:, 0] = inputs[..., 0].gather(1, flagged)
    mask = torch.zeros(batch_size, steps, dtype=torch.bool)
    mask[:, asked:] = True
    return Batch(inputs, targets, mask)


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Mean square error of the values asked for; chance 1.0. outputs: (B,T,1) or (B values, 1)."""
    return mean_square(outputs, batch)
