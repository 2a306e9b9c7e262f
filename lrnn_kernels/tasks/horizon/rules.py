"""What inputs that are known to lie in intervals can make of a channel's state: by kind of cell.

A rule says two things of states in a box: where they are after one step, and where they are after
any number of them. What no rule covers is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from ... import nn
from .boxes import Box, Precision, linear, product

#: Roundings of one step of a cell, of numbers as large as its state's and input's.
_STEP = 16.0
#: The same of an LRU, whose lambda comes of exponentials in its layer's dtype; and for each radian
#: that lambda turns by, an exponential too.
_TURN, _PER_RADIAN = 64.0, 4.0


class Double(NamedTuple):
    """A layer, and its parameters by name as float64 on the CPU, of the same numbers."""

    layer: torch.nn.Module
    p: dict[str, torch.Tensor]

    def scanned(self) -> list[np.ndarray]:
        """The parameters of its scan."""
        return [q.numpy() for q in self.layer._scan_params(self.p)]

    @property
    def eps(self) -> float:
        return float(self.layer._scan_options()["eps"])


class Rule(NamedTuple):
    """Both take a layer's pre-activations as a box and states (C, S)."""

    step: Callable[[Double, Box, Box, Precision], Box]
    tail: Callable[[Double, Box, Box, Precision], Box]


def of(layer: torch.nn.Module) -> Rule | None:
    """None for kinds without a rule, and for what another class has made of a kind."""
    for kinds, rule in _RULES:
        for kind in kinds:
            if isinstance(layer, kind) and type(layer)._step_parts is kind._step_parts:
                return rule
    return None


def in_double(layer: torch.nn.Module) -> Double:
    p = layer._parameters_of(0, False)
    return Double(layer, {name: q.detach().double().cpu() for name, q in p.items()})


def drive(double: Double, x: Box, precision: Precision) -> Box:
    """The pre-activations of a layer, (D,), from its inputs."""
    layer, p = double
    bias = layer._drive(torch.zeros(1, layer.input_size, dtype=torch.float64), p)[0]
    columns = layer._drive(torch.eye(layer.input_size, dtype=torch.float64), p) - bias
    return linear(x, columns.T.numpy(), bias.numpy(), precision)


def _parts(box: Box, count: int) -> list[Box]:
    return [Box(*pair) for pair in zip(*(np.split(b, count) for b in box), strict=True)]


def _alone(box: Box) -> Box:
    """States of one number, (C, 1), as (C,)."""
    return Box(box.lo[:, 0], box.hi[:, 0])


def _state(box: Box) -> Box:
    return Box(box.lo[:, None], box.hi[:, None])


def _slip(size: np.ndarray, precision: Precision) -> np.ndarray:
    """Of one step, of states and inputs of that magnitude."""
    return _STEP * (precision.rounding * size + precision.least)


# Units that write: z is known to be 0, or to be 1, or neither.


class _Write(NamedTuple):
    never: np.ndarray
    always: np.ndarray
    written: Box  # what an update writes, or adds
    eps: float


def _magnitude(box: Box) -> Box:
    low = np.where((box.lo <= 0) & (box.hi >= 0), 0.0, np.minimum(abs(box.lo), abs(box.hi)))
    return Box(low, box.largest)


def _signed(c: Box, size: Box) -> Box:
    """size S(c), S(0) = +1."""
    minus, plus = Box(-size.hi, -size.lo), size
    some = minus.hull(plus)
    return Box(
        np.where(c.lo >= 0, plus.lo, np.where(c.hi < 0, minus.lo, some.lo)),
        np.where(c.lo >= 0, plus.hi, np.where(c.hi < 0, minus.hi, some.hi)),
    )


def _hysteresis(double: Double, pre: Box) -> _Write:
    if isinstance(double.layer, nn.AlphaCMRU):
        c, beta, alpha = _parts(pre, 3)
        alpha = _magnitude(alpha) if double.layer.absolute else alpha
    else:
        c, beta = _parts(pre, 2)
        (fixed,) = double.scanned()
        alpha = Box(fixed, fixed)
    reach, band = _magnitude(c), _magnitude(beta)
    return _Write(reach.hi < band.lo, reach.lo >= band.hi, _signed(c, alpha), double.eps)


def _first_quadrant(double: Double, pre: Box) -> _Write:
    u = pre.mapped(lambda x: np.maximum(x, 0))
    lo, hi, alpha = double.scanned()
    # Thresholds are sums of parameters in the layer's dtype: a little wider than in float64.
    lo, hi = Box(lo * (1 - 1e-6), lo * (1 + 1e-6)), Box(hi * (1 - 1e-6), hi * (1 + 1e-6))
    never_up, always_up = u.hi < hi.lo, u.lo >= hi.hi
    zero = np.zeros_like(alpha)
    lifted = Box(alpha, alpha)
    either = lifted.hull(Box(zero, zero))
    written = Box(
        np.where(always_up, alpha, np.where(never_up, 0.0, either.lo)),
        np.where(always_up, alpha, np.where(never_up, 0.0, either.hi)),
    )
    never = (u.lo > lo.hi) & never_up
    always = (u.hi <= lo.lo) | always_up
    return _Write(never, always, written, double.eps)


