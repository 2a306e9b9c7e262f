"""The neuron of the stomatogastric ganglion of Liu, Golowasch, Marder and Abbott, with its calcium;
csrc/neurons/stg.h.

Channels Na, Kd, CaT, CaS, KCa, A, H, leak; states V, m_Na, h_Na, m_Kd, m_CaT, h_CaT, m_CaS, h_CaS,
m_KCa, m_A, h_A, m_H, Ca.
"""

import triton
import triton.language as tl  # noqa: F401  Triton's interpreter looks for it

from ..membrane import exp_of, line, relaxed, relaxed_voltage, seen_voltage, sigmoid_gate, within
from ..neuron import Neuron


@triton.jit
def _stg_gates(v, x, calcium, time):
    q = exp_of(v, -10.0, 62.9) + 1.0  # tau of h_Na is the product of two
    s = exp_of(v, 3.6, 34.9) + 1.0
    h_na = relaxed(x[1], 1.0, exp_of(v, 5.18, 48.9) + 1.0, line(s, 0.67 * 1.5, 0.67), q * s, time)
    s = exp_of(v, 10.0, 27.0) + exp_of(v, -13.0, 70.0)
    m_cas = relaxed(x[5], 1.0, exp_of(v, -8.1, 33.0) + 1.0, line(s, 1.4, 7.0), s, time)
    s = exp_of(v, 9.0, 55.0) + exp_of(v, -16.0, 65.0)
    h_cas = relaxed(x[6], 1.0, exp_of(v, 6.2, 60.0) + 1.0, line(s, 60.0, 150.0), s, time)
    s = exp_of(v, -22.7, 46.0) + 1.0
    q = (exp_of(v, -12.6, 28.3) + 1.0) * (calcium + 3.0)
    m_kca = relaxed(x[7], calcium, q, line(s, 90.3, -75.1), s, time)
    return (
        sigmoid_gate(x[0], v, -5.29, 25.5, 1.32, -1.26, -25.0, 120.0, time),
        h_na,
        sigmoid_gate(x[2], v, -11.8, 12.3, 7.2, -6.4, -19.2, 28.3, time),
        sigmoid_gate(x[3], v, -7.2, 27.1, 21.7, -21.3, -20.5, 68.1, time),
        sigmoid_gate(x[4], v, 5.5, 32.1, 105.0, -89.8, -16.9, 55.0, time),
        m_cas,
        h_cas,
        m_kca,
        sigmoid_gate(x[8], v, -8.7, 27.2, 11.6, -10.4, -15.2, 32.9, time),
        sigmoid_gate(x[9], v, 4.9, 56.9, 38.6, -29.2, -26.5, 38.9, time),
        sigmoid_gate(x[10], v, 6.0, 70.0, 272.0, 1499.0, -8.73, 42.2, time),
    )


@triton.jit
def stg_step(g, current, state, E, time):
    v = state[0]
    calcium = state[12]
    x = _stg_gates(within(v), state[1:12], calcium, time)
    na = g[0] * (x[0] * x[0]) * (x[0] * x[1])
    ca = g[2] * (x[3] * x[3]) * (x[3] * x[4]) + g[3] * (x[5] * x[5]) * (x[5] * x[6])
    kd = x[2] * x[2]
    kca = x[7] * x[7]
    k = g[1] * (kd * kd) + g[4] * (kca * kca) + g[5] * (x[8] * x[8]) * (x[8] * x[9])
    h = g[6] * x[10]
    leak = g[7]
    J = (ca - k) * 80.0 + ((na - leak) * 50.0 + (current - h * 20.0))
    after, E = relaxed_voltage(v, (na + ca) + (k + (h + leak)), J, E, time)
    influx = ca * (80.0 - seen_voltage(v, after, time))  # of calcium, as a current
    calcium = calcium + (influx * 0.94 + 0.05 - calcium) * time.share
    return (after,) + x + (calcium,), E


NEURON = Neuron(stg_step, channels=8, states=13, tau=20.0)
