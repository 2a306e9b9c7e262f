"""The minGRU in linear space, and its form for positive states; csrc/cells/min_gru.h."""

import triton
import triton.language as tl

from ..cell import AffineCell
from ..elementary import sigmoid


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


CELLS = {
    "min_gru": AffineCell(min_gru_gate, min_gru_pullback),
    "min_gru_positive": AffineCell(min_gru_positive_gate, min_gru_positive_pullback),
}
