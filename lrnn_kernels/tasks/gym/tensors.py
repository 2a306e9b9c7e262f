"""Any of Gymnasium's vector environments as a batch of tensors, as agents walk in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor

from ...options import integer
from .flat import Flat


class Tensors:
    """A vector environment with the interface of ``t_maze.TMaze``, for ``lrnn_kernels.agents``.

    Args:
        envs: gymnasium.vector.VectorEnv, with observations in a Box (n,), or Discrete, which become
            one-hot; actions in a Discrete from 0 on, ``actions`` of them, or in a Box (A,), A the
            ``action_size``; autoreset mode NEXT_STEP.
        seed: of its first ``reset``; a random one if None.

    Real actions are given from -1 to 1, which is from the lowest to the highest of the Box, and cut
    where they are beyond; those without such limits as they are; all rounded where the Box is of
    integers.

    ``get_state`` is the environment's own, where it has one; else SyncVectorEnv's environments are
    pickled, so that a saved state must come from whom one trusts. TypeError for others.
    Raises TypeError or ValueError, naming the argument.
    """

    def __init__(self, envs: VectorEnv, *, seed: int | None = None) -> None:
        if not isinstance(envs, VectorEnv):
            raise TypeError(f"envs must be a VectorEnv, got {type(envs).__name__}")
        mode = envs.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise ValueError(
                f"envs must have autoreset_mode NEXT_STEP, got {mode}: gymnasium.make_vec(..., "
                "vector_kwargs={'autoreset_mode': AutoresetMode.NEXT_STEP})"
            )
        seen, acts = envs.single_observation_space, envs.single_action_space
        self._range: tuple[np.ndarray, ...] | None = None
        if isinstance(acts, Discrete) and acts.start == 0:
            self.actions = int(acts.n)
        elif isinstance(acts, Box) and len(acts.shape) == 1:
            self.action_size, self._range = acts.shape[0], _range(acts)
        else:
            raise TypeError(
                f"envs must have actions in a Discrete from 0 on or in a Box (n,), got {acts}; "
                "Flat makes others so"
            )
        self._eye = None
        if isinstance(seen, Discrete):
            self._first, self._eye = int(seen.start), torch.eye(int(seen.n))
            self.observation_size = int(seen.n)
        elif isinstance(seen, Box) and len(seen.shape) == 1:
            self.observation_size = seen.shape[0]
        else:
            raise TypeError(
                f"envs must have observations in a Box (n,) or Discrete, got {seen}; Flat makes "
                "others flat"
            )
        self.envs, self._seed = envs, seed if seed is None else integer("seed", seed, 0)
        self.batch_size = envs.num_envs
        self.done = torch.ones(self.batch_size, dtype=torch.bool)
        self._seen: np.ndarray | None = None

    def reset(self) -> Tensor:
        """Begins an episode in each; observations (B,n), float32."""
        self._seen, _ = self.envs.reset(seed=self._seed)
        self._seed = None
        self.done.fill_(False)
        return self._observed()

    def step(
        self, action: Tensor, begin: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(observation, reward, terminated, truncated). begin, bool (B,), must be where episodes
        are over: the environment begins the next ones there by itself."""
        if self._seen is None:
            raise RuntimeError("step needs reset before it")
        begin = torch.zeros_like(self.done) if begin is None else begin
        if not torch.equal(begin, self.done):
            differ = (begin != self.done).nonzero().flatten().tolist()[:8]
            raise ValueError(
                f"begin must be True where episodes are over, and nowhere else: got {begin[differ]}"
                f" in environments {differ}"
            )
        self._seen, reward, terminated, truncated, _ = self.envs.step(self._given(action))
        self.done = torch.from_numpy(terminated | truncated)
        given = (np.array(x) for x in (terminated, truncated))  # they may be its own, written again
        return (
            self._observed(),
            torch.as_tensor(np.array(reward, np.float32)),
            *map(torch.from_numpy, given),
        )

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on; a copy."""
        seen = torch.from_numpy(np.array(self._seen))
        return {"envs": _state(self.envs), "seen": seen, "done": self.done.clone()}

    def set_state(self, state: dict[str, Any]) -> Tensor:
        """Goes back to it; returns the observations."""
        if hasattr(self.envs, "set_state"):
            self.envs.set_state(state["envs"])
        else:
            vars(self.envs).update(pickle.loads(state["envs"]))
        self._seen, self.done = state["seen"].numpy().copy(), state["done"].clone()
        return self._observed()

    def _given(self, action: Tensor) -> np.ndarray:
        """As the environment takes it."""
        if self._range is None:
            return action.numpy()
        shape = (self.batch_size, self.action_size)
        if action.shape != shape:
            raise ValueError(f"action must have shape {shape}, got {tuple(action.shape)}")
        if not bool(action.isfinite().all()):
            raise ValueError("action must be finite, got NaN or infinity")
        low, high, middle, half = self._range
        given = (middle + half * action.double().numpy()).clip(low, high)
        dtype = self.envs.single_action_space.dtype
        return (np.rint(given) if np.issubdtype(dtype, np.integer) else given).astype(dtype)

    def _observed(self) -> Tensor:
        if self._eye is not None:
            return self._eye[torch.from_numpy(np.asarray(self._seen, np.int64) - self._first)]
        return torch.from_numpy(np.array(self._seen, np.float32))


def _range(acts: Box) -> tuple[np.ndarray, ...]:
    """(lowest, highest, middle, half the range): 0 and 1 for the last two without such limits."""
    low, high = acts.low.astype(np.float64), acts.high.astype(np.float64)
    ends = np.isfinite(low) & np.isfinite(high)
    with np.errstate(invalid="ignore"):
        middle, half = np.where(ends, low / 2 + high / 2, 0), np.where(ends, high / 2 - low / 2, 1)
    return low, high, middle, half


def _state(envs: VectorEnv) -> Any:
    if hasattr(envs, "get_state"):
        return envs.get_state()
    if type(envs) is not SyncVectorEnv:
        raise TypeError(
            "envs must be a SyncVectorEnv, or have get_state and set_state, for its state to be "
            f"kept, got {type(envs).__name__}"
        )
    own = {name: x for name, x in vars(envs).items() if name != "env_fns"}
    try:
        return pickle.dumps(own)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(f"envs must hold what can be pickled, for its state: {error}") from error


def batched(
    make: Callable[[], gymnasium.Env], batch_size: int, *, seed: int | None = None
) -> Tensors:
    """Environments that ``make()`` makes, flat, stepped one after the other in one process:
    ``batched(popgym.envs.repeat_previous.RepeatPreviousEasy, 16, seed=0)``.

    Args:
        make: returns a gymnasium.Env that ``Flat`` takes.
        batch_size: B.
        seed: of all: environment i has seed + i.
    """
    if not callable(make):
        raise TypeError(
            f"make must be a function that returns an environment, got {type(make).__name__}; "
            "lambda: gymnasium.make('CartPole-v1'), for instance"
        )
    batch_size = integer("batch_size", batch_size)
    return Tensors(SyncVectorEnv([lambda: Flat(make())] * batch_size), seed=seed)
