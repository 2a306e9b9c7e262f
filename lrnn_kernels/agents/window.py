"""Windows: so many steps of every environment, whatever begins and ends within them, and what
follows from their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..cells.linear import linear_scan
from ..nn.members import State
from ..options import boolean
from . import finite, nested
from .environment import Environment
from .policy import Policy
from .reader import Actor


@dataclass
class Window:
    """T steps of B environments. All but ``start`` and the last two (B,T,...), dtypes of the
    policy's parameters.

    observation: what the policy saw.
    reset: bool, the observation is the first of an episode.
    begins: bool, the step only began an episode: its action and reward mean nothing.
    action, reward: int64, or real numbers, and what came of it.
    terminated: bool, the episode ended by itself: what comes after is worth nothing.
    over: bool, it ended, or was truncated.
    start: the recurrent state before the first step.
    last, last_reset: the observation after the last step (B,n), and whether an episode begins
        there, (B,).
    """

    observation: Tensor
    reset: Tensor
    begins: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    over: Tensor
    start: State | None
    last: Tensor
    last_reset: Tensor


class Walker:
    """Environments and where they are, from window to window."""

    def __init__(
        self, policy: Policy | Actor, env: Environment, generator: torch.Generator
    ) -> None:
        self.policy, self.env, self.generator = policy, env, generator
        self.like = next(policy.parameters())
        self.begin_anew()

    def begin_anew(self) -> None:
        """An episode in every environment."""
        B = self.env.batch_size
        none = torch.zeros(B, dtype=torch.bool)
        #: After the steps so far: what is seen, whether it is an episode's first, whether the next
        #: step only begins one, and the recurrent state.
        self.observation = self.env.reset()
        finite.given("observations", self.observation.to(self.like.dtype))
        self.reset, self.begin = none, none
        self.state: State | None = None
        #: Sum of rewards and steps of each episode so far, (2B,).
        self.so_far = torch.zeros(2 * B, dtype=torch.float64)

    @torch.no_grad()
    def walk(self, steps: int) -> Window:
        policy, like, start = self.policy, self.like, self.state
        found: list[tuple[Tensor, ...]] = []
        for _ in range(steps):
            seen = self.observation.to(like)
            logits, self.state = policy.step(seen, self.state, self.reset.to(like.device))
            action = policy.draw(logits.cpu(), self.generator)
            observation, reward, terminated, truncated = self.env.step(action, self.begin)
            # As the policy will read them: what is finite in float64 may not be.
            finite.given("rewards", reward.to(like.dtype))
            finite.given("observations", observation.to(like.dtype))
            over = terminated | truncated
            found.append((seen, self.reset, self.begin, action, reward, terminated, over))
            self.observation, self.reset, self.begin = observation, self.begin, over
        seen, *others = (torch.stack(x, 1) for x in zip(*found, strict=True))
        reset, begins, action, reward, terminated, over = (x.to(like.device) for x in others)
        last, last_reset = self.observation.to(like), self.reset.to(like.device)
        reward = reward.to(like.dtype)
        return Window(
            seen, reset, begins, action, reward, terminated, over, start, last, last_reset
        )

    def ended(self, window: Window) -> tuple[Tensor, Tensor]:
        """Of the episodes that ended in the window: the sums of their rewards, and their steps,
        float64 (N,). Called once for each window, in order."""
        valid = (~window.begins).T.double()  # (T,B)
        given = torch.cat([window.reward.T.double() * valid, valid], 1).cpu()
        goes_on = torch.cat([(~window.reset).T] * 2, 1).double().cpu()
        sums, last = linear_scan(goes_on[None], given[None], h0=self.so_far[None])
        self.so_far = last[0]
        total, steps = sums[0].chunk(2, 1)
        over = window.over.T.cpu()
        return total[over], steps[over]

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on, the environment's state too."""
        return {
            "env": self.env.get_state(),
            **nested.copied({name: getattr(self, name) for name in _KEPT}),
            "generator": self.generator.get_state(),
        }

    def go_on(self, state: dict[str, Any] | None, env: bool) -> None:
        """From a state, or with env=False from the beginnings of episodes in this environment."""
        if boolean("env", env):
            self.load_state_dict(state)
        else:
            self.begin_anew()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        nested.check_walk(state, "begin", self.env.batch_size)
        nested.keys("walker", state, {"env", "generator", *_KEPT})
        self.env.set_state(state["env"])
        self.generator.set_state(state["generator"])
        for name, value in nested.copied({name: state[name] for name in _KEPT}).items():
            setattr(self, name, value)


_KEPT = ("observation", "reset", "begin", "state", "so_far")


def advantages(window: Window, values: Tensor, after: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalized advantage estimates, (B,T): A[t] = d[t] + gamma lam A[t+1] up to the episode's
    last step, d[t] = r[t] + gamma V[t+1] - V[t].

    values: (B,T), of the window's observations; after: (B,), of the one after it. V[t+1] is 0 where
    the episode terminated. Where it was truncated, it is the value of its last observation, which
    is seen at the step that begins the next one. Those steps' own numbers mean nothing.

    source  Schulman, Moritz, Levine, Jordan and Abbeel, "High-dimensional continuous control using
            generalized advantage estimation", 2016
    """
    following = torch.cat([values[:, 1:], after[:, None]], 1)
    goes_on = (~window.terminated).to(values.dtype)
    delta = window.reward + gamma * following * goes_on - values
    decay = gamma * lam * (~window.over).to(values.dtype)
    # (1,T,B): the scan's channels are the environments.
    found, _ = linear_scan(decay.T[None], delta.T[None], reverse=True)
    return found[0].T


def standardized(gain: Tensor, valid: Tensor) -> Tensor:
    """Advantages with mean 0 and deviation 1 over the steps that count, valid 1 or 0 (B,T)."""
    count = valid.sum().clamp(min=1)
    mean = (gain * valid).sum() / count
    spread = ((gain - mean).square() * valid).sum().div(count).sqrt()
    return (gain - mean) / (spread + 1e-6)
