"""At which horizons a policy of the T-maze is optimal: steps between the cue and the action that
needs it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from lrnn_kernels.tasks import t_maze

HORIZONS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_PIECE = 5000  # steps at a time, so that memory does not grow with the horizon


@torch.no_grad()
def optimal(network: nn.Module, cue: str) -> dict[int, bool]:
    """Whether the greedy policy is optimal at each horizon: right in every cell of the corridor,
    and at the junction the arm that the cue asked for, for every cue there is.

    One walk serves all horizons: at each of them the junction is shown to the state as it is.
    """
    network.eval()
    answer, right, states = begun(network, cue)
    found = {}
    for begin, end in pairwise((1, *HORIZONS)):  # the cue's last cell is the corridor's first
        for first in range(begin, end, _PIECE):
            steps = min(_PIECE, end - first)
            out, states = network(seen(t_maze.CORRIDOR, len(answer), steps), states)
            right = right and bool((out.argmax(-1) == t_maze.RIGHT).all())
        out, _ = network(seen(t_maze.JUNCTION, len(answer), 1), states)
        found[end] = right and torch.equal(out[:, 0].argmax(-1), answer)
    return found


def breaks_at(found: dict[int, bool]) -> int | None:
    """The first horizon at which the policy is not optimal; None where it always is."""
    return next((horizon for horizon, right in found.items() if not right), None)


def seen(what: int, batch: int, steps: int) -> Tensor:
    """The same observation at every step."""
    return torch.eye(4)[what].expand(batch, steps, 4)


def begun(network: nn.Module, cue: str) -> tuple[Tensor, bool, object]:
    """After each cue there is: the arms to take, whether all the cells so far were left to the
    right, and the states, as those of one batch."""
    arms, starts = zip(*t_maze.cues(cue), strict=True)
    after = [network(torch.eye(4)[start][None]) for start in starts]
    right = all(bool((out.argmax(-1) == t_maze.RIGHT).all()) for out, _ in after)
    return torch.tensor(arms), right, _joined([states for _, states in after])


def _joined(states: list) -> object:
    """States of several sequences as those of one batch."""
    if isinstance(states[0], Tensor):
        return torch.cat(states, 1)
    return tuple(_joined(list(part)) for part in zip(*states, strict=True))
