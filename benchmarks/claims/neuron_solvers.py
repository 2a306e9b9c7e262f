"""Conductance-based neurons beside an adaptive solver of high accuracy: SciPy's LSODA."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from lrnn_kernels import neurons as package

from . import neurons, progress
from .claim import Claim, Plain, of
from .neuron_peers.scipy_solvers import crossings, derivative, jit

PARTS, PART = 8, 25  # runs, and neurons of each
T, DISCARD = 6000.0, 3000.0
TOLERANCE, SAMPLED = 1e-8, 0.05  # of LSODA; ms, at which it gives V
#: What the product takes by default, in the dtype that it takes by default.
DT = 0.025


def settings(quick: bool) -> list[Plain]:
    return [
        {"part": part, "neurons": 3 if quick else PART} for part in range(1 if quick else PARTS)
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Some neurons of the population, by the product and by LSODA."""
    from scipy.integrate import odeint

    first, count = setting["part"] * PART, setting["neurons"]
    g = neurons.population("stg", "dic", PARTS * PART, seed)[first : first + count]
    spikes, _, _ = package.simulate("stg", g, T, dt=DT, discard=DISCARD, backend="cpu")
    slope, t = derivative(jit()), np.arange(0.0, T + SAMPLED / 2, SAMPLED)
    start = package.STG.start(1)[0].double().numpy()
    exact, before = [], time.process_time()
    for i, row in enumerate(g.double().numpy()):
        v = odeint(slope, start, t, args=(row,), rtol=TOLERANCE, atol=TOLERANCE, mxstep=10**6)[:, 0]
        exact.append(crossings(t, v, DISCARD))
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
