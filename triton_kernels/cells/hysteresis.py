"""The quantized-hysteresis units with a signed candidate; csrc/cells/hysteresis.h.

BMRU (eps = 0), CMRU (eps = 1), and the anneal between them; alpha per channel or per step.
"""

import triton
import triton.language as tl

from ..cell import AffineCell
from ..elementary import dropped, surrogate


@triton.jit
def _written(c, alpha):
    """alpha S(c), with S(0) = +1."""
    return tl.where(c >= 0, alpha, -alpha)


@triton.jit
def _times_sign(x, s):
    """x sign(s); 0 where s is 0, whatever x is."""
    return tl.where(s > 0, x, tl.where(s == 0, 0.0, -x))


@triton.jit
def _hysteresis_gate(c, beta, alpha, eps):
    update = tl.abs(c) >= tl.abs(beta)
    return tl.where(update, eps, 1.0).to(c.dtype), tl.where(update, _written(c, alpha), 0.0)


@triton.jit
def _hysteresis_pullback(c, beta, alpha, width, g, dz):
    """Gradients of c, beta and alpha; dz is the adjoint of the gate."""
    update = tl.abs(c) >= tl.abs(beta)
    through_gate = dz * surrogate(tl.abs(c) - tl.abs(beta), width)
    through_sign = tl.where(update, g * alpha * (2.0 * surrogate(c, width)), 0.0)
    dc = _times_sign(through_gate, c) + through_sign
    dbeta = _times_sign(-through_gate, beta)
    return dc, dbeta, tl.where(update, _written(c, g), 0.0)


@triton.jit
def hysteresis_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], p[0], options[0])


@triton.jit
def hysteresis_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dz = g * (_written(x[0], p[0]) - dropped(h_prev, options[0]))
    dc, dbeta, dalpha = _hysteresis_pullback(x[0], x[1], p[0], options[1], g, dz)
    return (dc, dbeta), (dalpha,)


@triton.jit
def hysteresis_per_step_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], x[2], options[0])


@triton.jit
def hysteresis_per_step_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dz = g * (_written(x[0], x[2]) - dropped(h_prev, options[0]))
    dc, dbeta, dalpha = _hysteresis_pullback(x[0], x[1], x[2], options[1], g, dz)
    return (dc, dbeta, dalpha), ()


@triton.jit
def cmru_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], p[0], 1.0)


@triton.jit
def cmru_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dc, dbeta, dalpha = _hysteresis_pullback(
        x[0], x[1], p[0], options[1], g, g * _written(x[0], p[0])
    )
    return (dc, dbeta), (dalpha,)


@triton.jit
def cmru_per_step_gate(x, p, options, PLANES: tl.constexpr):
    return _hysteresis_gate(x[0], x[1], x[2], 1.0)


@triton.jit
def cmru_per_step_pullback(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dc, dbeta, dalpha = _hysteresis_pullback(
        x[0], x[1], x[2], options[1], g, g * _written(x[0], x[2])
    )
    return (dc, dbeta, dalpha), ()


CELLS = {
    "hysteresis": AffineCell(hysteresis_gate, hysteresis_pullback, forgets=True),
    "bmru": AffineCell(hysteresis_gate, hysteresis_pullback, saves_bits=True, forgets=True),
    "hysteresis_per_step": AffineCell(
        hysteresis_per_step_gate, hysteresis_per_step_pullback, forgets=True
    ),
    "cmru": AffineCell(cmru_gate, cmru_pullback, uses_state=False),
    "cmru_per_step": AffineCell(cmru_per_step_gate, cmru_per_step_pullback, uses_state=False),
}
