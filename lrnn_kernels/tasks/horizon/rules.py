"""What inputs that are known to lie in intervals can make of a channel's state: by kind of cell.

A rule says two things of states in a box: where they are after one step, and where they are after
any number of them. What no rule covers is unknown.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from ... import nn
from .boxes import Box, linear, product

#: Roundings of one step of a cell, of numbers as large as its state's and input's.
_STEP = 16.0
#: The same of an LRU, whose lambda comes of exponentials in its layer's dtype.
_TURN = 64.0


class Rule(NamedTuple):
    """Both take a layer's pre-activations as a box and states (C, S)."""

    step: Callable[[torch.nn.Module, Box, Box, float], Box]
    tail: Callable[[torch.nn.Module, Box, Box, float], Box]


def of(layer: torch.nn.Module) -> Rule | None:
    for kinds, rule in _RULES:
        if isinstance(layer, kinds):
            return rule
    return None


def in_double(layer: torch.nn.Module) -> torch.nn.Module:
    """The same layer with float64 parameters, which then hold the same numbers."""
    return copy.deepcopy(layer).double().requires_grad_(False)


def drive(layer: torch.nn.Module, x: Box, rounding: float) -> Box:
    """The pre-activations of a layer in float64, (D,), from its inputs."""
    p = layer._parameters_of(0, False)
    bias = layer._drive(torch.zeros(1, layer.input_size, dtype=torch.float64), p)[0]
    columns = layer._drive(torch.eye(layer.input_size, dtype=torch.float64), p) - bias
    return linear(x, columns.T.numpy(), bias.numpy(), rounding)


def _parts(box: Box, count: int) -> list[Box]:
    return [Box(*pair) for pair in zip(*(np.split(b, count) for b in box), strict=True)]


def _alone(box: Box) -> Box:
    """States of one number, (C, 1), as (C,)."""
    return Box(box.lo[:, 0], box.hi[:, 0])


def _state(box: Box) -> Box:
    return Box(box.lo[:, None], box.hi[:, None])


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


def _hysteresis(layer: torch.nn.Module, pre: Box) -> _Write:
    if isinstance(layer, nn.AlphaCMRU):
        c, beta, alpha = _parts(pre, 3)
        alpha, eps = (_magnitude(alpha) if layer.absolute else alpha), 1.0
    else:
        c, beta = _parts(pre, 2)
        fixed = layer._scan_params(layer._parameters_of(0, False))[0].numpy()
        alpha, eps = Box(fixed, fixed), float(layer._scan_options()["eps"])
    reach, band = _magnitude(c), _magnitude(beta)
    return _Write(reach.hi < band.lo, reach.lo >= band.hi, _signed(c, alpha), eps)


def _first_quadrant(layer: torch.nn.Module, pre: Box) -> _Write:
    u = pre.mapped(lambda x: np.maximum(x, 0))
    lo, hi, alpha = (q.numpy() for q in layer._scan_params(layer._parameters_of(0, False)))
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
    return _Write(never, always, written, float(layer._scan_options()["eps"]))


def _writes(gate: Callable[[torch.nn.Module, Box], _Write]) -> Rule:
    def step(layer, pre: Box, states: Box, rounding: float) -> Box:
        h, write = _alone(states), gate(layer, pre)
        kept = product(h, Box(np.full_like(h.lo, write.eps), np.full_like(h.hi, write.eps)))
        new = Box(write.written.lo + kept.lo, write.written.hi + kept.hi)
        if write.eps:
            new = new.wider(_STEP * rounding * (h.largest + write.written.largest))
        some = h.hull(new)
        return _state(
            Box(
                np.where(write.never, h.lo, np.where(write.always, new.lo, some.lo)),
                np.where(write.never, h.hi, np.where(write.always, new.hi, some.hi)),
            )
        )

    def tail(layer, pre: Box, states: Box, rounding: float) -> Box:
        h, write = _alone(states), gate(layer, pre)
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
    return 0.5 * (1 + np.tanh(x / 2))


