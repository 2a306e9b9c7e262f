"""Functions of the voltage that models are written in: smooth, for tensors of any floating dtype,
differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Curve = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sigmoid:
    """V -> A + B / (1 + exp((V + D) / C)), V, C and D in mV."""

    A: float
    B: float
    C: float
    D: float

    def __call__(self, V: Tensor) -> Tensor:
        return self.A + self.B * torch.sigmoid((V + self.D) / -self.C)


def boltzmann(C: float, D: float) -> Sigmoid:
    """V -> 1 / (1 + exp((V + D) / C)): the steady state of a gate."""
    return Sigmoid(0.0, 1.0, C, D)


def linoid(y: Tensor) -> Tensor:
    """y / (1 - exp(-y)), 1 at its removable singularity; exact to rounding, its derivative too."""
    near = y.abs() < 1e-2
    square = y * y
    series = 1 + y / 2 + square / 12 * (1 - square / 60)  # the next term is below 1e-16
    far = torch.where(near, torch.ones_like(y), y)  # no 0/0, whose gradient would be NaN
    return torch.where(near, series, far / -torch.expm1(-far))


class Curves:
    """Several curves at once: V (...) -> (..., n), the sigmoids among them in one evaluation."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        sigmoids = [i for i, curve in enumerate(curves) if isinstance(curve, Sigmoid)]
        self._others = [curve for curve in curves if not isinstance(curve, Sigmoid)]
        numbers = [[getattr(curves[i], name) for i in sigmoids] for name in "ABCD"]
        self._numbers = torch.tensor(numbers, dtype=torch.float64)
        order = sigmoids + [i for i in range(len(curves)) if i not in sigmoids]
        self._places = torch.tensor(order).argsort()
        self._in_order = order == sorted(order)

    def __call__(self, V: Tensor) -> Tensor:
        A, B, C, D = self._numbers.to(V)
        values = A + B * torch.sigmoid((V[..., None] + D) / -C)
        if self._others:
            rest = torch.stack([curve(V) for curve in self._others], -1)
            values = torch.cat((values, rest), -1)
        return values if self._in_order else values[..., self._places.to(V.device)]


def slope(curve: Curve, V: Tensor) -> tuple[Tensor, Tensor]:
    """A curve at V and its derivative there, per mV; both differentiable."""
    value, pullback = torch.func.vjp(curve, V)
    return value, pullback(torch.ones_like(value))[0]
