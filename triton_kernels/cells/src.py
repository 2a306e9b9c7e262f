"""The SRC: bistable dynamics that fire, by a ReLU or in spikes; csrc/cells/src.h.

States i, h and h_s. Gradients are full, or detached as in the cell's paper.
"""

import triton
import triton.language as tl

from ..cell import StepCell
from ..elementary import sigmoid, tanh


@triton.jit
def src_step_relu(x, p, o, before):
    after = _src_states(x[0], p[0], o, before)
    return after, tl.where(after[1] < 0, 0.0, after[1])  # NaN stays NaN


@triton.jit
def src_step_spikes(x, p, o, before):
    after = _src_states(x[0], p[0], o, before)
    return after, tl.where(after[1] > o[10], 1.0, 0.0).to(after[1].dtype)


@triton.jit
def _src_states(u, bias, o, before):
    i = tl.fma(before[0], o[0], u)
    h = before[1]
    h_s = before[2]
    z_s = tl.fma(_src_gate(h, o), o[8], o[7])
    driven = tanh(tl.fma(tanh(i * o[2]), o[1], tl.fma(h, o[3], tl.fma(h_s, o[4], bias))))
    after = tl.where(o[5] == 0, driven, tl.fma(h - driven, o[5], driven))
    return i, after, tl.fma(z_s, h_s, (1.0 - z_s) * h)


@triton.jit
def _src_gate(h, o):
    """sigmoid(slope (h - midpoint))."""
    return sigmoid((h - o[11]) * o[9])


@triton.jit
def src_save(state, o):
    return tanh(state[0] * o[2]), state[1], state[2]


@triton.jit
def src_save_detached(state, o):
    return tanh(state[0] * o[2]), state[1]


@triton.jit
def _spike_slope(u, width, KIND: tl.constexpr):
    """What stands for the derivative of a spike, in the order of reference.SPIKE_SURROGATES."""
    v = tl.abs(u) * width
    if KIND == 1:  # w / (1 + 2 w |u|)^2
        d = 1.0 + 2.0 * v
        return width / (d * d)
    elif KIND == 2:  # 4 w s (1-s), s = sigmoid(4 w u)
        s = sigmoid(4.0 * v)
        return s * (1.0 - s) * (4.0 * width)
    elif KIND == 3:  # w max(0, 1 - w |u|)
        return tl.where(v > 1.0, 0.0, 1.0 - v) * width  # NaN stays NaN
    else:  # w / (1 + (pi w u)^2)
        d = v * 3.14159265358979323846
        return width / (d * d + 1.0)


@triton.jit
def _src_currents(o, before, after, dh, adjoint):
    """The adjoint of the current i, and that of the sum inside the outer tanh."""
    # A tanh, had back from what it was mixed into: rounding may take it beyond 1, where 1 - tanh^2
    # would change its sign.
    mixed = (after[1] - before[1] * o[5]) * o[6]
    mixed = tl.where(mixed > 1.0, 1.0, tl.where(mixed < -1.0, -1.0, mixed))
    driven = tl.where(o[5] == 0, after[1], mixed)
    dpre = dh * (1.0 - o[5]) * (1.0 - driven * driven)
    return adjoint[0] + dpre * (1.0 - after[0] * after[0]), dpre


@triton.jit
def _src_full(o, before, after, dy, adjoint):
    dh = adjoint[1] + dy
    di, dpre = _src_currents(o, before, after, dh, adjoint)
    h = before[1]
    sigma = _src_gate(h, o)
    z_s = sigma * o[8] + o[7]
    through_gate = adjoint[2] * (before[2] - h) * (sigma * (1.0 - sigma)) * (o[8] * o[9])
    adjoint_h = dh * o[5] + dpre * o[3] + adjoint[2] * (1.0 - z_s) + through_gate
    return (di * o[0], adjoint_h, adjoint[2] * z_s + dpre * o[4]), (di,), (dpre,)


@triton.jit
def _src_detached(o, before, after, dy, adjoint):
    di, dpre = _src_currents(o, before, after, adjoint[1] + dy, adjoint)
    return (di * o[0], tl.zeros_like(di), tl.zeros_like(di)), (di,), (dpre,)


@triton.jit
def src_pullback(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    return _src_full(o, before, after, tl.where(after[1] > 0, dy, 0.0), adjoint)


@triton.jit
def src_detached_pullback(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    return _src_detached(o, before, after, dy, adjoint)  # ReLU's derivative is 1 everywhere


@triton.jit
def src_spikes_pullback(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    return _src_full(o, before, after, dy * _spike_slope(after[1] - o[10], o[12], KIND), adjoint)


@triton.jit
def src_spikes_detached_pullback(x, p, o, before, after, dy, adjoint, KIND: tl.constexpr):
    slope = _spike_slope(after[1] - o[10], o[12], KIND)
    return _src_detached(o, before, after, dy * slope, adjoint)


def _src_numbers(options: list[float]) -> tuple[float, ...]:
    """(leak, rho, 1/rho, r, r_s, z, 1/(1-z), z_hyp, z_dep - z_hyp, slope, threshold, midpoint,
    width)
    """
    leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint, threshold, width = options[1:12]
    constants = leak, rho, 1 / rho, r, r_s, z, 1 / (1 - z), z_hyp, z_dep - z_hyp
    return *constants, slope, threshold, midpoint, width


def _src_kind(options: list[float]) -> int:
    return int(options[12])


_SRC = StepCell(src_step_relu, src_pullback, src_save, 3, 3, False, False, _src_numbers, _src_kind)
_DETACHED = {"save": src_save_detached, "saved": 2}

CELLS = {
    "src": _SRC,
    "src_detached": _SRC._replace(pullback=src_detached_pullback, **_DETACHED),
    "src_spikes": _SRC._replace(step=src_step_spikes, pullback=src_spikes_pullback),
    "src_spikes_detached": _SRC._replace(
        step=src_step_spikes, pullback=src_spikes_detached_pullback, **_DETACHED
    ),
}
