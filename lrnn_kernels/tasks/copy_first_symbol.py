"""Copy-first-symbol: keep one of K symbols through noise, and name it at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import integer, one_of
from . import checks, draws
from .batch import Batch, accuracy, last_step

DISTRACTORS = ("noise", "symbols")


def draw(
    *,
    batch_size: int = 64,
    steps: int = 200,
    generator: torch.Generator,
    symbols: int = 8,
    channels: int = 8,
    distractors: str = "noise",
) -> Batch:
    """Step 0 shows a symbol, one-hot in the first ``symbols`` channels; the steps between fill the
    next ``channels`` with distractors; the last step is a query, a 1 in the last channel alone.

    inputs   (B, T, symbols + channels + 1), float32
    targets  (B, T), int64: the symbol; read at the last step
    metric   accuracy; chance 1 / symbols
    source   this project's discrete form of ``copy_first_input``: cells with thresholds must learn
             to shut out what is not the cue, and then hold it for any length

    ``distractors``: "noise" is N(0,1) in each channel, "symbols" one of ``channels`` other symbols,
    one-hot, which is easier (a one-hot input seldom reaches a threshold).
    """
    checks.sizes(batch_size, steps, generator)
    symbols = integer("symbols", symbols, 2)
    channels = integer("channels", channels)
    one_of("distractors", distractors, DISTRACTORS)
    symbol = draws.integers(symbols, (batch_size,), generator)
    inputs = torch.zeros(batch_size, steps, symbols + channels + 1)
    inputs[torch.arange(batch_size), 0, symbol] = 1
    between = inputs[:, 1:-1, symbols:-1]
    if distractors == "noise":
        between.copy_(draws.normal(tuple(between.shape), generator))
    else:
        shown = draws.integers(channels, (batch_size, steps - 2, 1), generator)
        between.scatter_(2, shown, 1.0)
    inputs[:, -1, -1] = 1
    return Batch(inputs, symbol[:, None].expand(-1, steps), last_step(batch_size, steps))


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy at the last step; chance 1 / symbols. outputs: (B,T,symbols) or (B,symbols)."""
    return accuracy(outputs, batch)
