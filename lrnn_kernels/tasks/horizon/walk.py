"""A policy in a corridor: at every step it walks on, and is asked at the junction, in one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...multistability.orbit import bits
from .corridor import Corridor
from .verdict import Form

#: In place of an action's number, where any is right.
ANY = -1

#: A policy's state: a tensor, or tuples and lists of them.
State = object


class Walk:
    """Steps of a policy, all in one form.

    A batch has 2 B rows for B cues. The first B walk: row i has seen cue i, and sees the corridor.
    Row B + i comes from the state of row i before the step, and sees the junction. So each call
    says what is done in the next cell if it is the corridor's, and what if it is the junction.
    """

    def __init__(self, policy: nn.Module, corridor: Corridor) -> None:
        if not isinstance(policy, nn.Module) or not callable(getattr(policy, "step", None)):
            raise TypeError(
                "policy must be a torch.nn.Module with step(observation, state) -> (logits, "
                f"state), got {type(policy).__name__}"
            )
        if hasattr(policy, "action_size"):
            raise ValueError(
                f"policy must choose one of several actions, got one of {policy.action_size} real "
                "numbers"
            )
        self.policy, self.corridor = policy, corridor
        self.count = len(corridor.cues)
        self.rows = 2 * self.count
        like = next(policy.parameters(), torch.empty(()))

        def moved(x: Tensor) -> Tensor:
            return x.to(like.device, like.dtype)

        self.dtype, self.moved = like.dtype, moved
        asked = moved(corridor.junction).expand(self.count, -1)
        #: The input of each step, by its phase.
        self.inputs = [torch.cat([moved(x).expand(self.count, -1), asked]) for x in corridor.inputs]
        self.period = len(self.inputs)
        answers = torch.tensor([cue.answer for cue in corridor.cues])
        self.wanted = torch.stack(
            [torch.cat([torch.full_like(answers, _number(a)), answers]) for a in corridor.actions]
        ).to(like.device)  # (P, 2B)
        highest = [*corridor.actions, *(a for cue in corridor.cues for a in cue.actions)]
        self.highest = max(*map(_number, highest), int(answers.max()))

    @property
    def form(self) -> Form:
        return Form(self.dtype, self.rows, threads=1, call="step")

    def begin(self) -> tuple[list[bool], State]:
        """Whether each cue's own actions are right, and the states after the cues, doubled."""
        right, found = [], []
        for row, cue in enumerate(self.corridor.cues):
            state, good = None, True
            for x, action in zip(self.moved(cue.inputs), cue.actions, strict=True):
                x = x.expand(self.rows, -1).contiguous()
                logits, after = self.policy.step(x, state)
                if state is None:
                    self._check(logits, after, x)
                state = after
                good = good and bool(chosen(logits[row], torch.tensor(_number(action))))
            right.append(good)
            found.append(flat(state))
        parts = []
        for tensors, at in zip(zip(*found, strict=True), self.batch, strict=True):
            walkers = [h.narrow(at, row, 1) for row, h in enumerate(tensors)]
            parts.append(torch.cat(walkers * 2, at))
        return right, rebuilt(state, parts)

    def step(self, number: int, state: State) -> tuple[Tensor, State]:
        """Step ``number``, counted from 0: the logits of all rows, and the walkers' states,
        doubled."""
        logits, after = self.policy.step(self.at(number), state)
        return logits, self.doubled(after)

    def at(self, number: int) -> Tensor:
        """What all rows see at a step."""
        return self.inputs[number % self.period]

    def doubled(self, state: State) -> State:
        parts = [
            torch.cat([h.narrow(at, 0, self.count)] * 2, at)
            for h, at in zip(flat(state), self.batch, strict=True)
        ]
        return rebuilt(state, parts)

    def right(self, number: int, logits: Tensor) -> Tensor:
        """Whether the action is right: logits (K, 2B, A) of steps from ``number`` on, (K, 2B)."""
        phases = (number + torch.arange(len(logits))) % self.period
        return chosen(logits, self.wanted[phases.to(logits.device)])

    def _check(self, logits: object, state: State, x: Tensor) -> None:
        """What a policy returns; finds which dimension of each of its states is the batch."""
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != self.rows:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"policy.step must return logits ({self.rows}, actions), got {got}")
        if logits.shape[1] <= self.highest:
            raise ValueError(
                f"policy.step must return a logit for each of {self.highest + 1} actions, got "
                f"{logits.shape[1]}"
            )
        again, same = self.policy.step(x, None)
        if not all(map(identical, (logits, *flat(state)), (again, *flat(same)))):
            raise ValueError("policy.step must return the same for the same arguments, got another")
        _, more = self.policy.step(torch.cat([x, x[:1]]), None)
        self.batch = []
        for h, longer in zip(flat(state), flat(more), strict=True):
            at = [
                d
                for d, (n, m) in enumerate(zip(h.shape, longer.shape, strict=True))
                if (n, m) == (self.rows, self.rows + 1)
            ]
            if len(at) != 1:
                raise ValueError(
                    "policy.step must return states with a dimension for the batch, got shape "
                    f"{tuple(h.shape)} for {self.rows} rows"
                )
            self.batch.append(at[0])


def _number(action: int | None) -> int:
    return ANY if action is None else action


def chosen(logits: Tensor, action: Tensor) -> Tensor:
    """Whether an action's logit is above all others; a tie, and a NaN, is no choice. True where
    any action will do."""
    action = action.to(logits.device)[..., None]
    free, action = action[..., 0] == ANY, action.clamp(min=0)
    own = logits.gather(-1, action)
    others = torch.ones_like(logits, dtype=torch.bool).scatter(-1, action, False)
    return free | ((own > logits) | ~others).all(-1) & (own == own)[..., 0]


def identical(a: Tensor, b: Tensor) -> bool:
    return torch.equal(bits(a), bits(b))


def flat(state: State) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, tuple | list):
        return [h for part in state for h in flat(part)]
    raise TypeError(
        "policy.step must return a state of tensors, and tuples of them, got "
        f"{type(state).__name__}"
    )


def rebuilt(like: State, parts: list[Tensor]) -> State:
    """The inverse of ``flat``, in the form of another state."""
    left: Iterator[Tensor] = iter(parts)

    def build(part: State) -> State:
        if isinstance(part, Tensor):
            return next(left)
        found = [build(x) for x in part]
        return type(part)(*found) if hasattr(part, "_fields") else type(part)(found)

    return build(like)


@contextmanager
def one_form(policy: nn.Module):
    """One thread, no gradients, and no dropout; afterwards all is as it was."""
    threads, modes = torch.get_num_threads(), [(m, m.training) for m in policy.modules()]
    torch.set_num_threads(1)
    policy.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        for module, mode in modes:
            module.training = mode
