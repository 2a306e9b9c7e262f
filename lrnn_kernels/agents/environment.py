"""What agents walk in: many environments at once, as tensors."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..options import integer

_NEEDED = ("batch_size", "observation_size", "actions", "reset", "step")


class Environment(Protocol):
    """B environments that step at once, such as ``tasks.t_maze.TMaze`` and, for any of
    Gymnasium's, ``tasks.gym.Tensors``.

    batch_size, observation_size, actions: B, channels of an observation, number of actions.
    """

    batch_size: int
    observation_size: int
    actions: int

    def reset(self) -> Tensor:
        """Begins an episode in each; observations (B,observation_size), floating point."""

    def step(self, action: Tensor, begin: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """action int64 (B,). Where begin, bool (B,), is True, the episode before is over and the
        next one begins, whatever the action, with reward 0. Returns (observation, reward,
        terminated, truncated); of an episode that is over, the observation is its last."""

    def get_state(self) -> Any:
        """All that the future depends on; a copy, which torch.save takes. For ``state_dict``."""

    def set_state(self, state: Any) -> Tensor:
        """Goes back to it; returns the observations."""


def check(env: object, policy) -> None:
    """Raises TypeError or ValueError where env is no environment, or not one for this policy."""
    missing = [name for name in _NEEDED if not hasattr(env, name)]
    if missing:
        raise TypeError(
            "env must be an environment of tensors, as tasks.t_maze.TMaze or tasks.gym.Tensors, "
            f"got {type(env).__name__} without {', '.join(missing)}"
        )
    for name in ("observation_size", "actions"):
        mine, theirs = getattr(policy, name), getattr(env, name)
        if mine != theirs:
            raise ValueError(f"policy must have {name} = {theirs}, as env, got {mine}")


class PreviousActionReward:
    """An environment whose observations are [one-hot of the action before, its reward,
    observation], zeros for both at the start of an episode: the lab's agents read 9 channels of a
    T-maze.

    Args:
        env: an ``Environment``.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.batch_size, self.actions = env.batch_size, env.actions
        self.observation_size = env.actions + 1 + env.observation_size
        self._before = torch.zeros(self.batch_size, self.actions + 1)

    def reset(self) -> Tensor:
        observation = self.env.reset()
        self._before = torch.zeros(self.batch_size, self.actions + 1)
        return self._joined(observation)

    def step(
        self, action: Tensor, begin: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        observation, reward, terminated, truncated = self.env.step(action, begin)
        before = torch.cat([F.one_hot(action, self.actions), reward[:, None]], 1)
        self._before = before if begin is None else before.masked_fill_(begin[:, None], 0.0)
        return self._joined(observation), reward, terminated, truncated

    def get_state(self) -> dict[str, Any]:
        return {"env": self.env.get_state(), "before": self._before.clone()}

    def set_state(self, state: dict[str, Any]) -> Tensor:
        observation = self.env.set_state(state["env"])
        self._before = state["before"].clone()
        return self._joined(observation)

    def _joined(self, observation: Tensor) -> Tensor:
        return torch.cat([self._before.to(observation.dtype), observation], 1)


@torch.no_grad()
def play(policy, env: Environment, *, most: int = 100_000) -> tuple[Tensor, Tensor]:
    """One episode of each environment by the greedy policy: the sums of their rewards and their
    steps, float32 and int64 (B,). Begins with ``env.reset()``; RuntimeError after ``most`` steps.
    """
    check(env, policy)
    integer("most", most)
    like = next(policy.parameters())
    observation, state = env.reset(), None
    total, steps = torch.zeros(env.batch_size), torch.zeros(env.batch_size, dtype=torch.int64)
    over = torch.zeros(env.batch_size, dtype=torch.bool)  # its first episode
    begin = over.clone()
    for _ in range(most):
        logits, state = policy.step(observation.to(like), state)
        observation, reward, terminated, truncated = env.step(logits.argmax(-1).cpu(), begin)
        total += torch.where(over, 0.0, reward)
        steps += ~over
        begin = terminated | truncated
        over |= begin
        if bool(over.all()):
            return total, steps
    raise RuntimeError(f"{int((~over).sum())} episodes are not over after {most} steps")
