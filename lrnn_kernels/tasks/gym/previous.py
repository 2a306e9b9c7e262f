"""Wrappers that show an agent what it did and got: [one-hot action, reward, observation]."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space


def _space(observation: gymnasium.Space, action: gymnasium.Space) -> Box:
    if not isinstance(observation, Box) or len(observation.shape) != 1:
        raise TypeError(f"env must have observations in a Box of one axis, got {observation}")
    if not isinstance(action, Discrete) or action.start != 0:
        raise TypeError(f"env must have actions in a Discrete that begins at 0, got {action}")
    n = int(action.n)
    low = np.concatenate([np.zeros(n), [-np.inf], observation.low])
    high = np.concatenate([np.ones(n), [np.inf], observation.high])
    return Box(low.astype(np.float32), high.astype(np.float32))


class PreviousActionReward(gymnasium.Wrapper):
    """Observations [one-hot of the action before, its reward, observation], float32; zeros for both
    at the start of an episode. For an environment with Discrete actions, observations (n,)."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = _space(env.observation_space, env.action_space)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        return self._joined(observation, None, 0.0), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = self.env.step(action)
        return self._joined(observation, action, float(reward)), reward, *rest

    def _joined(self, observation: np.ndarray, action: Any, reward: float) -> np.ndarray:
        before = np.zeros(int(self.env.action_space.n) + 1, np.float32)
        before[-1] = reward
        if action is not None:
            before[int(action)] = 1.0
        return np.concatenate([before, observation]).astype(np.float32)


class VectorPreviousActionReward(VectorWrapper):
    """The same for a vector environment. Where the next episode begins by itself
    (AutoresetMode.NEXT_STEP), its first observation has zeros too."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self.single_observation_space = _space(
            env.single_observation_space, env.single_action_space
        )
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._before = np.zeros((env.num_envs, int(env.single_action_space.n) + 1), np.float32)
        self._begins = np.zeros(env.num_envs, bool)
        mode = env.metadata.get("autoreset_mode")
        self._next_step = mode == gymnasium.vector.AutoresetMode.NEXT_STEP

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """All begin, or those of ``options["reset_mask"]``: the others keep what they had seen of
        their action and reward."""
        mask = (kwargs.get("options") or {}).get("reset_mask")
        observation, info = self.env.reset(**kwargs)
        if mask is None:
            self._before[:] = 0.0
            self._begins[:] = False
        else:
            self._before[mask] = 0.0
            self._begins[mask] = False
        return self._joined(observation), info

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        observation, reward, terminated, truncated, info = self.env.step(actions)
        self._before[:] = 0.0
        self._before[np.arange(self.num_envs), np.asarray(actions)] = 1.0
        self._before[:, -1] = reward
        if self._next_step:
            self._before[self._begins] = 0.0
            self._begins = terminated | truncated
        return self._joined(observation), reward, terminated, truncated, info

    def _joined(self, observation: np.ndarray) -> np.ndarray:
        return np.concatenate([self._before, observation], 1).astype(np.float32)
