"""numba, as LLVM vectorizes it: 64 neurons in the lanes of short loops, a few arrays in each, with
an exponential of its own and one division a gate.

In one loop over all that a step does nothing is vectorized: any two of its arrays might be the same
memory. numba's default at a division by zero is an exception, which is a branch in every loop; and
its ``fastmath=True`` would cancel the addition by which ``_exp`` rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import log

import numpy as np

from .peer import DT, SLOTS, Counts, Peer

LANES = 64
_FAST = {"nnan", "ninf", "nsz", "arcp", "contract", "afn"}  # all but reassociation
_LOG2E = 1 / log(2)


def _cast():
    """numba's way to LLVM's bitcast of an int32 to a float32."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def as_float(_typing, x):
        def code(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], ir.FloatType())

        return types.float32(types.int32), code

    return as_float


@cache
def _compile() -> Callable:
    import numba

    jit = numba.njit(fastmath=_FAST, error_model="numpy")
    within = numba.njit(fastmath=_FAST, error_model="numpy", inline="always")
    as_float, real = _cast(), np.float32
    one, dt = real(1), real(DT)
    p1, p2, p3, p4, p5 = (
        real(x) for x in (0.693146944, 0.2402212024, 0.0555071346, 0.009675541, 0.0013276467)
    )
    k1, k2, k3, k4, k5 = (
        real(x)
        for x in (
            0.9999999227842487,
            -0.4999924999902157,
            0.16654816208091394,
            -0.041001306388606266,
            0.006771062079602383,
        )
    )
    t1, t2, t3 = (real(x) for x in (0.9999977908602764, -0.4996714102561782, 0.15934406403368698))
    least, half = real(-126), real(0.5)

    @within
    def exp2(y):
        n = np.floor(y + half)
        f = y - n
        p = one + f * (p1 + f * (p2 + f * (p3 + f * (p4 + f * p5))))
        return p * as_float((np.int32(n) + np.int32(127)) << np.int32(23))

    @within
    def e(v, c, d):  # exp((v + d) / c), as c = log2(e) / c and d = d log2(e) / c
        return exp2(v * c + d)

    @within
    def short(h):
        return h * (t1 + h * (t2 + h * t3))

    @within
    def long(h):
        return h * (k1 + h * (k2 + h * (k3 + h * (k4 + h * k5))))

    def pair(c, d):
        return real(_LOG2E / c), real(d * _LOG2E / c)

    def usual(c_inf, d_inf, a, b, c_tau, d_tau, share=short):
        """A loop over the lanes of one gate, x_inf = 1 / q, tau = n / s."""
        (c0, d0), (c1, d1), a, b = pair(c_inf, d_inf), pair(c_tau, d_tau), real(a), real(b)

        @jit
        def relax(x, v):
            for i in range(LANES):
                q, s = one + e(v[i], c0, d0), one + e(v[i], c1, d1)
                n = a * s + b
                r = one / (q * n)
                x[i] += share(dt * s * q * r) * (n * r - x[i])

        return relax

    def two(c_inf, d_inf, a, b, first, second):
        """... of a gate whose tau is a + b / (e + e)."""
        (c0, d0), (c1, d1), (c2, d2) = pair(c_inf, d_inf), pair(*first), pair(*second)
        a, b = real(a), real(b)

        @jit
        def relax(x, v):
            for i in range(LANES):
                q, s = one + e(v[i], c0, d0), e(v[i], c1, d1) + e(v[i], c2, d2)
                n = a * s + b
                r = one / (q * n)
                x[i] += short(dt * s * q * r) * (n * r - x[i])

        return relax

    (c0, d0), (c1, d1), (c2, d2) = pair(5.18, 48.9), pair(-10, 62.9), pair(3.6, 34.9)
    a0, b0 = real(1.005), real(0.67)

    @jit
    def relax_h_na(x, v):
        for i in range(LANES):
            q, s = one + e(v[i], c0, d0), one + e(v[i], c2, d2)
            n, s = a0 * s + b0, s * (one + e(v[i], c1, d1))
            r = one / (q * n)
            x[i] += short(dt * s * q * r) * (n * r - x[i])

    (c3, d3), (c4, d4) = pair(-12.6, 28.3), pair(-22.7, 46)
    a1, b1, three = real(90.3), real(-75.1), real(3)

    @jit
    def relax_m_kca(x, v, ca):
        for i in range(LANES):
            q, s = one + e(v[i], c3, d3), one + e(v[i], c4, d4)
            q = q * (ca[i] + three)
            n = a1 * s + b1
            r = one / (q * n)
            x[i] += short(dt * s * q * r) * (n * r * ca[i] - x[i])

    @jit
    def sodium(g, m, h, out):
        for i in range(LANES):
            out[i] = g[i] * (m[i] * m[i]) * (m[i] * h[i])

    @jit
    def add_sodium(g, m, h, out):
        for i in range(LANES):
            out[i] += g[i] * (m[i] * m[i]) * (m[i] * h[i])

    @jit
    def add_potassium(g, m, out):
        for i in range(LANES):
            square = m[i] * m[i]
            out[i] += g[i] * (square * square)

    r50, r80, r20 = real(50), real(80), real(20)

    @jit
    def membrane(na, k, calcium, g_h, m_h, leak, v, after):
        for i in range(LANES):
            h = g_h[i] * m_h[i]
            total = na[i] + k[i] + calcium[i] + h + leak[i]
            end = (r50 * (na[i] - leak[i]) + r80 * (calcium[i] - k[i]) - r20 * h) / total
            y = total * real(-DT * _LOG2E)
            after[i] = end + (v[i] - end) * exp2(y if y > least else least)

    share, rest, r094 = real(-np.expm1(-DT / 20)), real(0.05), real(0.94)

    @jit
    def concentrate(calcium, v, ca):
        for i in range(LANES):
            ca[i] += (r094 * calcium[i] * (r80 - v[i]) + rest - ca[i]) * share

    @jit
    def crossed(after, threshold, above):
        """Whether a neuron has come above its threshold, or below; and V."""
        found = np.int32(0)
        for i in range(LANES):
            found |= np.int32(after[i] >= threshold[i]) ^ above[i]
        return found

    m_na = usual(-5.29, 25.5, 1.32, -1.26, -25, 120, long)
    m_kd = usual(-11.8, 12.3, 7.2, -6.4, -19.2, 28.3)
    m_cat = usual(-7.2, 27.1, 21.7, -21.3, -20.5, 68.1)
    h_cat = usual(5.5, 32.1, 105, -89.8, -16.9, 55)
    m_cas = two(-8.1, 33, 1.4, 7, (10, 27), (-13, 70))
    h_cas = two(6.2, 60, 60, 150, (9, 55), (-16, 65))
    m_a = usual(-8.7, 27.2, 11.6, -10.4, -15.2, 32.9)
    h_a = usual(4.9, 56.9, 38.6, -29.2, -26.5, 38.9)
    m_h = usual(6, 70, 272, 1499, -8.73, 42.2)

    @numba.njit(fastmath=_FAST, error_model="numpy", parallel=True)
    def run(g, start, steps, first, times, counts):  # g: (blocks, 8, LANES)
        for block in numba.prange(len(g)):
            x = np.empty((13, LANES), np.float32)
            for state in range(13):
                x[state] = start[state]
            v, ca, after = x[0], x[12], np.empty(LANES, np.float32)
            na, k, calcium = np.empty_like(v), np.empty_like(v), np.empty_like(v)
            threshold, above = np.full_like(v, 10), np.zeros(LANES, np.int32)
            opened, G = np.empty(LANES), g[block]
            for step in range(steps):
                m_na(x[1], v)
                relax_h_na(x[2], v)
                m_kd(x[3], v)
                m_cat(x[4], v)
                h_cat(x[5], v)
                m_cas(x[6], v)
                h_cas(x[7], v)
                relax_m_kca(x[8], v, ca)
                m_a(x[9], v)
                h_a(x[10], v)
                m_h(x[11], v)
                sodium(G[0], x[1], x[2], na)
                sodium(G[5], x[9], x[10], k)
                add_potassium(G[1], x[3], k)
                add_potassium(G[4], x[8], k)
                sodium(G[2], x[4], x[5], calcium)
                add_sodium(G[3], x[6], x[7], calcium)
                membrane(na, k, calcium, G[6], x[11], G[7], v, after)
                concentrate(calcium, v, ca)
                if crossed(after, threshold, above):
                    for i in range(LANES):
                        if above[i] == 0 and after[i] >= threshold[i]:
                            opened[i] = step + (10 - v[i]) / (after[i] - v[i])
                            above[i], threshold[i] = 1, 0
                        elif above[i] == 1 and after[i] < threshold[i]:
                            above[i], threshold[i] = 0, 10
                            neuron = block * LANES + i
                            if opened[i] >= first:
                                if counts[neuron] < times.shape[1]:
                                    times[neuron, counts[neuron]] = opened[i] * DT
                                counts[neuron] += 1
                v[:] = after

    return run


def _prepare(g: np.ndarray, start: np.ndarray, T: float, discard: float) -> Callable[[], Counts]:
    import numba

    numba.set_num_threads(1)
    run, B, blocks = _compile(), len(g), -(-len(g) // LANES)
    padded = np.concatenate([g, np.repeat(g[-1:], blocks * LANES - B, 0)]).astype(np.float32)
    padded = np.ascontiguousarray(padded.reshape(blocks, LANES, 8).transpose(0, 2, 1))
    start = start.astype(np.float32)
    times, counts = np.empty((blocks * LANES, SLOTS)), np.empty(blocks * LANES, np.int64)

    def call(steps: int = round(T / DT)) -> Counts:
        counts[:] = 0
        run(padded, start, steps, round(discard / DT), times, counts)
        return counts[:B].copy()

    call(0)  # compiles
    return call


PEERS = (
    Peer(
        name="numba, 64 lanes in short loops",
        packages=("numba",),
        prepare=_prepare,
        sizes=(1024,),
        goal=3.5,
    ),
)
