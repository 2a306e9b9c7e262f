"""ListOps: nested lists of digits under minimum, maximum, median and sum, to be evaluated."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from ..options import integer
from . import checks, draws
from .batch import Batch, accuracy

#: What each operator makes of its arguments. The median of an even number is the mean of the two in
#: the middle, rounded down; the sum is taken modulo 10.
OPERATORS: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda x: (sorted(x)[(len(x) - 1) // 2] + sorted(x)[len(x) // 2]) // 2,
    "[SM": lambda x: sum(x) % 10,
}

#: Token by number: 0 pads, 1 ... 10 are the digits, then the operators, 15 closes a list.
VOCABULARY = ("", *map(str, range(10)), *OPERATORS, "]")
PADDING = 0
_FIRST_DIGIT, _FIRST_OPERATOR, _CLOSE = 1, 11, 15
_NAMES = tuple(OPERATORS)

#: Share of the arguments that are lists, where the depth allows.
LISTS = 0.25
#: Expressions that are too long or too short are drawn again, this often.
TRIES = 10_000


def draw(
    *,
    batch_size: int = 32,
    steps: int = 2000,
    generator: torch.Generator,
    min_length: int = 500,
    max_depth: int = 10,
    max_args: int = 10,
) -> Batch:
    """Expressions such as ``[MAX 2 9 [MIN 4 7 ] 0 ]``: an operator, drawn evenly, of 2 to
    ``max_args`` arguments, evenly, of which a quarter are lists themselves, down to ``max_depth``
    lists within each other. Expressions of fewer than ``min_length`` or more than ``steps`` tokens
    are drawn again.

    inputs   (B, T), int64, of 16 tokens (``VOCABULARY``); T = steps, padded with 0 at the end
    targets  (B, T), int64 of 0 ... 9: the value; read at the expression's last token
    metric   accuracy; chance 0.1. Values are not even, since minimum and maximum go to the ends:
             the constant answer 0 is right for 16 % (of 8,000 expressions of the default sizes)
    source   Nangia and Bowman, "ListOps: a diagnostic dataset for latent tree learning", 2018; the
             sizes are those of Tay et al., "Long Range Arena", 2021. The tokens are as published,
             the expressions are drawn here

    Raises ValueError where no expression of such a length is found.
    """
    min_length = integer("min_length", min_length)
    max_depth = integer("max_depth", max_depth)
    max_args = integer("max_args", max_args, 2)
    checks.sizes(batch_size, steps, generator, least=max(min_length, 4))
    rng = draws.python(generator)
    inputs = torch.full((batch_size, steps), PADDING)
    mask = torch.zeros(batch_size, steps, dtype=torch.bool)
    values = []
    for row in range(batch_size):
        tokens, value = _fitting(rng, min_length, steps, max_depth, max_args)
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, len(tokens) - 1] = True
        values.append(value)
    return Batch(inputs, torch.tensor(values)[:, None].expand(-1, steps), mask)


def text(tokens: Tensor) -> str:
    """What a row of inputs says, without its padding."""
    return " ".join(VOCABULARY[token] for token in tokens.tolist() if token != PADDING)


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy of the value; chance 0.1. outputs: (B,T,10) or (B,10)."""
    return accuracy(outputs, batch)


def _fitting(
    rng: random.Random, shortest: int, longest: int, max_depth: int, max_args: int
) -> tuple[list[int], int]:
    for _ in range(TRIES):
        drawn = _expression(rng, longest, max_depth, max_args)
        if drawn and len(drawn[0]) >= shortest:
            return drawn
    raise ValueError(
        f"min_length, steps, max_depth and max_args must allow expressions, got {shortest}, "
        f"{longest}, {max_depth} and {max_args}, for which {TRIES} tries found none"
    )


def _expression(
    rng: random.Random, longest: int, max_depth: int, max_args: int
) -> tuple[list[int], int] | None:
    """Tokens and value of one expression; None as soon as it is too long."""
    tokens: list[int] = []
    open_lists: list[tuple[str, int, list[int]]] = []  # operator, how many arguments, their values
    while True:
        if not open_lists or (len(open_lists) < max_depth and rng.random() < LISTS):
            operator = draws.below(len(_NAMES), rng)
            tokens.append(_FIRST_OPERATOR + operator)
            open_lists.append((_NAMES[operator], 2 + draws.below(max_args - 1, rng), []))
        else:
            digit = draws.below(10, rng)
            tokens.append(_FIRST_DIGIT + digit)
            open_lists[-1][2].append(digit)
        while len(open_lists[-1][2]) == open_lists[-1][1]:
            operator, _, values = open_lists.pop()
            tokens.append(_CLOSE)
            value = OPERATORS[operator](values)
            if not open_lists:
                return (tokens, value) if len(tokens) <= longest else None
            open_lists[-1][2].append(value)
        if len(tokens) + len(open_lists) > longest:
            return None
