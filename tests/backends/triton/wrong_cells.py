"""Triton cells with one mistake each, which the tests must catch."""

import triton
import triton.language as tl

from lrnn_kernels.backends import triton as triton_backend

assert not triton_backend.failure()

from lrnn_kernels.triton_kernels.cells import CELLS, brc, hysteresis, min_gru, src  # noqa: E402


@triton.jit
def _sign(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dx, dp = min_gru.min_gru_pullback(x, p, options, h_prev, g, PLANES)
    return (-dx[0], dx[1]), dp


@triton.jit
def _no_state(x, p, options, h_prev, g, PLANES: tl.constexpr):
    return (g, g), ()


@triton.jit
def _share(x, p, options, h_prev, g, PLANES: tl.constexpr):
    dx, dp = hysteresis.hysteresis_pullback(x, p, options, h_prev, g, PLANES)
    return dx, (dp[0] * 1.001,)


@triton.jit
def _gate(x, p, options, PLANES: tl.constexpr):
    return x[0], x[1] * 1.0001


@triton.jit
def _forgotten_gate(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    passed, dx, dp = brc.brc_pullback(x, p, o, before, after, dy, adjoint, KIND)
    return (passed[0] - dx[1] * p[1],), dx, dp


@triton.jit
def _wrong_current(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    passed, dx, dp = src.src_detached_pullback(x, p, o, before, after, dy, adjoint, KIND)
    return (passed[0] * 1.001, passed[1], passed[2]), dx, dp


@triton.jit
def _forgotten_write(x, p, options, h_prev, g, PLANES: tl.constexpr):
    return hysteresis.hysteresis_pullback(x, p, options, tl.abs(h_prev), g, PLANES)


#: What is wrong: the cell, the wrong pair.
WRONG = {
    "sign of dk": ("min_gru", CELLS["min_gru"]._replace(pullback=_sign)),
    "da without the state": ("linear_scan", CELLS["linear"]._replace(pullback=_no_state)),
    "a thousandth of dalpha": ("bmru", CELLS["bmru"]._replace(pullback=_share)),
    "the sign of the state": ("bmru", CELLS["bmru"]._replace(pullback=_forgotten_write)),
    "a ten-thousandth in the gate": ("linear_scan", CELLS["linear"]._replace(gate=_gate)),
    "the adjoint without the way through c": (
        "brc",
        CELLS["brc"]._replace(pullback=_forgotten_gate),
    ),
    "a thousandth of the adjoint of the current": (
        "src",
        CELLS["src_detached"]._replace(pullback=_wrong_current),
    ),
}
