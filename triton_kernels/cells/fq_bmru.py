"""The first-quadrant BMRU: states {0, alpha} and two positive thresholds; csrc/cells/fq_bmru.h."""

import triton
import triton.language as tl

from ..cell import AffineCell
from ..elementary import dropped, surrogate


@triton.jit
def _relu(x):
    return tl.where(x < 0, 0.0, x)  # NaN stays NaN


@triton.jit
def fq_bmru_gate(x, p, options, PLANES: tl.constexpr):
    u = _relu(x[0])
    low = u <= p[0]
    high = u >= p[1]
    return tl.where(low | high, options[0], 1.0).to(u.dtype), tl.where(high, p[2], 0.0)


@triton.jit
def fq_bmru_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    u = _relu(x[0])
    low = u <= p[0]
    high = u >= p[1]
    dhold = g * (dropped(h_prev, options[0]) - tl.where(high, p[2], 0.0))
    at_low = tl.where(high, 0.0, -dhold) * surrogate(p[0] - u, options[1])
    through_hold = tl.where(low, 0.0, dhold)
    at_high = (tl.where(low | high, g * p[2], 0.0) - through_hold) * surrogate(u - p[1], options[1])
    dx = tl.where(x[0] <= 0, 0.0, at_high - at_low)
    return (dx,), (at_low, -at_high, tl.where(high, g, 0.0))


CELLS = {"fq_bmru": AffineCell(fq_bmru_gate, fq_bmru_pullback, forgets=True)}
