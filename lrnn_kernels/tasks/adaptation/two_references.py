"""The third benchmark: two targets, and it is hidden which is the good one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plane import NEAR, Plane, action_of

_GOOD, _BAD = 100.0, -50.0
_HIDDEN, _TARGET = range(2)


class TwoReferences(Plane):
    """B agents on a torus [-2, 2]^2, each with two targets in [-1, 1]^2; arguments and calls as of
    ``Steered``.

    Both targets minus the position are observed, one after the other. Which is the good one, 0 or
    1, is hidden. An action x is a step of 0.25 in the direction pi x. Nearer than 0.4 to the good
    one earns 100, to the bad one -50 (of both the nearer counts), and the walk begins anew at a
    place at least 0.6 away from both; other steps earn nothing.
    """

    observation_size = 4
    STEPS = 5000
    TARGETS = 2

    def _hide(self, which: Tensor) -> None:
        self.hidden[which] = (self._unit(which, _HIDDEN, 1) >= 0.5).double()
        drawn = 2 * self._unit(which, _TARGET, 4) - 1
        self.targets[which] = drawn.view(-1, 2, 2)

    def _act(self, action: Tensor) -> tuple[Tensor, Tensor]:
        self._walk(math.pi * action[:, 0])
        distance, nearest = self._distances().min(1)
        hit = distance < NEAR
        earned = torch.where(nearest == self.hidden[:, 0], _GOOD, _BAD)
        return torch.where(hit, earned, 0.0).double(), hit

    def best(self) -> Tensor:
        """Straight to the good one."""
        good = self.targets[self._rows, self.hidden[:, 0].long()]
        return action_of(self._towards(good))
