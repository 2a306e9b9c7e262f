"""Functions of Triton cells with one mistake each, which test_wrong_cells.py must catch. To import
it needs triton."""

import triton
import triton.language as tl

from lrnn_kernels.backends import triton as triton_backend

assert not triton_backend.failure()

from lrnn_kernels.triton_kernels.cells import brc, hysteresis, min_gru, src  # noqa: E402


@triton.jit
def sign(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dx, dp = min_gru.min_gru_pullback(x, p, options, h_prev, g, PLANES)
    return (-dx[0], dx[1]), dp


@triton.jit
def no_state(x, p, options, h_prev, g, PLANES: tl.constexpr):
    return (g, g), ()


@triton.jit
def share(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dx, dp = hysteresis.hysteresis_pullback(x, p, options, h_prev, g, PLANES)
    return dx, (dp[0] * 1.001,)


@triton.jit
def gate(x, p, options, PLANES: tl.constexpr):
    return x[0], x[1] * 1.0001


@triton.jit
def forgotten_gate(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    passed, dx, dp = brc.brc_pullback(x, p, o, before, after, dy, adjoint, KIND)
    return (passed[0] - dx[1] * p[1],), dx, dp


@triton.jit
def wrong_current(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    passed, dx, dp = src.src_detached_pullback(x, p, o, before, after, dy, adjoint, KIND)
    return (passed[0] * 1.001, passed[1], passed[2]), dx, dp


@triton.jit
def forgotten_write(x, p, options, h_prev, g, PLANES: tl.constexpr):
    return hysteresis.hysteresis_pullback(x, p, options, tl.abs(h_prev), g, PLANES)
