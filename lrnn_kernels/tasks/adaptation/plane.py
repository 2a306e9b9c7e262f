"""Two dimensions: an agent on a torus, which walks steps of one length."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .steered import Steered

_HALF = 2.0  # the torus is [-2, 2] in both
STRIDE, NEAR = 0.25, 0.4
_APART = 0.6  # from every target, where a walk begins
_TRIED = 16  # places, of which a walk begins at the first that is apart; all fail once in 10^12
_PLACE = 8


class Plane(Steered):
    """An action x is the direction pi x of a step; targets (B,K,2) are in [-1, 1]."""

    action_size = 1
    observation_limit, action_limit = 3.0, 1.0
    TARGETS: int
    STATE = (*Steered.STATE, "position", "targets")

    def __init__(
        self, batch_size: int = 1, *, seed: int | None = None, steps: int | None = None
    ) -> None:
        super().__init__(batch_size, seed=seed, steps=steps)
        self.position = torch.zeros(batch_size, 2).double()
        self.targets = torch.zeros(batch_size, self.TARGETS, 2).double()
        self.hidden = torch.zeros(batch_size, 1).double()

    def _place(self, which: Tensor) -> None:
        drawn = self._unit(which, _PLACE, 2 * _TRIED, self.hits[which])
        places = _HALF * (2 * drawn.view(-1, _TRIED, 2) - 1)
        away = (places[:, :, None] - self.targets[which][:, None]).square().sum(-1).sqrt()
        apart = (away >= _APART).all(-1)
        first = apart.to(torch.int8).argmax(1)
        self.position[which] = places[torch.arange(len(which)), first]

    def _walk(self, angle: Tensor) -> None:
        """A stride in a direction (B,)."""
        stride = STRIDE * torch.stack((angle.cos(), angle.sin()), 1)
        self.position += stride
        self.position.add_(_HALF).remainder_(2 * _HALF).sub_(_HALF)

    def _distances(self) -> Tensor:
        """(B,K)"""
        return (self.targets - self.position[:, None]).square().sum(-1).sqrt()

    def _observe(self) -> Tensor:
        return (self.targets - self.position[:, None]).flatten(1).float()

    def _towards(self, target: Tensor) -> Tensor:
        """(B,) the direction of targets (B,2)."""
        x, y = (target - self.position).unbind(1)
        return torch.atan2(y, x)


def action_of(angle: Tensor) -> Tensor:
    """(B,1), in [-1, 1], of directions (B,)."""
    return (torch.remainder(angle + math.pi, 2 * math.pi) - math.pi)[:, None] / math.pi
