"""Levels that rise or fall evenly: the cumulative cells under an input that repeats.

Their states after n periods are h + n d, so every logit is affine in n, and where one passes
another is a quotient. In exact arithmetic, on the numbers that parameters and states are: in
floating point a sum that has grown large takes up no more.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...multistability.network import Above, Unit
from ...nn import BMRU, CMRU, AlphaCMRU, members
from . import rules
from .channels import Tail
from .structure import mixes

#: Steps of a period, at most: each is looked at with fractions.
_LONGEST = 64


class Judgement(NamedTuple):
    """horizon: the first that fails, None where none does."""

    horizon: int | None


def judged(tail: Tail) -> Judgement | None:
    """Of a network whose uppermost layer alone drifts, with a linear read-out; None of others."""
    structure, record = tail.structure, tail.record
    root, head = structure.network.root, structure.head
    parts = root.parts if isinstance(root, Above) else [root]
    *lower, last = parts
    if len(head) > 1 or not all(isinstance(part, Unit) for part in parts) or not _adds(last):
        return None
    corridor = structure.walk.corridor
    given = {}  # what a step adds to the levels of all rows, by its place in a period
    period, span = 1, record.steps
    for row, inputs in ((tail.walker, corridor.inputs), (tail.asked, corridor.junction[None])):
        x = tail.constant(inputs)
        for part in lower:
            x = tail.part(part, x, row)
        if not x.joint:
            return None
        period, span = math.lcm(period, x.joint), min(span, x.span)
    if period > min(_LONGEST, span):
        return None
    numbers = range(record.first + record.steps - period, record.first + record.steps)
    for place, number in enumerate(numbers):
        below = record.outputs[lower[-1]][place - period] if lower else structure.walk.at(number)
        given[place] = _added(last, below)
    level = _fractions(record.states(last, tail.walker)[0][-1, :, 0])
    weight, bias = _read_out(root, head[0])
    end = record.first + record.steps
    walked = [_fractions(given[place][tail.walker]) for place in range(period)]
    asked = [_fractions(given[place][tail.asked]) for place in range(period)]
    drift = sum(walked)
    horizons = []
    for place in range(period):
        number = end + place
        action = corridor.actions[number % len(corridor.inputs)]
        answer = corridor.cues[tail.walker].answer
        after = level + walked[place]
        for state, wanted, ahead in ((level + asked[place], answer, 1), (after, action, 2)):
            if wanted is None:
                continue
            rounds = _first_wrong(weight, bias, state, drift, wanted)
            if rounds is not None:
                horizons.append(number + rounds * period + ahead)
        level = after
    return Judgement(min(horizons, default=None))


def _adds(part: Unit) -> bool:
    layer = part.layer
    if mixes(part) or rules.of(layer) is None:
        return False
    if isinstance(layer, BMRU):
        return float(layer._scan_options()["eps"]) == 1.0
    return isinstance(layer, CMRU | AlphaCMRU)


def _added(unit: Unit, x: Tensor) -> Tensor:
    """What a step adds to each level: to a level of zero, which is exact."""
    zero = x.new_zeros(1, len(x), unit.layer.hidden_size)
    return members.step(unit.layer, x, zero, None)[1][0].double().cpu()


def _fractions(x) -> np.ndarray:
    return np.array([Fraction(float(value)) for value in x], dtype=object)


def _matrix(x: Tensor) -> np.ndarray:
    return np.array([[Fraction(float(v)) for v in row] for row in x.detach().cpu()], dtype=object)


def _read_out(root, head: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    """The logits' weight and bias, of the uppermost layer's levels."""
    weight = _matrix(head.weight)
    if isinstance(root, Above) and root.output is not None:
        weight = weight @ _matrix(root.output.weight)
    bias = torch.zeros(len(weight)) if head.bias is None else head.bias.detach()
    return weight, _fractions(bias)


def _first_wrong(weight, bias, state, drift, action: int) -> int | None:
    """After how many periods another logit reaches that of an action; None if never."""
    found = []
    for other in range(len(weight)):
        if other == action:
            continue
        apart = weight[action] - weight[other]
        margin = apart @ state + bias[action] - bias[other]
        falls = -(apart @ drift)
        if margin <= 0:
            found.append(0)
        elif falls > 0:
            found.append(-(-margin // falls))  # a tie fails
    return min(found, default=None)
