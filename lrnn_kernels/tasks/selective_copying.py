"""Selective copying: tokens at random places among blanks, to be given in order at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import integer
from . import checks, draws
from .batch import Batch, accuracy

BLANK, ASK = 0, 1
#: Tokens from here on are symbols: token 2 is class 0.
FIRST_SYMBOL = 2


def draw(
    *,
    batch_size: int = 64,
    steps: int = 4096 + 16,
    generator: torch.Generator,
    tokens: int = 16,
    symbols: int = 14,
) -> Batch:
    """``tokens`` symbols at random steps, blanks between them; the last ``tokens`` steps ask for
    them in order. Places differ from sequence to sequence, so that no fixed delay answers.

    inputs   (B, T), int64 of 2 + symbols tokens: 0 blank, 1 the question, then the symbols
    targets  (B, T), int64 of 0 ... symbols - 1; at the last ``tokens`` steps what is asked for,
             before them 0, which is not read
    metric   accuracy; chance 1 / symbols
    source   Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces", 2023
             (4096 steps, 16 tokens, a vocabulary of 16), after Jing et al., "Gated orthogonal
             recurrent units", 2019
    """
    tokens = integer("tokens", tokens)
    symbols = integer("symbols", symbols, 2)
    checks.sizes(batch_size, steps, generator, least=2 * tokens)
    asked = steps - tokens
    symbol = draws.integers(symbols, (batch_size, tokens), generator)
    places = draws.distinct(asked, tokens, batch_size, generator).sort(dim=1).values
    inputs = torch.full((batch_size, steps), BLANK)
    inputs.scatter_(1, places, symbol + FIRST_SYMBOL)
    inputs[:, asked:] = ASK
    targets = torch.zeros(batch_size, steps, dtype=torch.int64)
    targets[:, asked:] = symbol
    mask = torch.zeros(batch_size, steps, dtype=torch.bool)
    mask[:, asked:] = True
    return Batch(inputs, targets, mask)


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy over the tokens asked for; chance 1 / symbols. outputs: (B,T,symbols) or
    (B tokens, symbols)."""
    return accuracy(outputs, batch)
