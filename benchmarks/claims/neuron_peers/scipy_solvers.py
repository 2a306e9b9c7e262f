"""SciPy's adaptive solvers, a neuron at a time, right-hand side compiled by numba where it is: BDF
as the authors of the published data sets call it, whose spikes are a few others, and LSODA."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import numpy as np

from .peer import Counts, Peer

SAMPLED = 0.1  # ms, at which a solver gives V


def _boltzmann(v: float, c: float, d: float) -> float:
    return 1.0 / (1.0 + exp((v + d) / c))


def derivative(jit: Callable) -> Callable:
    """d states/dt of the STG neuron, of plain numbers: a second writing of its equations."""
    b = jit(_boltzmann)

    def derivative(y, t, g):
        v, ca = y[0], y[12]
        na = g[0] * y[1] ** 3 * y[2]
        kd = g[1] * y[3] ** 4
        cat, cas = g[2] * y[4] ** 3 * y[5], g[3] * y[6] ** 3 * y[7]
        kca, a, h = g[4] * y[8] ** 4, g[5] * y[9] ** 3 * y[10], g[6] * y[11]
        i_ca = (cat + cas) * (v - 80.0)
        d = np.empty(13)
        d[0] = -(
            na * (v - 50.0)
            + (kd + kca + a) * (v + 80.0)
            + i_ca
            + h * (v + 20.0)
            + g[7] * (v + 50.0)
        )
        d[1] = (b(v, -5.29, 25.5) - y[1]) / (1.32 - 1.26 * b(v, -25.0, 120.0))
        d[2] = (b(v, 5.18, 48.9) - y[2]) / (0.67 * b(v, -10.0, 62.9) * (1.5 + b(v, 3.6, 34.9)))
        d[3] = (b(v, -11.8, 12.3) - y[3]) / (7.2 - 6.4 * b(v, -19.2, 28.3))
        d[4] = (b(v, -7.2, 27.1) - y[4]) / (21.7 - 21.3 * b(v, -20.5, 68.1))
        d[5] = (b(v, 5.5, 32.1) - y[5]) / (105.0 - 89.8 * b(v, -16.9, 55.0))
        d[6] = (b(v, -8.1, 33.0) - y[6]) / (
            1.4 + 7.0 / (exp((v + 27.0) / 10.0) + exp(-(v + 70.0) / 13.0))
        )
        d[7] = (b(v, 6.2, 60.0) - y[7]) / (
            60.0 + 150.0 / (exp((v + 55.0) / 9.0) + exp(-(v + 65.0) / 16.0))
        )
        d[8] = (ca / (ca + 3.0) * b(v, -12.6, 28.3) - y[8]) / (90.3 - 75.1 * b(v, -22.7, 46.0))
        d[9] = (b(v, -8.7, 27.2) - y[9]) / (11.6 - 10.4 * b(v, -15.2, 32.9))
        d[10] = (b(v, 4.9, 56.9) - y[10]) / (38.6 - 29.2 * b(v, -26.5, 38.9))
        d[11] = (b(v, 6.0, 70.0) - y[11]) / (272.0 + 1499.0 * b(v, -8.73, 42.2))
        d[12] = (-0.94 * i_ca - ca + 0.05) / 20.0
        return d

    return jit(derivative)


def jit() -> Callable:
    """numba's, which makes this ten times as fast, or none."""
    try:
        from numba import njit
    except ImportError:
        return lambda function: function
    return njit(error_model="numpy")


def crossings(t: np.ndarray, v: np.ndarray, discard: float) -> list[float]:
    """Times from ``discard`` on at which V passes 10 mV upward, and comes back below 0 mV."""
    found, opened = [], None
    crossing = np.flatnonzero((v[:-1] < 10) & (v[1:] >= 10))
    falls = np.flatnonzero((v[:-1] >= 0) & (v[1:] < 0))
    for up in crossing:
        time_up = t[up] + (10 - v[up]) / (v[up + 1] - v[up]) * (t[up + 1] - t[up])
        after = falls[falls > up]
        if len(after) and (opened is None or up > opened):
            opened = after[0]
            if time_up >= discard:
                found.append(float(time_up))
    return found


def _bdf(g: np.ndarray, start: np.ndarray, T: float, discard: float) -> Callable[[], Counts]:
    from scipy.integrate import solve_ivp

    slope, t = derivative(jit()), _samples(T)
    slope(start, 0.0, g[0])  # compiles

    def of(row: np.ndarray) -> Callable:
        def f(_t, y):
            try:
                return slope(y, 0.0, row)
            except (OverflowError, ZeroDivisionError):  # of Python's floats, where a trial strays
                return np.full_like(y, np.nan)

        return f

    def call() -> Counts:
        runs = (
            solve_ivp(
                of(row),
                (0.0, T),
                start,
                method="BDF",
                t_eval=t,
                rtol=1e-2,
                atol=1e-4,
            )
            for row in g
        )
        with np.errstate(over="ignore"):  # of such a trial
            return np.array([len(crossings(run.t, run.y[0], discard)) for run in runs])

    return call


def _lsoda(g: np.ndarray, start: np.ndarray, T: float, discard: float) -> Callable[[], Counts]:
    from scipy.integrate import odeint

    slope, t = derivative(jit()), _samples(T)
    slope(start, 0.0, g[0])

    def call() -> Counts:
        runs = (
            odeint(slope, start, t, args=(row,), rtol=1e-8, atol=1e-8, mxstep=10**6) for row in g
        )
        return np.array([len(crossings(t, run[:, 0], discard)) for run in runs])

    return call


def _samples(T: float) -> np.ndarray:
    return np.linspace(0.0, T, round(T / SAMPLED) + 1)


def _solver(name: str, prepare: Callable, golden: tuple[int, int, int], goal: float | None) -> Peer:
    return Peer(
        name=name,
        packages=("scipy",),
        prepare=prepare,
        sizes=(4,),
        goal=goal,
        golden=golden,
        ms=6000.0,
        steps=False,
    )


PEERS = (
    _solver("SciPy BDF, rtol 1e-2, atol 1e-4", _bdf, (59, 111, 41), 2000.0),
    _solver("SciPy LSODA, 1e-8", _lsoda, (58, 111, 40), None),
)
