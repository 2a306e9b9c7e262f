"""Gymnasium's single and vector environments of batches of tensors: of the T-maze, and of the tasks
of adaptation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ...options import one_of
from ..adaptation.steered import Steered
from ..t_maze import LAB, Maze, TMaze

AUTORESETS = (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)


def _spaces(core: TMaze | Steered) -> tuple[Box, Box | Discrete]:
    size = (core.observation_size,)
    if isinstance(core, TMaze):
        return Box(0.0, 1.0, size, np.float32), Discrete(core.actions)
    ends = (core.observation_limit, core.action_limit)
    seen, given = (
        Box(-end, end, shape, np.float32)
        for end, shape in zip(ends, (size, (core.action_size,)), strict=True)
    )
    return seen, given


class SingleEnv(gymnasium.Env):
    """One environment of a batched core. An episode's seed is ``reset``'s; without one the next
    episode of the same seed begins. ``render_mode`` is None; there is nothing to see."""

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own form

    def __init__(self, core: TMaze | Steered, render_mode: None) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode must be None, got {render_mode!r}")
        self.render_mode = None
        self.core = core
        self.observation_space, self.action_space = _spaces(core)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.core.reseed(seed)
        return self.core.reset()[0].numpy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        found = self.core.step(self._tensor(action)[None])
        observation, reward, terminated, truncated = found
        return observation[0].numpy(), reward.item(), terminated.item(), truncated.item(), {}

    def _tensor(self, action: Any) -> torch.Tensor:
        """The action, checked."""
        raise NotImplementedError

    def get_state(self) -> dict[str, torch.Tensor]:
        """All that the future depends on; ``set_state`` goes back to it."""
        return self.core.get_state()

    def set_state(self, state: dict[str, torch.Tensor]) -> np.ndarray:
        return self.core.set_state(state)[0].numpy()


class BatchEnv(VectorEnv):
    """``num_envs`` environments at once, as one batch of tensors; number i is the single one of
    seed + i.

    autoreset_mode: NEXT_STEP (the step after an episode's end begins the next, whatever the action,
    with reward 0) or DISABLED (``reset(options={"reset_mask": mask})`` does, and stepping before
    that raises).
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own form

    def __init__(
        self,
        core: TMaze | Steered,
        autoreset_mode: AutoresetMode | str,
        render_mode: None,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode must be None, got {render_mode!r}")
        mode = AutoresetMode(autoreset_mode)
        one_of("autoreset_mode", mode, AUTORESETS)
        self.metadata = {**self.metadata, "autoreset_mode": mode}
        self.render_mode = None
        self.core = core
        self.num_envs = num_envs = core.batch_size
        self.single_observation_space, self.single_action_space = _spaces(self.core)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._next_step = mode == AutoresetMode.NEXT_STEP

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins episodes: of all, or where ``options["reset_mask"]`` (num_envs,) bool is True.
        ``seed``: an integer, of which environment i has seed + i, or a list of one for each."""
        mask = None if options is None else options.get("reset_mask")
        if mask is not None:
            if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
                raise TypeError(f"reset_mask must be an array of bool, got {mask!r}")
            mask = torch.from_numpy(mask)
        if isinstance(seed, list):
            if len(seed) != self.num_envs or not all(isinstance(x, int) for x in seed):
                raise ValueError(f"seed must be {self.num_envs} integers, got {seed!r}")
            seed = torch.tensor(seed)
        if seed is not None:
            if mask is not None:
                raise ValueError("seed must be None where reset_mask is given")
            self.core.reseed(seed)
        return self.core.reset(mask).numpy(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        actions = self._tensor(torch.as_tensor(np.asarray(actions)))
        found = self.core.step(actions, self.core.done if self._next_step else None)
        return *(x.numpy() for x in found), {}

    def get_state(self) -> dict[str, torch.Tensor]:
        """All that the future depends on; ``set_state`` goes back to it."""
        return self.core.get_state()

    def set_state(self, state: dict[str, torch.Tensor]) -> np.ndarray:
        return self.core.set_state(state).numpy()

    def _tensor(self, actions: torch.Tensor) -> torch.Tensor:
        """Actions of the core's dtype, checked."""
        raise NotImplementedError


class TMazeEnv(SingleEnv):
    """One maze. Observations are float32 (4,), or (6,) where corridors follow each other; actions
    0 ... 3 are right, up, left, down. An episode's seed is ``reset``'s; without one the next
    episode of the same seed begins.

    Args:
        maze: which, see ``t_maze.Maze``.
        render_mode: None; there is nothing to see.
    """

    def __init__(self, maze: Maze = LAB, render_mode: None = None) -> None:
        super().__init__(TMaze(maze, 1), render_mode)

    def _tensor(self, action: Any) -> torch.Tensor:
        if not self.action_space.contains(action):
            raise ValueError(
                f"action must be an integer of 0 ... {self.action_space.n - 1}, got {action!r}"
            )
        return torch.tensor(int(action))


class TMazeVectorEnv(BatchEnv):
    """``num_envs`` mazes at once, as one batch of tensors. Maze i is ``TMazeEnv`` of seed + i.

    Args:
        num_envs: B.
        maze: which, see ``t_maze.Maze``.
        autoreset_mode: NEXT_STEP (the step after an episode's end begins the next, whatever the
            action, with reward 0) or DISABLED (``reset(options={"reset_mask": mask})`` does, and
            stepping before that raises).
        render_mode: None.
    """

    def __init__(
        self,
        num_envs: int = 1,
        maze: Maze = LAB,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
    ) -> None:
        super().__init__(TMaze(maze, num_envs), autoreset_mode, render_mode)

    def _tensor(self, actions: torch.Tensor) -> torch.Tensor:
        if actions.dtype.is_floating_point or actions.dtype == torch.bool:
            raise TypeError(f"actions must be integers, got {actions.dtype}")
        return actions.long()
