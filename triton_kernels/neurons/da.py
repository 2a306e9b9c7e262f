"""The midbrain dopaminergic neuron of Qian, Yu, Tucker, Levitan and Canavier, with the removable
singularity of its rate where the rounded constants have a pole; csrc/neurons/da.h.

Channels Na, Kd, CaL, CaN, ERG, NMDA, leak; states V, m_Na, h_Na, n_Kd, m_CaL, m_CaN, and of ERG, o
(open) and i (inactivated).
"""

import triton
import triton.language as tl  # noqa: F401  Triton's interpreter looks for it

from ..membrane import (
    exp_of,
    line,
    linear_over_exp,
    relaxed,
    relaxed_exactly,
    relaxed_voltage,
    sigmoid_gate,
    within,
)
from ..neuron import Neuron


@triton.jit
def _da_gates(v, x, time):
    # of m_Na, tau = 0.01 + 1 / (a y / (1 - exp(-y)) + b), y = 0.5052 v + 19.565
    y, w = linear_over_exp(v, -1 / 0.5052, 19.565 / 0.5052)  # of -y
    rate = y * (0.4043 / 0.5052) + w * exp_of(v, -1 / 0.007463, 0.0) * 3.0212
    m = relaxed_exactly(x[0], 1.0, exp_of(v, -9.7264, 30.0907) + 1.0, rate * 0.01 + w, rate, time)
    s = exp_of(v, -1 / 0.063213, 0.0) * 5.0754e-4 + exp_of(v, 1 / 0.13442, 0.0) * 9.7529
    h = relaxed(x[1], 1.0, exp_of(v, 10.7665, 54.0289) + 1.0, line(s, 0.4, 1.0), s, time)
    return (
        m,
        h,
        sigmoid_gate(x[2], v, -12.0, 25.0, 20.0, -18.0, -10.0, 38.0, time),
        sigmoid_gate(x[3], v, -2.0, 50.0, 30.0, -28.0, -3.0, 45.0, time),
        sigmoid_gate(x[4], v, -7.0, 30.0, 30.0, -25.0, -6.0, 55.0, time),
    )


@triton.jit
def _da_erg(v, o, i, time):
    """do/dt = a (1 - o - i) + d i - (c + b) o, di/dt = c o - d i, by the trapezoidal rule or, as
    the scheme is written, the implicit Euler rule; as increments, which round less."""
    a = exp_of(v, 1 / 0.0759, 0.0) * 0.0036
    left = exp_of(v, 1 / 0.1189, 0.0) * 0.1
    d = exp_of(v, -1 / 0.0733, 0.0) * 0.003
    c = left
    left = left + exp_of(v, -1 / 0.0671, 0.0) * 1.2523e-5
    fo = a * (1.0 - o - i) + (d * i - left * o)
    fi = c * o - d * i
    m11 = (a + left) * time.part + 1.0
    m12 = (a - d) * time.part
    m21 = c * time.part
    m22 = d * time.part + 1.0
    share = time.dt * (1.0 / (m11 * m22 + m12 * m21))
    return o + (m22 * fo - m12 * fi) * share, i + (m11 * fi + m21 * fo) * share


@triton.jit
def da_step(g, current, state, E, time):
    v = state[0]
    seen = within(v)
    x = _da_gates(seen, state[1:6], time)
    o, i = _da_erg(seen, state[6], state[7], time)
    na = g[0] * (x[0] * x[0]) * (x[0] * x[1])
    inward = na + (g[2] * (x[3] * x[3]) + g[3] * x[4])  # these have one reversal potential
    k = g[1] * (x[2] * x[2]) * x[2] + g[4] * o
    leak = g[6]
    nmda = g[5] * (1.0 / (exp_of(seen, -1 / 0.08, 0.0) * 0.14 + 1.0))  # but for magnesium
    J = inward * 60.0 - k * 85.0 + (current - leak * 50.0)
    after, E = relaxed_voltage(v, (inward + k) + (nmda + leak), J, E, time)
    return (after,) + x + (o, i), E


NEURON = Neuron(da_step, channels=7, states=8)
