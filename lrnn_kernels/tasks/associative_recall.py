"""Multi-query associative recall (MQAR): pairs of key and value, then the keys again."""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import integer
from . import checks, draws
from .batch import Batch, accuracy

BLANK = 0


def draw(
    *,
    batch_size: int = 64,
    steps: int = 256,
    generator: torch.Generator,
    pairs: int = 16,
    keys: int = 4096,
    values: int = 4096,
    power: float = 0.01,
) -> Batch:
    """The first 2 ``pairs`` steps are a key, its value, the next key, ...; in the steps after them
    each key comes once more, and at that step its value is asked for. All else is blank.

    The keys of a sequence differ, values may repeat. Step d after the pairs (d = 1, 2, ...) is
    asked at in proportion to d^(power - 1): near questions are frequent and far ones exist, as
    in language; ``power`` 1 spreads them evenly.

    inputs   (B, T), int64 of 1 + keys + values tokens: 0 blank, then the keys, then the values
    targets  (B, T), int64 of 0 ... values - 1; 0, which is not read, where nothing is asked
    metric   accuracy; chance 1 / values
    source   Arora et al., "Zoology: measuring and improving recall in efficient language models",
             2023: a vocabulary of 8192, half keys, half values
    """
    pairs = integer("pairs", pairs)
    keys = integer("keys", keys, pairs)
    values = integer("values", values, 2)
    if not isinstance(power, (int, float)) or not 0 < power <= 1:
        raise ValueError(f"power must be a number in (0, 1], got {power!r}")
    checks.sizes(batch_size, steps, generator, least=3 * pairs)
    first = 2 * pairs
    key = draws.distinct(keys, pairs, batch_size, generator) + 1
    value = draws.integers(values, (batch_size, pairs), generator)
    inputs = torch.full((batch_size, steps), BLANK)
    inputs[:, 0:first:2] = key
    inputs[:, 1:first:2] = value + keys + 1
    places = first + _places(steps - first, pairs, batch_size, power, generator)
    inputs.scatter_(1, places, key)
    targets = torch.zeros(batch_size, steps, dtype=torch.int64).scatter_(1, places, value)
    mask = torch.zeros(batch_size, steps, dtype=torch.bool).scatter_(1, places, True)
    return Batch(inputs, targets, mask)


def _places(
    room: int, count: int, batch_size: int, power: float, generator: torch.Generator
) -> Tensor:
    """Different places, (B,count), drawn one after the other in proportion to their weights: the
    first of exponential clocks (Efraimidis and Spirakis, 2006). In float64, where two clocks that
    another machine would order otherwise come once in 1e12 draws."""
    weights = torch.arange(1, room + 1, dtype=torch.float64) ** (power - 1)
    uniform = (draws.integers(2**52, (batch_size, room), generator) + 0.5) / 2**52
    return (-uniform.log() / weights).argsort(dim=1, stable=True)[:, :count]


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy over the values asked for; chance 1 / values. outputs: (B,T,values) or
    (B pairs, values)."""
    return accuracy(outputs, batch)
