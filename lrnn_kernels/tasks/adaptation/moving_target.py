"""The first benchmark: a target that is off by a hidden amount."""

from __future__ import annotations

import torch
from torch import Tensor

from .steered import Steered

_LARGEST = 10.0  # of what is hidden
_SCALE, _CLIP = 5.0, 20.0  # of an action
_NEAR, _HIT, _LEAST = 1.0, 10.0, -20.0
_HIDDEN, _SHOWN = range(2)


class MovingTarget(Steered):
    """B targets on a line; arguments and calls as of ``Steered``.

    p, uniform in [-5, 5], is observed; the target is p + a, with a hidden a, uniform in [-10, 10].
    An action x stands for 5 x, clipped to [-20, 20]: nearer than 1 to the target it earns 10, and p
    is drawn anew, else minus the distance, -20 at the least.
    """

    observation_size = action_size = 1
    observation_limit, action_limit = 5.0, _CLIP / _SCALE
    STEPS = 1400
    STATE = (*Steered.STATE, "shown")

    def __init__(
        self, batch_size: int = 1, *, seed: int | None = None, steps: int | None = None
    ) -> None:
        super().__init__(batch_size, seed=seed, steps=steps)
        self.shown, self.hidden = (torch.zeros(batch_size, 1).double() for _ in range(2))

    def _hide(self, which: Tensor) -> None:
        self.hidden[which] = _LARGEST * (2 * self._unit(which, _HIDDEN, 1) - 1)

    def _place(self, which: Tensor) -> None:
        drawn = self._unit(which, _SHOWN, 1, self.hits[which])
        self.shown[which] = 5.0 * (2 * drawn - 1)

    def _act(self, action: Tensor) -> tuple[Tensor, Tensor]:
        aimed = (_SCALE * action).clamp(-_CLIP, _CLIP)
        distance = (self.shown + self.hidden - aimed).abs()[:, 0]
        hit = distance < _NEAR
        return torch.where(hit, _HIT, (-distance).clamp(min=_LEAST)), hit

    def _observe(self) -> Tensor:
        return self.shown.float()

    def best(self) -> Tensor:
        return (self.shown + self.hidden) / _SCALE
