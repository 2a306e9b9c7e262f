"""Whole episodes, kept to be learned from again."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..options import integer


class Episode(NamedTuple):
    """A walk of T steps: observations (T+1,n), the last one included, actions int64 (T,), rewards
    (T,), and whether it ended by itself."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    terminated: bool


class Histories(NamedTuple):
    """N episodes as one batch, padded with zeros to the longest: observation (N,T+1,n), action and
    reward (N,T), valid bool (N,T), ends bool (N,T): the step after which all is worth nothing."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    valid: Tensor
    ends: Tensor


class Replay:
    """The last episodes, of at most so many steps together, the oldest given up first.

    Args:
        capacity: steps; an episode that is longer is kept alone.
    """

    def __init__(self, capacity: int = 8192) -> None:
        self.capacity = integer("capacity", capacity)
        self.episodes: deque[Episode] = deque()
        self.steps = 0

    def __len__(self) -> int:
        """Episodes."""
        return len(self.episodes)

    def add(self, episode: Episode) -> None:
        self.episodes.append(episode)
        self.steps += len(episode.action)
        while self.steps > self.capacity and len(self.episodes) > 1:
            self.steps -= len(self.episodes.popleft().action)

    def draw(self, count: int, generator: torch.Generator) -> Histories:
        """Episodes drawn evenly, one perhaps several times. ValueError where there are none."""
        found = self._some(count, generator)
        lengths = torch.tensor([len(e.action) for e in found])
        steps = torch.arange(int(lengths.max()))
        terminated = torch.tensor([e.terminated for e in found])
        return Histories(
            pad_sequence([e.observation for e in found], batch_first=True),
            pad_sequence([e.action for e in found], batch_first=True),
            pad_sequence([e.reward for e in found], batch_first=True),
            steps < lengths[:, None],
            (steps == lengths[:, None] - 1) & terminated[:, None],
        )

    def sequences(self, count: int, generator: torch.Generator) -> Tensor:
        """Observations (N,T,n) of drawn episodes, cut to the shortest of them: for
        ``multistability.warm_up(policy.rnn, lambda: replay.sequences(32, generator))``."""
        found = [e.observation for e in self._some(count, generator)]
        steps = min(len(x) for x in found)
        return torch.stack([x[:steps] for x in found])

    def _some(self, count: int, generator: torch.Generator) -> list[Episode]:
        count = integer("count", count)
        if not self.episodes:
            raise ValueError("replay must hold an episode before any is drawn, got none")
        chosen = torch.randint(len(self.episodes), (count,), generator=generator)
        return [self.episodes[i] for i in chosen.tolist()]

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": [tuple(episode) for episode in self.episodes]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.episodes.clear()
        self.steps = 0
        for episode in state["episodes"]:
            self.add(Episode(*episode))
