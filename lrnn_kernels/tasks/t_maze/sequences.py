"""The T-maze as sequences: a cue, a corridor of any length, and a junction where the cue decides.

What an agent sees and what it should do, for behaviour cloning and for tests at other lengths.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...options import integer, one_of
from .. import checks, draws
from ..batch import Batch, accuracy
from .cells import CORRIDOR, DOWN, DOWN_CUE, GAPS, JUNCTION, RIGHT, UP, UP_CUE

CUES = ("shown", "flashes")


def cues(cue: str = "shown") -> list[tuple[int, list[int]]]:
    """All cues that a sequence may begin with: the arm that each asks for, and what is seen of it,
    one observation a cell. The corridor comes after."""
    one_of("cue", cue, CUES)
    if cue == "shown":
        return [(UP, [UP_CUE]), (DOWN, [DOWN_CUE])]
    return [(arm, _flashes(gap)) for arm, gaps in GAPS.items() for gap in gaps]


def _flashes(gap: int) -> list[int]:
    return [UP_CUE, *[CORRIDOR] * (gap - 1), UP_CUE]


def draw(
    *,
    batch_size: int = 64,
    shortest: int = 5,
    longest: int = 20,
    generator: torch.Generator,
    cue: str = "shown",
) -> Batch:
    """Walks through a corridor whose length is drawn from ``shortest`` to ``longest`` cells: right
    in each of them, then up or down at the junction.

    ``cue``: "shown" shows the arm to take in the first cell of the corridor. "flashes" shows the
    same flash in two cells, and the corridor begins at the second: up where it comes 2, 3 or 4
    cells after the first, down where 7, 8 or 9, so that an interval must be measured, and then
    what it said be kept.

    inputs   (B, T, 4), float32: the cell one-hot (up, down, corridor, junction), zeros after the
             junction; T = longest + 1, and 9 more for "flashes"
    targets  (B, T), int64: the action (right, up, left, down = 0 ... 3); read up to the junction
    metric   accuracy of the actions, all steps alike; chance 1/4. One step in about 14 is a
             junction (``at_junction``): whoever trains or judges should weigh it for itself
    source   Bakker, "Reinforcement learning with long short-term memory", 2001; the flashes are
             this project's own
    """
    shortest = integer("shortest", shortest)
    longest = integer("longest", longest, shortest)
    checks.batches(batch_size, generator)
    kinds = cues(cue)
    arms = torch.tensor([arm for arm, _ in kinds])
    before = torch.tensor([len(seen) - 1 for _, seen in kinds])  # cells before the corridor
    kind = draws.integers(len(kinds), (batch_size,), generator)
    length = shortest + draws.integers(longest - shortest + 1, (batch_size,), generator)
    junction = (length + before[kind])[:, None]
    t = torch.arange(longest + 1 + int(before.max()))
    seen = torch.full((batch_size, len(t)), CORRIDOR)
    for number, (_, start) in enumerate(kinds):
        seen[kind == number, : len(start)] = torch.tensor(start)
    seen = torch.where(t == junction, JUNCTION, seen)
    mask = t <= junction
    inputs = torch.nn.functional.one_hot(seen, 4) * mask[..., None]
    targets = torch.where(t == junction, arms[kind][:, None], RIGHT)
    return Batch(inputs.float(), targets, mask)


def at_junction(batch: Batch) -> Tensor:
    """Where a batch's junctions are, (B,T) bool: the last step of each sequence that counts."""
    after = torch.cat([batch.mask[:, 1:], batch.mask.new_zeros(len(batch.mask), 1)], 1)
    return batch.mask & ~after


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy of the actions; chance 1/4. outputs: (B,T,4), or (N,4) at the steps that count."""
    return accuracy(outputs, batch)
