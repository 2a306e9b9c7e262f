"""A wrapper that makes observations flat and actions one number, as POPGym's environments need."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Flat(gymnasium.Wrapper):
    """Observations in a Box (n,), float32, and actions in a Discrete from 0 on.

    Of observations, Discrete and MultiDiscrete become one-hot, side by side; Box, MultiBinary, and
    Tuple and Dict of all these are joined, as gymnasium.spaces.flatten does. Of actions, those of
    a MultiDiscrete are numbered, the last one fastest, and a Discrete begins at 0.

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
        if isinstance(acts, spaces.Discrete):
            self._shape, self._first = None, acts.start
            count = acts.n
        elif isinstance(acts, spaces.MultiDiscrete):
            self._shape, self._first = acts.nvec.shape, acts.start.ravel()
            self._sizes = tuple(acts.nvec.ravel().tolist())
            count = int(np.prod(self._sizes))
        else:
            raise TypeError(f"env must have actions in a Discrete or MultiDiscrete, got {acts}")
        self.action_space = spaces.Discrete(int(count))

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        return self._flat(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(
                f"action must be an integer of 0 ... {self.action_space.n - 1}, got {action!r}"
            )
        inner = int(action) + self._first
        if self._shape is not None:
            parts = np.array(np.unravel_index(int(action), self._sizes))
            inner = (parts + self._first).reshape(self._shape)
        observation, reward, *rest = self.env.step(inner)
        return self._flat(observation), float(reward), *rest

    def _flat(self, observation: Any) -> np.ndarray:
        return spaces.flatten(self.env.observation_space, observation).astype(np.float32)
