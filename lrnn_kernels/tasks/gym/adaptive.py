"""Gymnasium's single and vector environments of the tasks of adaptation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from ...options import one_of
from ..adaptation import ENVIRONMENTS
from ..adaptation.steered import Steered
from .faces import BatchEnv, SingleEnv

_BY_NAME = {environment.__name__: environment for environment in ENVIRONMENTS}


def _core(name: str, count: int, steps: int | None) -> Steered:
    return _BY_NAME[one_of("environment", name, _BY_NAME)](count, steps=steps)


class AdaptationEnv(SingleEnv):
    """One task of ``tasks.adaptation``, whose episodes end (truncated) by their length alone.
    Actions are real numbers.

    Args:
        environment: "MovingTarget", "WindyReference" or "TwoReferences".
        steps: of an episode; the paper's by default.
        render_mode: None; there is nothing to see.
    """

    def __init__(
        self,
        environment: str = "MovingTarget",
        steps: int | None = None,
        render_mode: None = None,
    ) -> None:
        super().__init__(_core(environment, 1, steps), render_mode)

    def _tensor(self, action: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(action, dtype=np.float64))


class AdaptationVectorEnv(BatchEnv):
    """``num_envs`` of these at once, as one batch of tensors. Environment i is ``AdaptationEnv`` of
    seed + i.

    Args:
        num_envs: B.
        environment, steps, render_mode: as of ``AdaptationEnv``.
        autoreset_mode: NEXT_STEP or DISABLED: see ``BatchEnv``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        environment: str = "MovingTarget",
        steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
    ) -> None:
        super().__init__(_core(environment, num_envs, steps), autoreset_mode, render_mode)

    def _tensor(self, actions: torch.Tensor) -> torch.Tensor:
        return actions.double()
