"""The BRC: a bistable cell whose gates read its own state; csrc/cells/brc.h."""

import triton
import triton.language as tl

from ..cell import StepCell
from ..elementary import sigmoid, tanh


@triton.jit
def _brc_gates(x, p, h):
    """tanh(p_a + w_a h), c, and the candidate."""
    bend = tanh(tl.fma(p[0], h, x[0]))
    return bend, sigmoid(tl.fma(p[1], h, x[1])), tanh(tl.fma(bend + 1.0, h, x[2]))


@triton.jit
def brc_step(x, p, o, before):
    h = before[0]
    _, c, candidate = _brc_gates(x, p, h)
    after = tl.fma(c, h, (1.0 - c) * candidate)  # which holds h to the bit where c is 1
    return (after,), after


@triton.jit
def brc_save(state, o):
    return (state[0],)


@triton.jit
def brc_pullback(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    h = before[0]
    dh = adjoint[0] + dy
    bend, c, candidate = _brc_gates(x, p, h)
    dpre = dh * (1.0 - c) * (1.0 - candidate * candidate)
    da = dpre * h * (1.0 - bend * bend)
    dc = dh * (h - candidate) * (c * (1.0 - c))
    return (dh * c + dpre * (bend + 1.0) + da * p[0] + dc * p[1],), (da, dc, dpre), (da * h, dc * h)


CELLS = {"brc": StepCell(brc_step, brc_pullback, brc_save, saves_output=True)}
