"""Populations of STG neurons beside other programs that simulate the same equations."""

from __future__ import annotations

import os
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch

from lrnn_kernels import neurons as package

from . import cpu_time, neurons, progress
from .claim import Claim, Plain
from .neuron_peers import PEERS, Peer
from .neuron_peers.peer import DT

#: Three neurons of which every program must give the spikes, in mS/cm^2 by channel.
GOLDEN = np.array(
    [
        [3949.31865, 173.951244, 4.85775179, 21.3629342]
        + [71.512016, 278.628387, 0.305254167, 0.00696430553],
        [7917.8924, 116.54848, 5.046727, 60.678291]
        + [174.92631, 513.28266, 0.40773444, 0.011287525],
        [8684.4932, 128.40515, 4.6434636, 15.98506]
        + [191.81908, 621.82036, 0.45043144, 0.01359243],
    ]
)
PERIOD = 6000.0, 3000.0  # ms that they are simulated, and dropped
ROUNDS = 5
#: What packages read when they are imported. Threads that numba begins, even where it then uses one
#: of them, spin beside whatever else the process does, and double the CPU time of that.
ONE_THREAD = {
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
#: CPU seconds of a call of ours, at least: of few neurons it takes some milliseconds.
LEAST = 0.2
#: Neurons of ours beside a solver that takes one at a time.
_BESIDE_ONE = 512


def settings(quick: bool) -> list[Plain]:
    return [
        {"peer": name, "neurons": size, "ms": peer.ms / 10 if quick else peer.ms}
        for name, peer in PEERS.items()
        for size in (peer.sizes[:1] if quick else peer.sizes)
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """CPU seconds of a peer and of the package, interleaved; or why there are none."""
    os.environ.update(ONE_THREAD)  # of this process, which is the claim's own
    peer = PEERS[setting["peer"]]
    if missing := peer.missing():
        return {"missing": missing}
    start = package.STG.start(1)[0].double().numpy()
    spikes = peer.prepare(GOLDEN, start, *PERIOD)().tolist()
    if spikes != list(peer.golden):
        return {"wrong": spikes}
    B, ms = setting["neurons"], setting["ms"]
    g = neurons.population("stg", "dic", max(B, _BESIDE_ONE), seed)
    theirs = peer.prepare(g[:B].double().numpy(), start, ms, 0.0)
    g = g[:B] if peer.steps else g
    ours = partial(package.simulate, "stg", g, ms, dt=DT, dtype=torch.float32, backend="cpu")
    ours()  # untimed: what is compiled late, and pages
    if peer.steps:
        theirs()
    cases = {
        "theirs": lambda: cpu_time.of(theirs) / (B * ms),
        "ours": lambda: cpu_time.of(ours, LEAST) / (len(g) * ms),
    }
    found = cpu_time.interleaved(cases, ROUNDS, progress.at)
    versions = {name: version(name) for name in peer.packages}
    return {**found, "ratio": cpu_time.ratio(found, "theirs", "ours"), "versions": versions}


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for run in found:
        peer = PEERS[run["peer"]]
        first = [_name(run), str(run["neurons"])]
        goal = "" if peer.goal is None else f"{peer.goal:,g}"
        if why := _why_not(run, peer):
            rows.append([*first, why, "", "", "", "", goal])
            continue
        theirs, ours = median(run["theirs"]), median(run["ours"])
        rates = [f"{1e-6 / (one * DT):.3g}" for one in (theirs, ours)]
        rows.append(
            [
                *first,
                *(_digits(6e6 * one) for one in (theirs, ours)),
                *(rates if peer.steps else ("", rates[1])),
                _digits(run["ratio"]),
                goal,
            ]
        )
    return rows


def _digits(x: float) -> str:
    """Three of them, or all before the point."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _name(run: Plain) -> str:
    versions = ", ".join(run.get("versions", {}).values())
    return f"{run['peer']} ({versions})" if versions else run["peer"]


def _why_not(run: Plain, peer: Peer) -> str | None:
    """Why there is nothing to compare."""
    if "wrong" in run:
        mine, golden = (", ".join(map(str, spikes)) for spikes in (run["wrong"], peer.golden))
        return f"not compared: its spikes are {mine}, not {golden}"
    return run.get("missing")


def plot(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    for place, run in enumerate(reversed(found)):
        peer = PEERS[run["peer"]]
        if why := _why_not(run, peer):
            axes.text(1.05, place, why, va="center", fontsize=8, color="tab:red")
            continue
        axes.barh(place, run["ratio"], color="tab:blue")
        axes.text(run["ratio"] * 1.05, place, _digits(run["ratio"]), va="center", fontsize=8)
        if peer.goal is not None:
            axes.plot(peer.goal, place, "k|", ms=14, mew=2)
    axes.plot([], [], "k|", ms=10, mew=2, label="goal")
    axes.set_yticks(
        range(len(found)),
        [f"{_name(run)}: {run['neurons']} neurons" for run in reversed(found)],
        fontsize=8,
    )
    axes.set_xscale("log")
    axes.set_xlim(1, 10_000)
    axes.set_xlabel("CPU seconds of the other program by the package's")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right")


CLAIM = Claim(
    name="neurons-peers",
    says="STG neurons in float32 at dt 0.025 ms beside other programs that simulate the same "
    "equations, one thread each: CPU seconds, interleaved, medians of three to five rounds of 1 s "
    "of model time (solvers: 6 s). Each is first held to the spikes of three neurons over 3 s, and "
    "not compared where it gives others. Solvers take one neuron after the other; beside them the "
    "package has 512 neurons, else as many as the other.",
    settings=settings,
    run=run,
    header=(
        "program",
        "neurons",
        "its CPU ms for 6 s of a neuron",
        "the package's",
        "its M neuron-steps per CPU-s",
        "the package's",
        "times as fast",
        "goal",
    ),
    table=table,
    plot=plot,
    seeds=1,
    timed=True,
)
