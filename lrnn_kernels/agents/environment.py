"""What agents walk in: many environments at once, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..options import integer, number

if TYPE_CHECKING:
    from .policy import Policy
    from .reader import Actor

_NEEDED = ("batch_size", "observation_size", "reset", "step")
#: An environment's actions, and which ones have such.
_KNOWN = {
    "actions": "tasks.t_maze.TMaze or tasks.gym.Tensors",
    "action_size": "tasks.adaptation.MovingTarget or tasks.gym.Tensors",
}


class Environment(Protocol):
    """B environments that step at once, such as ``tasks.t_maze.TMaze`` and, for any of
    Gymnasium's, ``tasks.gym.Tensors``.

    batch_size, observation_size: B, channels of an observation. Besides it has one of two:
    actions: the number of those to choose from.
    action_size: A, the real numbers of an action.
    """

    batch_size: int
    observation_size: int

    def reset(self) -> Tensor:
        """Begins an episode in each; observations (B,observation_size), floating point."""

    def step(self, action: Tensor, begin: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """action int64 (B,), or floating point (B,A). Where begin, bool (B,), is True, the episode
        before is over and the next one begins, whatever the action, with reward 0. Returns
        (observation, reward, terminated, truncated); of an episode that is over, the observation is
        its last."""

    def get_state(self) -> Any:
        """All that the future depends on; a copy, which torch.save takes. For ``state_dict``."""

    def set_state(self, state: Any) -> Tensor:
        """Goes back to it; returns the observations."""


def check_tensors(env: object, actions: str, known: str | None = None) -> None:
    """Raises TypeError where env is no environment of tensors that has ``actions``; ``known`` is
    one that does."""
    missing = [name for name in (*_NEEDED, actions) if not hasattr(env, name)]
    if missing:
        raise TypeError(
            f"env must be an environment of tensors, as {known or _KNOWN[actions]}, got "
            f"{type(env).__name__} without {', '.join(missing)}"
        )


def check(env: Any, policy: Any) -> None:
    """Raises TypeError or ValueError where env is no environment, or not one for this policy."""
    mine, other = _KNOWN if hasattr(policy, "actions") else reversed(_KNOWN)
    if not hasattr(env, mine) and hasattr(env, other):
        raise ValueError(
            f"policy must have {other} = {getattr(env, other)}, as env, got one with {mine} = "
            f"{getattr(policy, mine)}"
        )
    # An Actor reads what a PreviousStep shows.
    check_tensors(env, mine, None if isinstance(policy, nn.Module) else "agents.PreviousStep")
    for name in ("observation_size", mine):
        if getattr(policy, name) != getattr(env, name):
            raise ValueError(
                f"policy must have {name} = {getattr(env, name)}, as env, got "
                f"{getattr(policy, name)}"
            )


class _Remembering:
    """An environment whose observations are [what was before, observation], zeros at first."""

    def __init__(self, env: Any, size: int) -> None:
        self.env, self.batch_size = env, env.batch_size
        self.observation_size = size + env.observation_size
        self._before = torch.zeros(self.batch_size, size)

    def _told(self, action: Tensor, reward: Tensor) -> Tensor:
        """(B,size), of a step."""
        raise NotImplementedError

    def reset(self) -> Tensor:
        observation = self.env.reset()
        self._before = torch.zeros_like(self._before)
        return self._joined(observation)

    def step(
        self, action: Tensor, begin: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        observation, reward, terminated, truncated = self.env.step(action, begin)
        before = self._told(action, reward)
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


class PreviousActionReward(_Remembering):
    """An environment whose observations are [one-hot of the action before, its reward,
    observation], zeros for both at the start of an episode: the lab's agents read 9 channels of a
    T-maze.

    Args:
        env: an ``Environment`` of actions to choose from.
    """

    def __init__(self, env: Any) -> None:
        check_tensors(env, "actions")
        super().__init__(env, env.actions + 1)
        self.actions = env.actions

    def _told(self, action: Tensor, reward: Tensor) -> Tensor:
        return torch.cat([F.one_hot(action, self.actions), reward[:, None]], 1)


class PreviousStep(_Remembering):
    """An environment of real actions, such as ``tasks.adaptation``'s, whose observations are
    [action before, its reward, observation before, observation], (B,A+1+2n): zeros for the first
    three at the start of an episode.

    Args:
        env: with batch_size, observation_size n, action_size A, and calls as an ``Environment``,
            its actions real numbers (B,A).
        reward, observation (keyword): what these are multiplied with where they are read; rewards
            that are returned are the environment's.
    """

    def __init__(self, env: Any, *, reward: float = 1.0, observation: float = 1.0) -> None:
        check_tensors(env, "action_size")
        super().__init__(env, env.action_size + 1 + env.observation_size)
        self.action_size = env.action_size
        self._scales = (
            number("reward", reward, 0.0, 1e6),
            number("observation", observation, 0.0, 1e6, open_low=True),
        )

    def _told(self, action: Tensor, reward: Tensor) -> Tensor:
        return torch.cat([action, self._scales[0] * reward[:, None], self._seen], 1)

    def _joined(self, observation: Tensor) -> Tensor:
        self._seen = self._scales[1] * observation
        return super()._joined(self._seen)


@torch.no_grad()
def play(
    policy: Policy | Actor, env: Environment, *, most: int = 100_000, seed: int | None = None
) -> tuple[Tensor, Tensor]:
    """One episode of each environment: the sums of their rewards and their steps, float32 and int64
    (B,). The policy is greedy, or with a seed draws its actions as in training; greedy real ones
    are the means. The environment of an ``ActorCritic``'s actor is a ``PreviousStep``. Begins with
    ``env.reset()``; RuntimeError after ``most`` steps.
    """
    if not hasattr(policy, "greedy"):
        raise TypeError(f"policy must be an agents.Policy or Actor, got {type(policy).__name__}")
    check(env, policy)
    most = integer("most", most)
    generator = None
    if seed is not None:
        generator = torch.Generator().manual_seed(integer("seed", seed, 0))
    like = next(policy.parameters())
    observation, state = env.reset(), None
    total, steps = torch.zeros(env.batch_size), torch.zeros(env.batch_size, dtype=torch.int64)
    over = torch.zeros(env.batch_size, dtype=torch.bool)  # its first episode
    begin = over.clone()
    for _ in range(most):
        out, state = policy.step(observation.to(like), state)
        out = out.cpu()
        action = policy.greedy(out) if generator is None else policy.draw(out, generator)
        observation, reward, terminated, truncated = env.step(action, begin)
        total += torch.where(over, 0.0, reward)
        steps += ~over
        begin = terminated | truncated
        over |= begin
        if bool(over.all()):
            return total, steps
    raise RuntimeError(f"{int((~over).sum())} episodes are not over after {most} steps")
