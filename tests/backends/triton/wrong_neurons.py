"""Steps of Triton neurons with one mistake each, which test_wrong_neurons.py must see caught. To
import it needs triton."""

import triton
import triton.language as tl  # noqa: F401  Triton's interpreter looks for it

from lrnn_kernels.backends import triton as triton_backend

assert not triton_backend.failure()

from lrnn_kernels.triton_kernels.neurons.da import da_step  # noqa: E402
from lrnn_kernels.triton_kernels.neurons.hh import hh_step  # noqa: E402
from lrnn_kernels.triton_kernels.neurons.stg import stg_step  # noqa: E402


@triton.jit
def old_voltage(g, current, state, E, time):
    after, E = stg_step(g, current, state, E, time)
    ca = g[2] * (after[4] * after[4]) * (after[4] * after[5])
    ca += g[3] * (after[6] * after[6]) * (after[6] * after[7])
    calcium = after[12] + ca * (after[0] - state[0]) * 0.5 * 0.94 * time.share
    return after[0:12] + (calcium,), E


@triton.jit
def constant_E(g, current, state, E, time):
    return hh_step(g, current, state, E * float("nan"), time)


@triton.jit
def slow_gate(g, current, state, E, time):
    after, E = da_step(g, current, state, E, time)
    x = state[3] + (after[3] - state[3]) * 0.999
    return after[0:3] + (x,) + after[4:8], E


@triton.jit
def swapped_pair(g, current, state, E, time):
    after, E = da_step(g, current, state, E, time)
    return after[0:6] + (after[7], after[6]), E


@triton.jit
def no_current(g, current, state, E, time):
    return hh_step(g, current * 0.0, state, E, time)


@triton.jit
def leaky(g, current, state, E, time):
    return stg_step(g[0:7] + (g[7] * 1.0001,), current, state, E, time)
