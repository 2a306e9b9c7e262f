"""JAX, all steps in one jitted fori_loop: one neuron's step, vmapped; and its gates as one array.

Both take the division of a gate's x_inf and of its tau at once, and a polynomial for 1 - exp(-h)
where h = dt/tau is small: in JAX, too, that is 1.3 times as fast as the equations as they are
printed. Of one array, XLA makes a few loops a step in place of dozens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .peer import DT, SLOTS, Counts, Peer


def _share(h):
    """1 - exp(-h) for h < 0.5, to 1e-8."""
    return h * (
        0.9999999227842487
        + h
        * (
            -0.4999924999902157
            + h * (0.16654816208091394 + h * (-0.041001306388606266 + h * 0.006771062079602383))
        )
    )


def _membrane(jnp, v, x, ca, g):
    """V and Ca after a step, by gates x after it."""
    kd, kca = x[2] * x[2], x[7] * x[7]
    na = g[0] * (x[0] * x[0]) * (x[0] * x[1])
    k = g[1] * (kd * kd) + g[4] * (kca * kca) + g[5] * (x[8] * x[8]) * (x[8] * x[9])
    calcium = g[2] * (x[3] * x[3]) * (x[3] * x[4]) + g[3] * (x[5] * x[5]) * (x[5] * x[6])
    h = g[6] * x[10]
    total = na + k + calcium + h + g[7]
    end = (50 * na - 80 * k + 80 * calcium - 20 * h - 50 * g[7]) / total
    influx = 0.94 * calcium * (80 - v)
    ca = ca + (influx + 0.05 - ca) * (1 - np.exp(-DT / 20))
    return end + (v - end) * jnp.exp(-DT * total), ca


def _vmapped(jax) -> Callable:
    jnp = jax.numpy

    def step(v, x, ca, g):
        def e(c, d):
            return jnp.exp((v + d) * (1 / c))

        def gate(x, c, d, n, over, scale=1.0):  # x_inf = scale / (1 + e(c, d)), tau = n / over
            q = 1 + e(c, d)
            r = 1 / (q * n)
            return x + _share(DT * over * q * r) * (n * r * scale - x)

        def usual(x, c, d, a, b, c_tau, d_tau, scale=1.0):
            q = 1 + e(c_tau, d_tau)
            return gate(x, c, d, a * q + b, q, scale)

        q, s = 1 + e(-10, 62.9), 1 + e(3.6, 34.9)
        m, h = e(10, 27) + e(-13, 70), e(9, 55) + e(-16, 65)
        x = [
            usual(x[0], -5.29, 25.5, 1.32, -1.26, -25, 120),
            gate(x[1], 5.18, 48.9, 1.005 * s + 0.67, q * s),
            usual(x[2], -11.8, 12.3, 7.2, -6.4, -19.2, 28.3),
            usual(x[3], -7.2, 27.1, 21.7, -21.3, -20.5, 68.1),
            usual(x[4], 5.5, 32.1, 105, -89.8, -16.9, 55),
            gate(x[5], -8.1, 33, 1.4 * m + 7, m),
            gate(x[6], 6.2, 60, 60 * h + 150, h),
            usual(x[7], -12.6, 28.3, 90.3, -75.1, -22.7, 46, ca / (ca + 3)),
            usual(x[8], -8.7, 27.2, 11.6, -10.4, -15.2, 32.9),
            usual(x[9], 4.9, 56.9, 38.6, -29.2, -26.5, 38.9),
            usual(x[10], 6, 70, 272, 1499, -8.73, 42.2),
        ]
        v, ca = _membrane(jnp, v, x, ca, g)
        return v, x, ca

    return jax.vmap(step, in_axes=(0, 0, 0, 1))


#: Rows in which gates are stacked: those whose tau is a + b / (1 + e), then h_Na, m_CaS, h_CaS.
_ROWS = (0, 2, 3, 4, 7, 8, 9, 10, 1, 5, 6)
_STEADY = (
    (-5.29, 5.18, -11.8, -7.2, 5.5, -8.1, 6.2, -12.6, -8.7, 4.9, 6),
    (25.5, 48.9, 12.3, 27.1, 32.1, 33, 60, 28.3, 27.2, 56.9, 70),
)
_TAU = (  # a, b, c, d
    (1.32, 7.2, 21.7, 105, 90.3, 11.6, 38.6, 272),
    (-1.26, -6.4, -21.3, -89.8, -75.1, -10.4, -29.2, 1499),
    (-25, -19.2, -20.5, -16.9, -22.7, -15.2, -26.5, -8.73),
    (120, 28.3, 68.1, 55, 46, 32.9, 38.9, 42.2),
)
_OTHERS = (-10, 3.6, 10, -13, 9, -16), (62.9, 34.9, 27, 70, 55, 65)


def _stacked(jax) -> Callable:
    jnp = jax.numpy
    c, d = (np.concatenate([np.take(_STEADY[i], _ROWS), _TAU[2 + i], _OTHERS[i]]) for i in (0, 1))
    c, d = np.float32(1 / c)[:, None], np.float32(d)[:, None]
    a, b = (np.float32(x)[:, None] for x in _TAU[:2])
    back = np.argsort(_ROWS)

    def step(v, x, ca, g):
        e = jnp.exp((v + d) * c)
        q, usual, s, u = 1 + e[:11], 1 + e[11:19], 1 + e[19:21], e[21:]
        m, h = u[0:1] + u[1:2], u[2:3] + u[3:4]
        n = jnp.concatenate([a * usual + b, 1.005 * s[1:] + 0.67, 1.4 * m + 7, 60 * h + 150])
        over = jnp.concatenate([usual, s[:1] * s[1:], m, h])
        r = 1 / (q * n)
        ones = jnp.ones((6, len(v)), jnp.float32)
        scale = jnp.concatenate([ones[:4], (ca / (ca + 3))[None], ones])
        x = x + _share(DT * over * q * r) * (n * r * scale - x)
        v, ca = _membrane(jnp, v, [x[row] for row in back], ca, g)
        return v, x, ca

    return step


def _prepare(
    g: np.ndarray,
    start: np.ndarray,
    T: float,
    discard: float,
    *,
    stacked: bool = False,
    times_too: bool = False,
) -> Callable[[], Counts]:
    import jax
    import jax.numpy as jnp

    step = (_stacked if stacked else _vmapped)(jax)
    steps, first, neurons = round(T / DT), round(discard / DT), np.arange(len(g))

    def advance(n, carry, g):
        v, x, ca, above, count, opened, times = carry
        after, x, ca = step(v, x, ca, g)
        rises = ~above & (after >= 10)
        opened = jnp.where(rises, n + (10 - v) / (after - v), opened)
        counts = above & (after < 0) & (opened >= first)
        if times_too:
            place = jnp.where(counts, count, SLOTS)
            times = times.at[neurons, place].set(opened * DT, mode="drop")
        above = jnp.where(above, after >= 0, rises)
        return after, x, ca, above, count + counts, opened, times

    @jax.jit
    def run(g):
        B = g.shape[1]
        of = jnp.zeros(B, jnp.float32)
        x = [of + gate for gate in start[1:12]]
        x = jnp.stack([x[row] for row in _ROWS]) if stacked else x
        times = jnp.zeros((B, SLOTS if times_too else 0), jnp.float32)
        carry = (of + start[0], x, of + start[12], of > 0, of.astype(int), of, times)
        carry = jax.lax.fori_loop(0, steps, lambda n, carry: advance(n, carry, g), carry)
        return carry[4], carry[6]

    on = jax.device_put(np.ascontiguousarray(g.T, np.float32))
    compiled = run.lower(on).compile()
    return lambda: np.asarray(jax.block_until_ready(compiled(on))[0])


def _peer(name: str, sizes: tuple[int, ...], goal: float | None = None, **how: bool) -> Peer:
    return Peer(
        name=name,
        packages=("jax",),
        prepare=lambda *given: _prepare(*given, **how),
        sizes=sizes,
        goal=goal,
    )


PEERS = (
    _peer("JAX, vmap, counts alone", (64, 1024), 6.0),
    _peer("JAX, vmap, spike times", (1024,), 6.0, times_too=True),
    _peer("JAX, stacked gates, counts alone", (64, 1024), 6.0, stacked=True),
    _peer("JAX, stacked gates, spike times", (1024,), 6.0, stacked=True, times_too=True),
)
