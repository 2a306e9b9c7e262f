"""Deep recurrent Q-learning, as the warm-up's paper has it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..calls import sigint
from ..options import boolean, integer, number
from . import environment, finite, nested
from .environment import Environment
from .policy import Policy
from .replay import Episode, Histories, Replay


@dataclass(frozen=True)
class DRQNSettings:
    """How ``DRQN`` trains; the defaults are the lab's, but for ``probabilities``.

    Args:
        episodes: to walk in all.
        updates: steps of the optimizer for each episode that ends, once there are ``batch`` of
            them.
        batch: episodes that an update learns from.
        capacity: steps of the episodes that are kept.
        target: episodes after which the target network is copied anew.
        exploration: how often an action is drawn from ``probabilities``, one for each action; None
            for all alike. The lab's, in a T-maze, are (1/2, 1/6, 1/6, 1/6): right, up, left, down.
        lr: of Adam.
        gamma: discount.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    episodes: int = 2000
    updates: int = 10
    batch: int = 32
    capacity: int = 8192
    target: int = 20
    exploration: float = 0.2
    probabilities: tuple[float, ...] | None = None
    lr: float = 1e-3
    gamma: float = 0.98

    def __post_init__(self) -> None:
        for name in ("episodes", "updates", "batch", "capacity", "target"):
            object.__setattr__(self, name, integer(name, getattr(self, name)))
        for name in ("exploration", "gamma"):
            object.__setattr__(self, name, number(name, getattr(self, name), 0.0, 1.0))
        object.__setattr__(self, "lr", number("lr", self.lr, 0.0, 1.0, open_low=True))
        if self.probabilities is not None:
            given = tuple(number("probabilities", float(p), 0.0, 1.0) for p in self.probabilities)
            if abs(sum(given) - 1) > 1e-6:
                raise ValueError(f"probabilities must have sum 1, got {given}")
            object.__setattr__(self, "probabilities", given)


@dataclass(frozen=True)
class DRQNProgress:
    """After the step at which some episodes ended.

    episode: episodes in all; episodes: how many there will be.
    steps: that were walked in all.
    reward, length: means over the episodes that ended here.
    loss: of the last update, NaN before the first.
    """

    episode: int
    episodes: int
    steps: int
    reward: float
    length: float
    loss: float


