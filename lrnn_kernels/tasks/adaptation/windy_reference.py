"""The second benchmark: a wind of a hidden direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plane import NEAR, STRIDE, Plane, action_of

_HIT, _STEP = 100.0, -2.0
_HIDDEN, _TARGET, _GUST = range(3)


class WindyReference(Plane):
    """B agents on a torus [-2, 2]^2, each with a target in [-1, 1]^2; arguments and calls as of
    ``Steered``.

    target - position is observed. An action x is a step of 0.25 in the direction pi x, and the wind
    is another, in the direction a + g: a, uniform over the circle, is hidden, and g, of each step,
    uniform within an eighth of it on both sides. Nearer than 0.4 to the target earns 100, and the
    walk begins anew at a place at least 0.6 away; each other step costs 2.
    """

    observation_size = 2
    STEPS = 4000
    TARGETS = 1

    def _hide(self, which: Tensor) -> None:
        self.hidden[which] = 2 * math.pi * self._unit(which, _HIDDEN, 1)
        self.targets[which, 0] = 2 * self._unit(which, _TARGET, 2) - 1

    def _act(self, action: Tensor) -> tuple[Tensor, Tensor]:
        gust = math.pi / 4 * (2 * self._unit(self._rows, _GUST, 1, self.elapsed) - 1)
        self._walk(math.pi * action[:, 0])
        self._walk((self.hidden + gust)[:, 0])
        hit = self._distances()[:, 0] < NEAR
        return torch.where(hit, _HIT, _STEP).double(), hit

    def best(self) -> Tensor:
        """Against the wind's mean, as far as one step goes."""
        wind = STRIDE * torch.cat((self.hidden.cos(), self.hidden.sin()), 1)
        return action_of(self._towards(self.targets[:, 0] - wind))
