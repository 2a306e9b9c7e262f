"""What the equations of neurons are made of, and the scheme that takes them a step further; as
csrc/neurons/arithmetic.h and scheme.h, without tables.

Gates relax by the voltage before the step, in dt / (tau + dt/2) of their way, then the voltage by
the gates after it, to a reversal potential that moves linearly in time. A gate has x_inf = p / q
and tau = n / d, so that it divides once. As the scheme is written, exponential Euler, gates relax
in 1 - exp(-dt/tau) of their way, and the reversal potential does not move.

Nothing is contracted behind the source's back, see engines/population.py: what is fused says fma.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .elementary import fma


class Time(NamedTuple):
    """The step, in the type of the call."""

    dt: Any
    per_dt: Any  # 1 / dt
    share: Any  # 1 - exp(-dt / tau) of the model's own states
    part: Any  # how much of the step an implicit rule takes at its end: all as written, else half
    written: Any  # (); (True,) as the scheme is written


@triton.jit
def line(x, a: tl.constexpr, b: tl.constexpr):
    """a x + b."""
    return tl.fma(x, tl.full(x.shape, a, x.dtype), tl.full(x.shape, b, x.dtype))


@triton.jit
def exp_of(v, c: tl.constexpr, d: tl.constexpr):
    """exp((v + d) / c), for a voltage from ``within``."""
    scale = tl.full(v.shape, 1.44269504088896340736 / c, v.dtype)
    return tl.exp2(tl.fma(v, scale, tl.full(v.shape, d * 1.44269504088896340736 / c, v.dtype)))


@triton.jit
def within(v):
    """The voltage that gates and rates see: beyond they have long saturated, and exponentials stay
    within the numbers' range."""
    most = 300.0 if v.dtype == tl.float64 else 120.0
    return tl.minimum(tl.maximum(v, -most), most)


@triton.jit
def linear_over_exp(v, c: tl.constexpr, d: tl.constexpr):
    """y / (exp(y) - 1) of y = (v + d) / c, as a quotient, at whose removable singularity both
    parts are as for small y."""
    y = line(v, 1 / c, d / c)
    small = tl.abs(y) < (1e-4 if v.dtype == tl.float64 else 1e-2)
    under = tl.where(small, fma(y, line(y, 1 / 6, 0.5), 1.0), exp_of(v, c, d) - 1.0)
    return tl.where(small, 1.0, y), under


@triton.jit
def saturation(z):
    """1 - exp(-z) for z >= 0 of any size, to the last digits of z where it is small."""
    y = z * -1.44269504088896340736
    if z.dtype == tl.float64:
        y = tl.maximum(y, -1021.0)
        n = tl.floor(y + 0.5)
        f = y - n
        power = ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
        p = line(f, 4.698439849519882e-10, 7.078254250272316e-09)
        p = fma(p, f, 1.0176357256202586e-07)
        p = fma(p, f, 1.3215405975636021e-06)
        p = fma(p, f, 1.5252738250904846e-05)
        p = fma(p, f, 1.5403530525281737e-04)
        p = fma(p, f, 1.3333558141375539e-03)
        p = fma(p, f, 9.618129107528265e-03)
        p = fma(p, f, 5.55041086648437e-02)
        p = fma(p, f, 2.402265069591036e-01)
        p = fma(p, f, 6.931471805599443e-01)
    else:
        y = tl.maximum(y, -125.0)
        n = tl.floor(y + 0.5)
        f = y - n
        power = ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
        p = line(f, 0.0013276467, 0.0096755410)
        p = fma(p, f, 0.0555071346)
        p = fma(p, f, 0.2402212024)
        p = fma(p, f, 0.6931469440)
    return tl.fma(-power, f * p, 1.0 - power)


@triton.jit
def relaxed(x, p, q, n, d, time):
    """A gate after the step."""
    if len(time.written) > 0:
        return relaxed_exactly(x, p, q, n, d, time)
    else:
        step = d * time.dt
        under = q * tl.fma(step, tl.full(step.shape, 0.5, step.dtype), n)
        return tl.fma(step * (p - q * x), 1.0 / under, x)


@triton.jit
def relaxed_exactly(x, p, q, n, d, time):
    """One whose tau may be as short as the step, by the exponential itself."""
    r = 1.0 / (q * n)
    return tl.fma(p * n * r - x, saturation(d * q * r * time.dt), x)


@triton.jit
def sigmoid_gate(
    x,
    v,
    c: tl.constexpr,
    C: tl.constexpr,
    a: tl.constexpr,
    b: tl.constexpr,
    d: tl.constexpr,
    D: tl.constexpr,
    time,
):
    """A gate after the step, of x_inf = 1 / (1 + exp((v + C) / c)) and
    tau = a + b / (1 + exp((v + D) / d))."""
    q = exp_of(v, d, D) + 1.0
    return relaxed(x, 1.0, exp_of(v, c, C) + 1.0, line(q, a, b), q, time)


@triton.jit
def relaxed_voltage(v, G, J, E, time):
    """The voltage after the step of dv/dt = J - G v, and the E that it relaxed to. w is how much of
    the last move of E it follows: 1/2 (1 + e) - (1 - e) / z with e = exp(-z), which is z^2/12 for
    small z, less than is left of a sum that rounds. Before its first step a neuron has no E."""
    r = 1.0 / G
    z = G * time.dt
    now = J * r
    k = saturation(z)
    after = tl.fma(k, now - v, v)
    if len(time.written) == 0:
        small = z < (2e-8 if v.dtype == tl.float64 else 1e-3)
        w = tl.where(small, 0.0, 1.0 - k * (r * time.per_dt + 0.5))
        after = tl.fma(w, tl.where(E == E, now - E, 0.0), after)
    return after, now


@triton.jit
def seen_voltage(v, after, time):
    """The voltage that what follows it slowly sees in a step: the mean of its ends, or the first as
    the scheme is written."""
    if len(time.written) > 0:
        return v
    else:
        return (v + after) * 0.5