class DRQN:
    """Trains a policy whose logits are the values of actions:
    ``DRQN(policy, env, DRQNSettings(), seed=0).train()``.

    The agent takes the best action, or now and then another. Whole episodes are kept, and an update
    runs 32 of them from their beginnings: the mean over their steps of (Q[t] - y[t])^2, y[t] = r[t]
    + gamma max_a Q'[t+1], where Q' is the target network on the same history; y[t] = r[t] at the
    step that ends an episode by itself. A truncated one is worth Q' of its last observation.

    The lab's agent reads the action before and its reward, too: ``PreviousActionReward(TMaze())``;
    its network is Policy(nn.GRU(9, 32, 2, batch_first=True), 4, critic=False). Environments of a
    batch walk at once, and the proportions are kept: for every episode that ends there are
    ``updates``, so that with batch_size 1 it is the lab's loop. The state of an episode under way
    is the one that earlier weights have made of its beginning.

    Args:
        policy: without a critic; changed in place.
        env: as of ``PPO``.
        settings: see there.
        seed: of actions and of what is replayed.

    Attributes: ``replay``, the episodes; ``target``, the target network.

    Ctrl-C, ``state_dict``, and what is raised: as of ``PPO``. Source: Hausknecht and Stone, "Deep
    recurrent Q-learning for partially observable MDPs", 2015; settings as in Lambrechts, De Geeter,
    Vecoven, Ernst and Drion, "Warming up recurrent neural networks to maximise reachable
    multistability greatly improves learning", Neural Networks, 2023.
    """

    def __init__(
        self,
        policy: Policy,
        env: Environment,
        settings: DRQNSettings | None = None,
        *,
        seed: int = 0,
    ) -> None:
        settings = DRQNSettings() if settings is None else settings
        if not isinstance(policy, Policy):
            raise TypeError(f"policy must be an agents.Policy, got {type(policy).__name__}")
        if policy.critic is not None:
            raise ValueError("policy must have critic=False, got one with a critic")
        if not isinstance(settings, DRQNSettings):
            raise TypeError(f"settings must be DRQNSettings, got {type(settings).__name__}")
        if not hasattr(policy, "actions"):
            raise ValueError("policy must have actions to choose from, got one with action_size")
        environment.check(env, policy)
        given = settings.probabilities
        if given is not None and len(given) != policy.actions:
            raise ValueError(
                f"probabilities must be {policy.actions}, one for each action, got {len(given)}"
            )
        self.policy, self.env, self.settings = policy, env, settings
        self.generator = torch.Generator().manual_seed(integer("seed", seed, 0))
        self.target = copy.deepcopy(policy).requires_grad_(False)
        self.optimizer = torch.optim.Adam(policy.parameters(), settings.lr, fused=True)
        self.replay = Replay(settings.capacity)
        self.episode = self.steps = 0
        self.loss = float("nan")
        self._chances = torch.tensor(given or [1 / policy.actions] * policy.actions)
        self._like = next(policy.parameters())
        self._begin_walk()

    def _begin_walk(self) -> None:
        none = torch.zeros(self.env.batch_size, dtype=torch.bool)
        self._observation = self.env.reset().to(self._like)
        finite.given("observations", self._observation)
        self._reset, self._begin = none, none
        self._state = None
        #: Steps of the episodes under way: observation, action, reward; and how many of these steps
        #: are each environment's, (B,).
        self._walked: list[tuple[Tensor, Tensor, Tensor]] = []
        self._own = torch.zeros(self.env.batch_size, dtype=torch.int64)

    def collect(self, episodes: int, exploration: float = 1.0) -> None:
        """Fills ``replay`` with so many episodes at least, without an update: for a warm-up before
        training, whose histories they are. They are not counted."""
        left = integer("episodes", episodes)
        exploration = number("exploration", exploration, 0.0, 1.0)
        while left > 0:
            with sigint.whole():
                left -= len(self._walk(exploration))

    def train(
        self,
        callback: Callable[[DRQNProgress], object] | None = None,
        *,
        episodes: int | None = None,
    ) -> DRQN:
        """Episodes up to the settings' number, or so many more; ``callback`` gets a
        ``DRQNProgress`` wherever some end. Returns itself."""
        end = nested.end_of_run(self.episode, self.settings.episodes, "episodes", episodes)
        while self.episode < end:
            with sigint.whole():
                ended = self._walk(self.settings.exploration)
                for _ in ended:
                    self._learn()
            if ended and callback is not None:
                rewards = [episode.reward.sum().item() for episode in ended]
                lengths = [len(episode.action) for episode in ended]
                means = (sum(x) / len(ended) for x in (rewards, lengths))
                callback(
                    DRQNProgress(
                        self.episode, self.settings.episodes, self.steps, *means, self.loss
                    )
                )
        return self

    @torch.no_grad()
    def _walk(self, exploration: float) -> list[Episode]:
        """One step of every environment; the episodes that it ended, which are kept."""
        seen, begin = self._observation, self._begin
        values, self._state = self.policy.step(seen, self._state, self._reset.to(self._like.device))
        action = self._chosen(values.cpu(), exploration)
        observation, reward, terminated, truncated = self.env.step(action, begin)
        observation, reward = observation.to(self._like), reward.to(self._like)
        finite.given("rewards", reward)
        finite.given("observations", observation)
        self._observation = observation
        self._walked.append((seen, action, reward))
        self._own = torch.where(begin, 0, self._own + 1)
        self._reset, self._begin = begin, terminated | truncated
        self.steps += int((~begin).sum())
        ended = [
            self._cut(b, bool(terminated[b])) for b in self._begin.nonzero().flatten().tolist()
        ]
        for episode in ended:
            self.replay.add(episode)
        longest = int(self._own.masked_fill(self._begin, 0).max())
        del self._walked[: len(self._walked) - longest]
        return ended

    def _chosen(self, values: Tensor, exploration: float) -> Tensor:
        """Actions (B,): the best, or with probability ``exploration`` another."""
        best = values.argmax(-1)
        explores = torch.rand(len(best), generator=self.generator) < exploration
        others = torch.multinomial(
            self._chances, len(best), replacement=True, generator=self.generator
        )
        return torch.where(explores, others, best)

    def _cut(self, b: int, terminated: bool) -> Episode:
        own = self._walked[len(self._walked) - int(self._own[b]) :]
        seen, action, reward = (
            torch.stack([x[b] for x in part]) for part in zip(*own, strict=True)
        )
        last = self._observation[b : b + 1]
        return Episode(torch.cat([seen, last]), action, reward, terminated)

    def _learn(self) -> None:
        """What an episode that ended is worth: updates, and a new target now and then."""
        self.episode += 1
        if len(self.replay) >= self.settings.batch:
            for _ in range(self.settings.updates):
                loss = self.loss_of(self.replay.draw(self.settings.batch, self.generator))
                self.optimizer.zero_grad()
                loss.backward()
                finite.gradient(self.policy.parameters(), f"after episode {self.episode}")
                self.optimizer.step()
            self.loss = loss.item()
        if self.episode % self.settings.target == 0:
            self.target.load_state_dict(self.policy.state_dict())

    def loss_of(self, batch: Histories) -> Tensor:
        """The mean over all steps of a batch of (Q[t] - y[t])^2; differentiable in the policy's
        parameters."""
        action, device = batch.action.to(self._like.device), self._like.device
        valid = batch.valid.to(device)
        values, _ = self.policy(batch.observation)
        chosen = values[:, :-1].gather(-1, action[..., None])[..., 0]
        error = (chosen - self.targets(batch)).square()
        return torch.where(valid, error, 0.0).sum() / valid.sum()

    @torch.no_grad()
    def targets(self, batch: Histories) -> Tensor:
        """y (N,T), see above."""
        values, _ = self.target(batch.observation)
        after = values[:, 1:].amax(-1)
        goes_on = ~batch.ends.to(self._like.device)
        return batch.reward + self.settings.gamma * after * goes_on

    def state_dict(self, *, env: bool = True) -> dict[str, Any]:
        """All that the future depends on; a copy, which torch.save takes. Without the environment
        and the episodes under way with env=False."""
        return {
            "settings": asdict(self.settings),
            "policy": nested.copied(dict(self.policy.state_dict())),
            "target": nested.copied(dict(self.target.state_dict())),
            "optimizer": nested.copied(self.optimizer.state_dict()),
            "replay": nested.copied(self.replay.state_dict()),
            "generator": self.generator.get_state(),
            **{name: getattr(self, name) for name in _COUNTED},
            "walk": self._walk_state() if boolean("env", env) else None,
        }

    def _walk_state(self) -> dict[str, Any]:
        kept = nested.copied({name: getattr(self, name) for name in _WALKED})
        return {"env": self.env.get_state(), **kept}

    def load_state_dict(self, state: dict[str, Any], *, env: bool = True) -> None:
        """Goes on from where ``state_dict`` was called, by a DRQN with the same settings, of
        which ``episodes`` may differ. The environment goes back to its state then, too; with
        env=False, episodes begin in the one that is here, which may be another."""
        nested.check(state, self.state_dict(env=False), "episodes")
        if boolean("env", env):
            walk = state["walk"]
            nested.check_walk(walk, "_begin", self.env.batch_size)
            self.env.set_state(walk["env"])  # it may refuse it
            for name, value in nested.copied({name: walk[name] for name in _WALKED}).items():
                setattr(self, name, value)
        else:
            self._begin_walk()
        self.policy.load_state_dict(state["policy"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(nested.copied(state["optimizer"]))
        self.replay.load_state_dict(nested.copied(state["replay"]))
        self.generator.set_state(state["generator"])
        for name in _COUNTED:
            setattr(self, name, state[name])


_COUNTED = ("episode", "steps", "loss")
_WALKED = ("_observation", "_reset", "_begin", "_state", "_walked", "_own")
