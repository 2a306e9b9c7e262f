"""Conductance-based neurons beside an adaptive solver of high accuracy: SciPy's LSODA."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from math import exp
from pathlib import Path

import numpy as np

from lrnn_kernels import neurons as package

from . import neurons, progress
from .claim import Claim, Plain, of

PARTS, PART = 8, 25  # runs, and neurons of each
T, DISCARD = 6000.0, 3000.0
TOLERANCE, SAMPLED = 1e-8, 0.05  # of LSODA; ms, at which it gives V
#: What the product takes by default, in the dtype that it takes by default.
DT = 0.025


def settings(quick: bool) -> list[Plain]:
    return [
        {"part": part, "neurons": 3 if quick else PART} for part in range(1 if quick else PARTS)
    ]


def _boltzmann(v: float, c: float, d: float) -> float:
    return 1.0 / (1.0 + exp((v + d) / c))


def _derivative(jit: Callable) -> Callable:
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


def _jit() -> Callable:
    """numba's, which makes this ten times as fast, or none."""
    try:
        from numba import njit
    except ImportError:
        return lambda function: function
    return njit


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Some neurons of the population, by the product and by LSODA."""
    from scipy.integrate import odeint

    first, count = setting["part"] * PART, setting["neurons"]
    g = neurons.population("stg", "dic", PARTS * PART, seed)[first : first + count]
    spikes, _, _ = package.simulate("stg", g, T, dt=DT, discard=DISCARD, backend="cpu")
    derivative, t = _derivative(_jit()), np.arange(0.0, T + SAMPLED / 2, SAMPLED)
    start = package.STG.start(1)[0].double().numpy()
    exact, before = [], time.process_time()
    for i, row in enumerate(g.double().numpy()):
        v = odeint(derivative, start, t, args=(row,), rtol=TOLERANCE, atol=TOLERANCE, mxstep=10**6)[
            :, 0
        ]
        exact.append(_crossings(t, v))
        progress.at((i + 1) / count)
    seconds = time.process_time() - before
    reference = package.Spikes.from_lists(exact)
    both = {
        "class": [package.firing_class(one).tolist() for one in (reference, spikes)],
        "mean": [neurons.mean_interval(one).tolist() for one in (reference, spikes)],
        "count": [one.counts.tolist() for one in (reference, spikes)],
    }
    each = [
        {name: [values[0][i], values[1][i]] for name, values in both.items()} for i in range(count)
    ]
    for one, times in zip(each, exact, strict=True):
        one["irregular"] = one["class"][0] == package.FiringClass.BURSTING and _irregular(times)
    return {"each": each, "solver_seconds": seconds}


def _crossings(t: np.ndarray, v: np.ndarray) -> list[float]:
    """Times from DISCARD on at which V passes 10 mV upward, and comes back below 0 mV."""
    found, opened = [], None
    crossing = np.flatnonzero((v[:-1] < 10) & (v[1:] >= 10))
    falls = np.flatnonzero((v[:-1] >= 0) & (v[1:] < 0))
    for up in crossing:
        time_up = t[up] + (10 - v[up]) / (v[up + 1] - v[up]) * (t[up + 1] - t[up])
        after = falls[falls > up]
        if len(after) and (opened is None or up > opened):
            opened = after[0]
            if time_up >= DISCARD:
                found.append(float(time_up))
    return found


def _irregular(times: list[float]) -> bool:
    """Whether intervals between bursts differ by more than a tenth."""
    isi = np.diff(times)
    starts = np.array(times[1:])[isi > (isi.max() + isi.min()) / 2]
    between = np.diff(starts)
    return bool(len(between) > 1 and between.std() > 0.1 * between.mean())


def _errors(each: list[Plain]) -> list[float]:
    """Of the mean intervals of those that spike, %, the least first."""
    means = [one["mean"] for one in each if all(mean > 0 for mean in one["mean"])]
    return sorted(abs(100 * (ours / theirs - 1)) for theirs, ours in means)


def _all(found: list[Plain]) -> list[Plain]:
    return [one for run in found for one in run["each"]]


def table(found: list[Plain]) -> list[list[str]]:
    each = _all(found)
    regular = [one for one in each if not one["irregular"]]
    seconds = sum(run["solver_seconds"] for run in found) / len(each)
    rows = []
    for name, some in (("all", each), ("without irregular bursters", regular)):
        errors = _errors(some)
        p90 = errors[int(0.9 * (len(errors) - 1))]
        same = [[pair[0] == pair[1] for pair in (one["class"], one["count"])] for one in some]
        rows.append(
            [
                name,
                f"{statistics.median(errors):.3f}",
                f"{p90:.3f}",
                of(sum(not agrees for agrees, _ in same), len(some)),
                of(sum(agrees for _, agrees in same), len(some)),
                f"{seconds:.1f}",
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    regular = [one for one in _all(found) if not one["irregular"]]
    for name, some in (("all", _all(found)), ("without irregular bursters", regular)):
        errors = np.maximum(_errors(some), 1e-5)
        axes.plot(errors, (np.arange(len(errors)) + 1) / len(errors), label=name)
    axes.set_xscale("log")
    axes.set_xlabel("error of a neuron's mean interval against LSODA at 1e-8, %")
    axes.set_ylabel("share of neurons with less")
    axes.grid(alpha=0.3)
    axes.legend()


CLAIM = Claim(
    name="neurons-lsoda",
    says="STG neurons that are modulated all over the published range, 6 s each, by the package "
    "in float32 at dt 0.025 ms, and by SciPy's LSODA at tolerances of 1e-8 (right-hand side "
    "compiled by numba, where it is installed): mean intervals between spikes over the last 3 s, "
    "and the class of firing. Irregular bursters are those whose time from burst to burst varies "
    "by more than a tenth.",
    settings=settings,
    run=run,
    header=(
        "neurons",
        "error of mean ISI, median %",
        "90 %",
        "other class",
        "same count",
        "LSODA, CPU s a neuron",
    ),
    table=table,
    plot=plot,
    seeds=1,
)