def _writes(gate: Callable[[Double, Box], _Write]) -> Rule:
    def step(double: Double, pre: Box, states: Box, precision: Precision) -> Box:
        h, write = _alone(states), gate(double, pre)
        kept = product(h, Box(np.full_like(h.lo, write.eps), np.full_like(h.hi, write.eps)))
        new = Box(write.written.lo + kept.lo, write.written.hi + kept.hi)
        if write.eps:
            size = h.largest + write.written.largest
            new = new.wider(_slip(size, precision)).unless(precision.overflows(size))
        some = h.hull(new)
        return _state(
            Box(
                np.where(write.never, h.lo, np.where(write.always, new.lo, some.lo)),
                np.where(write.never, h.hi, np.where(write.always, new.hi, some.hi)),
            )
        )

    def tail(double: Double, pre: Box, states: Box, precision: Precision) -> Box:
        h, write = _alone(states), gate(double, pre)
        # What adds to its state is not bound, unless it never does.
        reached = h.hull(write.written) if write.eps == 0 else Box.unknown(len(h.lo))
        return _state(
            Box(
                np.where(write.never, h.lo, reached.lo),
                np.where(write.never, h.hi, reached.hi),
            )
        )

    return Rule(step, tail)


# minGRU: between its state and its candidate.


def _sigmoid(x: np.ndarray) -> np.ndarray:
    tail = np.exp(-np.abs(x))  # which keeps its digits where the sigmoid is next to 0
    return np.where(x < 0, tail, 1.0) / (1 + tail)


def _mixture(double: Double, pre: Box, precision: Precision) -> tuple[Box, Box]:
    k, v = _parts(pre, 2)
    if double.layer.positive:
        v = v.mapped(lambda x: np.where(x >= 0, x + 0.5, _sigmoid(x)))
        v = v.wider(_slip(v.largest, precision))
    z, share = k.mapped(_sigmoid), _STEP * precision.rounding
    return Box(z.lo * (1 - share), np.minimum(z.hi * (1 + share), 1)), v


def _mix_step(double: Double, pre: Box, states: Box, precision: Precision) -> Box:
    h, (z, v) = _alone(states), _mixture(double, pre, precision)
    with np.errstate(invalid="ignore"):
        corners = [(1 - share) * a + share * b for share in z for a in h for b in v]
        found = Box(np.min(corners, 0), np.max(corners, 0))
        size = h.largest + v.largest
        found = found.wider(_slip(size, precision))
    return _state(found.unless(~np.isfinite(z.lo) | precision.overflows(size)))


def _mix_tail(double: Double, pre: Box, states: Box, precision: Precision) -> Box:
    h, (z, v) = _alone(states), _mixture(double, pre, precision)
    found, share = h.hull(v), _STEP * precision.rounding
    forgets = z.lo > share  # and for NaN not
    with np.errstate(divide="ignore", invalid="ignore"):
        # A step forgets the slips before it at rate z, and adds its own.
        found = found.wider(_slip(found.largest, precision) / (z.lo - share))
    return _state(found.unless(~forgets | precision.overflows(found.largest)))


# LRU: within a disc around where it goes to.


class _Disc(NamedTuple):
    center: np.ndarray
    radius: np.ndarray


def _disc(lo: np.ndarray, hi: np.ndarray) -> _Disc:
    """Around boxes of real and imaginary parts, (C, 2)."""
    with np.errstate(invalid="ignore"):  # without a bound, NaN
        middle, half = (lo + hi) / 2, (hi - lo) / 2
    return _Disc(middle[:, 0] + 1j * middle[:, 1], np.hypot(half[:, 0], half[:, 1]))


def _around(disc: _Disc) -> Box:
    center = np.stack([disc.center.real, disc.center.imag], 1)
    return Box(center - disc.radius[:, None], center + disc.radius[:, None])


class _Turn(NamedTuple):
    lam: np.ndarray
    u: _Disc
    slip: np.ndarray  # of one step, as a share of its state and input


def _turn(double: Double, pre: Box, precision: Precision) -> _Turn:
    real, imag = _parts(pre, 2)
    u = _disc(np.stack([real.lo, imag.lo], 1), np.stack([real.hi, imag.hi], 1))
    (lam,) = double.scanned()
    angle = double.p["theta"].exp().numpy()
    return _Turn(lam, u, (_TURN + _PER_RADIAN * angle) * precision.rounding)


def _turn_step(double: Double, pre: Box, states: Box, precision: Precision) -> Box:
    lam, u, slip = _turn(double, pre, precision)
    h = _disc(*states)
    with np.errstate(invalid="ignore"):
        center, radius = lam * h.center + u.center, abs(lam) * h.radius + u.radius
        size = abs(h.center) + h.radius + abs(u.center) + u.radius
        radius = radius + slip * size + _TURN * precision.least
        found = _around(_Disc(center, radius))
    return found.unless(precision.overflows(size)[:, None])


def _turn_tail(double: Double, pre: Box, states: Box, precision: Precision) -> Box:
    lam, u, slip = _turn(double, pre, precision)
    h, forgets = _disc(*states), 1 - abs(lam)
    with np.errstate(divide="ignore", invalid="ignore"):
        goal = u.center / (1 - lam)
        # From within r of the goal a step ends within |lambda| r of it, but for the input's width
        # and for rounding; which is within r again if r is at least this.
        slips = slip * (abs(goal) + abs(u.center) + u.radius) + _TURN * precision.least
        radius = np.maximum(abs(h.center - goal) + h.radius, (u.radius + slips) / (forgets - slip))
        found = _around(_Disc(goal, radius))
    unknown = ~(forgets > slip) | precision.overflows(abs(goal) + radius)
    return found.unless(unknown[:, None])


_RULES = (
    ((nn.BMRU, nn.CMRU, nn.AlphaCMRU), _writes(_hysteresis)),
    ((nn.FQBMRU,), _writes(_first_quadrant)),
    ((nn.MinGRU,), Rule(_mix_step, _mix_tail)),
    ((nn.LRU,), Rule(_turn_step, _turn_tail)),
)
