"""The affine cells, h[t] = a[t] h[t-1] + b[t]: what one element computes, in pairs of jit functions that mirror csrc/cells/.

    gate(x, p, options, PLANES) -> (a, b)
    pullback(x, p, options, h_prev, g, PLANES) -> (dx, dp)

x and p are tuples of the cell's inputs and parameters, options is (eps, width), g is the total adjoint of h[t], and dx and dp are
tuples of the gradients of inputs and parameters. The engine itself forms conj(a) g, the adjoint handed to h[t-1]. The maths, with its
sources, is in lrnn_kernels/cells/.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .elementary import sigmoid
from .values import conj_multiply


class TritonCell(NamedTuple):
    """A pair of jit functions, and what the backward pass reads of the states."""

    gate: Any
    pullback: Any
    uses_state: bool = True  # whether the pullback reads h_prev: if not, nothing need be saved
    saves_bits: bool = False  # latch.py runs it, with eps = 0
    forgets: bool = False  # whether an a of 0 drops the state, infinite or not


@triton.jit
def linear_gate(x, p, options, PLANES: tl.constexpr):
    return x[0], x[1]


@triton.jit
def linear_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    return (conj_multiply(h_prev, g, PLANES), g), ()


@triton.jit
def linear_per_channel_gate(x, p, options, PLANES: tl.constexpr):
    return p[0], x[0]


@triton.jit
def linear_per_channel_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    return (g,), (conj_multiply(h_prev, g, PLANES),)


@triton.jit
def _surrogate(u, width):
    """kappa(u) = w / (1 + (pi w u)^2), which stands for the derivative of a step."""
    v = u * (3.14159265358979323846 * width)
    return width / (v * v + 1.0)


@triton.jit
def _written(c, alpha):
    """alpha S(c), with S(0) = +1."""
    return tl.where(c >= 0, alpha, -alpha)


@triton.jit
def _times_sign(x, s):
    """x sign(s); 0 where s is 0, whatever x is."""
    return tl.where(s > 0, x, tl.where(s == 0, 0.0, -x))


@triton.jit
def _dropped(h, eps):
    """What an update drops of the state, (1 - eps) h: nothing where eps is 1, though h be infinite."""
    return tl.where(eps == 1.0, 0.0, h * (1.0 - eps))


@triton.jit
def _hysteresis_gate(c, beta, alpha, eps):
    update = tl.abs(c) >= tl.abs(beta)
    return tl.where(update, eps, 1.0).to(c.dtype), tl.where(update, _written(c, alpha), 0.0)


@triton.jit
def _hysteresis_pullback(c, beta, alpha, width, g, dz):
    """Gradients of c, beta and alpha; dz is the adjoint of the gate."""
    update = tl.abs(c) >= tl.abs(beta)
    through_gate = dz * _surrogate(tl.abs(c) - tl.abs(beta), width)
    through_sign = tl.where(update, g * alpha * (2.0 * _surrogate(c, width)), 0.0)
    dc = _times_sign(through_gate, c) + through_sign
    dbeta = _times_sign(-through_gate, beta)
    return dc, dbeta, tl.where(update, _written(c, g), 0.0)


@triton.jit
def hysteresis_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], p[0], options[0])


@triton.jit
def hysteresis_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dz = g * (_written(x[0], p[0]) - _dropped(h_prev, options[0]))
    dc, dbeta, dalpha = _hysteresis_pullback(x[0], x[1], p[0], options[1], g, dz)
    return (dc, dbeta), (dalpha,)


@triton.jit
def hysteresis_per_step_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], x[2], options[0])


@triton.jit
def hysteresis_per_step_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dz = g * (_written(x[0], x[2]) - _dropped(h_prev, options[0]))
    dc, dbeta, dalpha = _hysteresis_pullback(x[0], x[1], x[2], options[1], g, dz)
    return (dc, dbeta, dalpha), ()


@triton.jit
def cmru_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], p[0], 1.0)


@triton.jit
def cmru_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dc, dbeta, dalpha = _hysteresis_pullback(x[0], x[1], p[0], options[1], g, g * _written(x[0], p[0]))
    return (dc, dbeta), (dalpha,)


@triton.jit
def cmru_per_step_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], x[2], 1.0)


@triton.jit
def cmru_per_step_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dc, dbeta, dalpha = _hysteresis_pullback(x[0], x[1], x[2], options[1], g, g * _written(x[0], x[2]))
    return (dc, dbeta, dalpha), ()


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
    dhold = g * (_dropped(h_prev, options[0]) - tl.where(high, p[2], 0.0))
    at_low = tl.where(high, 0.0, -dhold) * _surrogate(p[0] - u, options[1])
    through_hold = tl.where(low, 0.0, dhold)
    at_high = (tl.where(low | high, g * p[2], 0.0) - through_hold) * _surrogate(u - p[1], options[1])
    return (tl.where(x[0] <= 0, 0.0, at_high - at_low),), (at_low, -at_high, tl.where(high, g, 0.0))


@triton.jit
def min_gru_gate(x, p, options, PLANES: tl.constexpr):
    z = sigmoid(x[0])
    return 1.0 - z, z * x[1]


@triton.jit
def min_gru_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    z = sigmoid(x[0])
    return (g * (x[1] - h_prev) * (z * (1.0 - z)), g * z), ()


@triton.jit
def _positive(v):
    """v + 1/2 for v >= 0, sigmoid(v) below."""
    return tl.where(v >= 0, v + 0.5, sigmoid(v))


@triton.jit
def min_gru_positive_gate(x, p, options, PLANES: tl.constexpr):
    z = sigmoid(x[0])
    return 1.0 - z, z * _positive(x[1])


@triton.jit
def min_gru_positive_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    z = sigmoid(x[0])
    s = sigmoid(x[1])
    slope = tl.where(x[1] >= 0, 1.0, s * (1.0 - s))
    return (g * (_positive(x[1]) - h_prev) * (z * (1.0 - z)), g * z * slope), ()


#: Every cell by the name of its operator.
CELLS = {
    "linear": TritonCell(linear_gate, linear_pullback),
    "linear_per_channel": TritonCell(linear_per_channel_gate, linear_per_channel_pullback),
    "hysteresis": TritonCell(hysteresis_gate, hysteresis_pullback, forgets=True),
    "bmru": TritonCell(hysteresis_gate, hysteresis_pullback, saves_bits=True, forgets=True),
    "hysteresis_per_step": TritonCell(hysteresis_per_step_gate, hysteresis_per_step_pullback, forgets=True),
    "cmru": TritonCell(cmru_gate, cmru_pullback, uses_state=False),
    "cmru_per_step": TritonCell(cmru_per_step_gate, cmru_per_step_pullback, uses_state=False),
    "fq_bmru": TritonCell(fq_bmru_gate, fq_bmru_pullback, forgets=True),
    "min_gru": TritonCell(min_gru_gate, min_gru_pullback),
    "min_gru_positive": TritonCell(min_gru_positive_gate, min_gru_positive_pullback),
}
