"""What these tasks have in common: steps of real numbers, and episodes of one length."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...options import integer
from .. import hashed
from ..episodes import Episodes


class Step(NamedTuple):
    """What B environments answer to an action."""

    observation: Tensor  # (B,observation_size), float32
    reward: Tensor  # (B,), float32
    terminated: Tensor  # (B,), bool: never
    truncated: Tensor  # (B,), bool: the episode's steps are over


class Steered(Episodes):
    """B environments: ``observation = env.reset()``, then
    ``observation, reward, terminated, truncated = env.step(action)``.

    Environment i draws from ``seed + i`` and from nothing else, so that its episodes are the same
    in any batch.

    Args:
        batch_size: B.
        seed: an integer; a random one if None.
        steps: of an episode; the paper's by default.

    The step that ends an episode is the last before ``reset(mask)``; ``step`` raises RuntimeError
    while one is over. Raises TypeError or ValueError, naming the argument, for actions that are not
    float32 or float64 (B,action_size), or not finite.
    """

    observation_size: int
    action_size: int
    #: What observations do not exceed in magnitude, and beyond which an action is another's.
    observation_limit: float
    action_limit: float
    #: Of an episode, in the paper.
    STEPS: int
    STATE = (*Episodes.STATE, "hits", "hidden")

    def __init__(
        self, batch_size: int = 1, *, seed: int | None = None, steps: int | None = None
    ) -> None:
        super().__init__(batch_size)
        self.steps = self.STEPS if steps is None else integer("steps", steps)
        #: How often the target was reached in this episode.
        self.hits = torch.zeros(batch_size, dtype=torch.int64)
        self.reseed(seed)

    def step(self, action: Tensor, begin: Tensor | None = None) -> Step:
        """One step of every environment. Where begin (B,) bool is True, an episode begins instead,
        whatever the action, with reward 0."""
        self._check(action)
        anew = self._begun(begin)
        reward, hit = self._act(action.double())
        self.elapsed += 1
        self.hits += hit
        again = hit.nonzero()[:, 0]
        if len(again):
            self._place(again)
        terminated = torch.zeros_like(self.done)
        truncated = self.elapsed >= self.steps
        self.done.copy_(truncated)
        if anew is not None and len(anew):
            self._begin(anew)
            reward[anew], truncated[anew] = 0, False
        self._any_done = bool(self.done.any())
        return Step(self._observe(), reward.float(), terminated, truncated)

    def _check(self, action: object) -> None:
        expected = f"action must be float32 or float64 ({self.batch_size}, {self.action_size})"
        if not isinstance(action, Tensor):
            raise TypeError(f"{expected}, got {type(action).__name__}")
        right = action.shape == (self.batch_size, self.action_size)
        if not right or action.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{expected}, got {action.dtype} {tuple(action.shape)}")
        if not action.isfinite().all():
            raise ValueError("action must be finite, got NaN or an infinity")

    def _begin(self, which: Tensor) -> None:
        self.episode[which] += 1
        self.elapsed[which], self.hits[which], self.done[which] = 0, 0, False
        self._hide(which)
        self._place(which)

    def _unit(self, which: Tensor, what: int, count: int, number: Tensor | int = 0) -> Tensor:
        """(n, count) uniform numbers in [0, 1) of these environments' episodes: of a purpose, and
        of which time."""
        keys = (x[which, None] for x in (self.seed, self.episode))
        number = number[:, None] if isinstance(number, Tensor) else number
        return hashed.unit(hashed.bits(*keys, what, number, torch.arange(count)))

    def _hide(self, which: Tensor) -> None:
        """Draws what an episode is about."""
        raise NotImplementedError

    def _place(self, which: Tensor) -> None:
        """What begins anew after each hit, and in the beginning."""
        raise NotImplementedError

    def _act(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """(reward, whether the target was reached) of actions, float64."""
        raise NotImplementedError

    def best(self) -> Tensor:
        """(B,action_size) float64: an action that someone takes who knows what is hidden."""
        raise NotImplementedError
