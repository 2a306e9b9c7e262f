"""Whether a policy is optimal at every horizon."""

from __future__ import annotations

import torch
from torch import nn

from ...options import integer
from . import channels, drift
from .corridor import given
from .orbit import Orbit
from .structure import Structure
from .verdict import BREAKS, PROVED, UNDECIDED, Verdict
from .walk import Walk, one_form

#: Steps after which what they showed is looked at.
PIECE = 64
#: A proof by channels is tried after so many steps, and then whenever their number has grown as
#: often.
FIRST_TRY, LATER = 64, 4


def decide(policy: nn.Module, env: object, *, max_steps: int = 100_000) -> list[Verdict]:
    """Whether a policy is optimal at every horizon T: for each cue there is, whether it takes the
    right action in each of T - 1 cells of a corridor, and then the right one at the junction, for
    all T from the corridor's shortest on.

    Under a constant (or periodic) input a network in floating point is a finite machine: it comes
    back, bit for bit, to a state that it was in, and from there on all repeats. So following the
    states decides all horizons. Where channels do not mix (BMRU, LRU, minGRU, BRC, SRC), each one's
    states are followed for itself, since together they may need more steps than can be taken; what
    a linear read-out, a layer above or the junction can make of them is then bound, with all
    rounding. A proof never rests on more than was computed: what cannot be bound is undecided.

    Source of the question: "temporal horizon generalization", arXiv 2605.12206, 2026; that a finite
    machine answers it is this project's.

    Args:
        policy: a module with ``step(observation (B, in), state) -> (logits (B, actions), state)``,
            state None at the start; the action is the largest logit's, and a tie is a failure.
            Where it also has ``rnn``, layers of lrnn_kernels.nn or torch.nn, a Stack or Parallel of
            them, and ``head``, a Linear or a Sequential of Linear, ReLU, Tanh, and its step is no
            more than these two, channels can be followed; other policies are followed as a whole.
        env: a ``Corridor``, or what has one, as a ``t_maze.Maze`` has.
        max_steps: how far to walk. A verdict "undecided" says that all horizons up to there are
            right.

    Returns a verdict for each cue. All steps are taken in one form, which each verdict names: the
    same batch, one thread, the same call; where bits differ with the form, so may verdicts. A CMRU
    whose levels drift is judged in exact arithmetic (form.arithmetic) where no break is found: in
    float32 a level sticks after some 2^24 steps.

    Runs without gradients, in evaluation mode, and leaves the policy as it was. Time is that of the
    steps until all cues are decided. Raises TypeError or ValueError, naming the argument.
    """
    corridor = given(env)
    max_steps = integer("max_steps", max_steps, corridor.shortest)
    with one_form(policy if isinstance(policy, nn.Module) else nn.Identity()):
        return _Decision(Walk(policy, corridor), max_steps).verdicts()


class _Decision:
    """All cues of a policy, walked together until each has a verdict."""

    def __init__(self, walk: Walk, max_steps: int) -> None:
        self.walk, self.max_steps = walk, max_steps
        self.shortest = walk.corridor.shortest
        self.found: dict[int, Verdict] = {}
        self.done = 0

    def verdicts(self) -> list[Verdict]:
        walk = self.walk
        right, state = walk.begin()
        for row in range(walk.count):
            if not right[row]:
                self._say(row, BREAKS, self.shortest)
        structure = Structure.of(walk, state)
        orbit, next_try, drifting = Orbit(walk, state), max(FIRST_TRY, self.shortest), {}
        while self.done < self.max_steps and self._open():
            state = self._piece(state, orbit)
            last = self.done == self.max_steps
            if structure and self._open() and (last or self.done >= next_try):
                next_try = LATER * self.done
                drifting = self._prove(structure, state)
        for row in self._open():
            if row in drifting:
                self._say(row, BREAKS, drifting[row], how="drift")
        for row in self._open():
            self._say(row, UNDECIDED)
        return [self.found[row] for row in range(walk.count)]

    def _open(self) -> list[int]:
        """Cues without a verdict."""
        return [row for row in range(self.walk.count) if row not in self.found]

    def _piece(self, state, orbit: Orbit):
        """Some more steps, and what they say; returns the state after them."""
        logits, states = [], []
        for number in range(self.done, min(self.done + PIECE, self.max_steps)):
            out, state = self.walk.step(number, state)
            logits.append(out)
            states.append(state)
        right = self.walk.right(self.done, torch.stack(logits)).cpu()
        orbit.add(self.done, states)
        first, self.done = self.done, self.done + len(states)
        for row in self._open():
            horizon = self._broken(right[:, row], right[:, self.walk.count + row], first)
            if horizon is not None:
                self._say(row, BREAKS, horizon)
            elif orbit.periods[row] and self.done >= self.shortest + orbit.periods[row]:
                # All of a period's states were asked at horizons that count.
                self._say(row, PROVED, period=orbit.periods[row], how="orbit")
        return state

    def _broken(self, walked: torch.Tensor, asked: torch.Tensor, first: int) -> int | None:
        """The smallest horizon that fails, of steps from ``first`` on: what is wrong in cell T as
        the corridor's is wrong for horizon T + 1."""
        found = []
        if not walked.all():
            found.append(max(first + 2 + int((~walked).nonzero()[0, 0]), self.shortest))
        asked[: max(self.shortest - 1 - first, 0)] = True
        if not asked.all():
            found.append(first + 1 + int((~asked).nonzero()[0, 0]))
        return min(found, default=None)

    def _prove(self, structure: Structure, state) -> dict[int, int]:
        """What can be shown of all steps from here on. Returns the horizons at which levels that
        drift will break, by exact arithmetic."""
        record, rows = channels.recorded(structure, self.done, state, self._open())
        breaks = {}
        for row in rows:
            tail = channels.Tail(structure, record, row)
            if proof := tail.proof():
                self._say(row, PROVED, period=proof.period, how=proof.how)
            elif (found := drift.judged(tail)) is not None:
                if found.horizon is None:
                    self._say(row, PROVED, how="drift")
                else:
                    breaks[row] = found.horizon
        return breaks

    def _say(
        self,
        row: int,
        verdict: str,
        horizon: int | None = None,
        period: int | None = None,
        how: str = "steps",
    ) -> None:
        form = self.walk.form
        if how == "drift":
            form = form._replace(arithmetic="exact")
        cue = self.walk.corridor.cues[row].name
        self.found[row] = Verdict(cue, verdict, horizon, self.done, period, how, form)
