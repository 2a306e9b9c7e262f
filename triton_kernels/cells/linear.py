"""The linear scan h[t] = a h[t-1] + b[t], real or complex; csrc/cells/linear.h.

a is a stream of its own, or one value per channel (the LRU's lambda).
"""

import triton
import triton.language as tl

from ..cell import AffineCell
from ..values import conj_multiply


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


CELLS = {
    "linear": AffineCell(linear_gate, linear_pullback),
    "linear_per_channel": AffineCell(linear_per_channel_gate, linear_per_channel_pullback),
}
