"""The squid's giant axon of Hodgkin and Huxley; csrc/neurons/hh.h.

Channels Na, K, leak; states V, m_Na, h_Na, n_K.
"""

import triton
import triton.language as tl  # noqa: F401  Triton's interpreter looks for it

from ..membrane import exp_of, linear_over_exp, relaxed, relaxed_voltage, within
from ..neuron import Neuron


@triton.jit
def _hh_gates(v, x, time):
    """From the rates alpha and beta: x_inf = alpha / (alpha + beta), tau = 1 / (alpha + beta)."""
    y, w = linear_over_exp(v, -10.0, 40.0)
    s = y + w * exp_of(v, -18.0, 65.0) * 4.0
    m = relaxed(x[0], y, s, w, s, time)
    u = exp_of(v, -10.0, 35.0) + 1.0
    a = u * exp_of(v, -20.0, 65.0) * 0.07
    h = relaxed(x[1], a, a + 1.0, u, a + 1.0, time)
    y, w = linear_over_exp(v, -10.0, 55.0)
    a = y * 0.1
    s = a + w * exp_of(v, -80.0, 65.0) * 0.125
    return m, h, relaxed(x[2], a, s, w, s, time)


@triton.jit
def hh_step(g, current, state, E, time):
    v = state[0]
    m, h, n = _hh_gates(within(v), (state[1], state[2], state[3]), time)
    na = g[0] * (m * m) * (m * h)
    k = g[1] * ((n * n) * (n * n))
    leak = g[2]
    J = na * 50.0 - k * 77.0 + (current - leak * 54.387)
    after, E = relaxed_voltage(v, na + (k + leak), J, E, time)
    return (after, m, h, n), E


NEURON = Neuron(hh_step, channels=3, states=4)
