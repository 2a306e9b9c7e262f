"""numba, as one writes it: neurons in a prange, scalars, fast math."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp

import numpy as np

from .peer import DT, SLOTS, Counts, Peer


@cache
def _compile(real) -> Callable:
    import numba

    jit = numba.njit(fastmath=True, inline="always")
    one, dt = real(1), real(DT)

    @jit
    def s(v, c, d):
        return one / (one + exp((v + real(d)) / real(c)))

    @jit
    def relaxed(x, end, tau):
        return end + (x - end) * exp(-dt / tau)

    @numba.njit(fastmath=True, parallel=True)
    def run(g, start, steps, first, times, counts):
        for i in numba.prange(len(g)):
            v, ca = real(start[0]), real(start[12])
            m_na, h_na, m_kd = real(start[1]), real(start[2]), real(start[3])
            m_cat, h_cat, m_cas, h_cas = (
                real(start[4]),
                real(start[5]),
                real(start[6]),
                real(start[7]),
            )
            m_kca, m_a, h_a, m_h = real(start[8]), real(start[9]), real(start[10]), real(start[11])
            above, count, opened = False, 0, 0.0
            for n in range(steps):
                m_na = relaxed(m_na, s(v, -5.29, 25.5), real(1.32) - real(1.26) * s(v, -25, 120))
                h_na = relaxed(
                    h_na,
                    s(v, 5.18, 48.9),
                    real(0.67) * s(v, -10, 62.9) * (real(1.5) + s(v, 3.6, 34.9)),
                )
                m_kd = relaxed(m_kd, s(v, -11.8, 12.3), real(7.2) - real(6.4) * s(v, -19.2, 28.3))
                m_cat = relaxed(
                    m_cat, s(v, -7.2, 27.1), real(21.7) - real(21.3) * s(v, -20.5, 68.1)
                )
                h_cat = relaxed(h_cat, s(v, 5.5, 32.1), real(105) - real(89.8) * s(v, -16.9, 55))
                m_cas = relaxed(
                    m_cas,
                    s(v, -8.1, 33),
                    real(1.4)
                    + real(7) / (exp((v + real(27)) / real(10)) + exp((v + real(70)) / real(-13))),
                )
                h_cas = relaxed(
                    h_cas,
                    s(v, 6.2, 60),
                    real(60)
                    + real(150) / (exp((v + real(55)) / real(9)) + exp((v + real(65)) / real(-16))),
                )
                m_kca = relaxed(
                    m_kca,
                    ca / (ca + real(3)) * s(v, -12.6, 28.3),
                    real(90.3) - real(75.1) * s(v, -22.7, 46),
                )
                m_a = relaxed(m_a, s(v, -8.7, 27.2), real(11.6) - real(10.4) * s(v, -15.2, 32.9))
                h_a = relaxed(h_a, s(v, 4.9, 56.9), real(38.6) - real(29.2) * s(v, -26.5, 38.9))
                m_h = relaxed(m_h, s(v, 6, 70), real(272) + real(1499) * s(v, -8.73, 42.2))
                na = g[i, 0] * m_na**3 * h_na
                k = g[i, 1] * m_kd**4 + g[i, 4] * m_kca**4 + g[i, 5] * m_a**3 * h_a
                calcium = g[i, 2] * m_cat**3 * h_cat + g[i, 3] * m_cas**3 * h_cas
                h = g[i, 6] * m_h
                total = na + k + calcium + h + g[i, 7]
                end = (real(50) * (na - g[i, 7]) + real(80) * (calcium - k) - real(20) * h) / total
                influx = real(0.94) * calcium * (real(80) - v)
                ca = relaxed(ca, influx + real(0.05), real(20))
                after = end + (v - end) * exp(-dt * total)
                if not above and after >= 10:
                    above, opened = True, n + (10 - v) / (after - v)
                elif above and after < 0:
                    above = False
                    if opened >= first:
                        if count < times.shape[1]:
                            times[i, count] = opened * DT
                        count += 1
                v = after
            counts[i] = count

    return run


def _prepare(
    g: np.ndarray, start: np.ndarray, T: float, discard: float, real=np.float32
) -> Callable[[], Counts]:
    import numba

    numba.set_num_threads(1)
    run, g, start = _compile(real), g.astype(real), start.astype(real)
    times, counts = np.empty((len(g), SLOTS)), np.empty(len(g), np.int64)

    def call(steps: int = round(T / DT)) -> Counts:
        run(g, start, steps, round(discard / DT), times, counts)
        return counts.copy()

    call(0)  # compiles
    return call


PEERS = (
    Peer(
        name="numba, natural",
        packages=("numba",),
        prepare=_prepare,
        sizes=(256,),
        goal=25.0,
    ),
)