def _mixture(layer: torch.nn.Module, pre: Box, rounding: float) -> tuple[Box, Box]:
    k, v = _parts(pre, 2)
    if layer.positive:
        v = v.mapped(lambda x: np.where(x >= 0, x + 0.5, _sigmoid(x)))
        v = v.wider(_STEP * rounding * v.largest)
    z = k.mapped(_sigmoid)
    z = Box(z.lo * (1 - _STEP * rounding), np.minimum(z.hi * (1 + _STEP * rounding), 1))
    return z, v


def _mix_step(layer, pre: Box, states: Box, rounding: float) -> Box:
    h, (z, v) = _alone(states), _mixture(layer, pre, rounding)
    with np.errstate(invalid="ignore"):
        corners = [(1 - share) * a + share * b for share in z for a in h for b in v]
        found = Box(np.min(corners, 0), np.max(corners, 0))
    return _state(found.wider(_STEP * rounding * (h.largest + v.largest)))


def _mix_tail(layer, pre: Box, states: Box, rounding: float) -> Box:
    h, (z, v) = _alone(states), _mixture(layer, pre, rounding)
    found, slip = h.hull(v), _STEP * rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        # A step forgets the slips before it at rate z, and adds its own.
        wider = np.where(z.lo > slip, slip * found.largest / (z.lo - slip), np.inf)
    return _state(found.wider(wider))


# LRU: within a disc around where it goes to.


class _Disc(NamedTuple):
    center: np.ndarray
    radius: np.ndarray


def _disc(lo: np.ndarray, hi: np.ndarray) -> _Disc:
    """Around boxes of real and imaginary parts, (C, 2)."""
    middle, half = (lo + hi) / 2, (hi - lo) / 2
    return _Disc(middle[:, 0] + 1j * middle[:, 1], np.hypot(half[:, 0], half[:, 1]))


def _around(disc: _Disc) -> Box:
    center = np.stack([disc.center.real, disc.center.imag], 1)
    return Box(center - disc.radius[:, None], center + disc.radius[:, None])


def _rotation(layer: torch.nn.Module, pre: Box) -> tuple[np.ndarray, _Disc]:
    real, imag = _parts(pre, 2)
    u = _disc(np.stack([real.lo, imag.lo], 1), np.stack([real.hi, imag.hi], 1))
    return layer._scan_params(layer._parameters_of(0, False))[0].numpy(), u


def _turn_step(layer, pre: Box, states: Box, rounding: float) -> Box:
    lam, u = _rotation(layer, pre)
    h = _disc(*states)
    center, radius = lam * h.center + u.center, abs(lam) * h.radius + u.radius
    size = abs(h.center) + h.radius + abs(u.center) + u.radius
    return _around(_Disc(center, radius + _TURN * rounding * size))


def _turn_tail(layer, pre: Box, states: Box, rounding: float) -> Box:
    lam, u = _rotation(layer, pre)
    h, forgets, slip = _disc(*states), 1 - abs(lam), _TURN * rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        goal = u.center / (1 - lam)
        # From within r of the goal a step ends within |lambda| r of it, but for the input's width
        # and for rounding; which is within r again if r is at least this.
        least = (u.radius + slip * (abs(goal) + abs(u.center) + u.radius)) / (forgets - slip)
        radius = np.maximum(abs(h.center - goal) + h.radius, least)
    bound = (forgets > slip) & np.isfinite(radius)
    return _around(_Disc(np.where(bound, goal, 0), np.where(bound, radius, np.inf)))


_RULES = (
    ((nn.BMRU, nn.CMRU, nn.AlphaCMRU), _writes(_hysteresis)),
    ((nn.FQBMRU,), _writes(_first_quadrant)),
    ((nn.MinGRU,), Rule(_mix_step, _mix_tail)),
    ((nn.LRU,), Rule(_turn_step, _turn_tail)),
)
