"""A wrapper that makes observations flat and actions one number, as POPGym's environments need, or
a row of real ones."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Flat(gymnasium.Wrapper):
    """Observations in a Box (n,), float32, and actions in a Discrete from 0 on or in a Box (n,).

    Of observations, Discrete and MultiDiscrete become one-hot, side by side; Box, MultiBinary, and
    Tuple and Dict of all these are joined, as gymnasium.spaces.flatten does. Of actions, those of
    a MultiDiscrete are numbered, the last one fastest, a Discrete begins at 0, and those of a Box
    lie side by side.

    Args:
        env: gymnasium.Env. TypeError where its observations cannot be of a fixed size (Text,
            Sequence, Graph) or its actions are none of these.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        seen, acts = env.observation_space, env.action_space
        if not seen.is_np_flattenable:
            raise TypeError(f"env must have observations of a fixed size, got {seen}")
        flat = spaces.flatten_space(seen)
        self.observation_space = spaces.Box(
            flat.low.astype(np.float32), flat.high.astype(np.float32)
        )
        self.action_space, self._inner = _actions(acts)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        return self._flat(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"action must be in {self.action_space}, got {action!r}")
        observation, reward, *rest = self.env.step(self._inner(action))
        return self._flat(observation), float(reward), *rest

    def _flat(self, observation: Any) -> np.ndarray:
        return spaces.flatten(self.env.observation_space, observation).astype(np.float32)


def _actions(acts: spaces.Space) -> tuple[spaces.Space, Callable[[Any], Any]]:
    """Flat actions, and how one of them becomes the environment's: by what can be pickled, as
    environments are where their state is kept."""
    if isinstance(acts, spaces.Box):
        row = spaces.Box(acts.low.ravel(), acts.high.ravel(), dtype=acts.dtype)
        return row, partial(_row, acts.shape)
    if isinstance(acts, spaces.Discrete):
        return spaces.Discrete(int(acts.n)), partial(operator.add, acts.start)
    if isinstance(acts, spaces.MultiDiscrete):
        sizes = tuple(acts.nvec.ravel().tolist())
        return spaces.Discrete(int(np.prod(sizes))), partial(_parts, sizes, acts.start)
    raise TypeError(f"env must have actions in a Discrete, MultiDiscrete or Box, got {acts}")


def _row(shape: tuple[int, ...], action: Any) -> np.ndarray:
    return np.reshape(action, shape)


def _parts(sizes: tuple[int, ...], start: np.ndarray, action: Any) -> np.ndarray:
    return np.array(np.unravel_index(int(action), sizes)).reshape(start.shape) + start
