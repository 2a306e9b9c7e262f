"""How long the published data sets take: on this machine, from a piece; on a GPU, predicted."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lrnn_kernels import neurons as package
from lrnn_kernels.neurons import datasets
from lrnn_kernels.neurons.datasets import shards

from ..measure import machine
from . import cpu_time, neuron_gpu, neurons, progress
from .claim import Claim, Plain

#: The published data sets, of training: neurons, ms of each, and the steps of the default scheme.
PUBLISHED = {"stg": (1_200_000, 6000.0, 0.025), "da": (1_215_276, 12_000.0, 0.0125)}
#: Pairs of a measured piece, 16 neurons each: a whole shard.
PAIRS = 1024
#: Neurons of two threads, and ms of model time.
_THREADED, THREADED_MS = 2048, 1000.0
ROUNDS = 7
_SPIN = bytes(1 << 20)
SPINS = 400  # of it: about 0.3 s


def settings(quick: bool) -> list[Plain]:
    return [
        {"kind": "piece", "model": "stg", "pairs": PAIRS // 64 if quick else PAIRS},
        {"kind": "threads", "model": "stg", "threads": 2},
        *({"kind": "predicted", "model": model, "on": "H100 or H200"} for model in PUBLISHED),
    ]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    return {"piece": _piece, "threads": _threads, "predicted": _predicted}[setting["kind"]](
        setting, seed
    )


def _piece(setting: Plain, seed: int) -> Plain:
    """CPU seconds of a shard: conductances, DICs, simulation, and its file."""
    _, T, dt = PUBLISHED[setting["model"]]
    given = datasets.Settings(setting["model"], pairs=setting["pairs"], T=T, dt=dt, seed=seed)
    with TemporaryDirectory() as folder:
        before = cpu_time.seconds()
        shard = shards.made(given, 0, backend="cpu")
        simulated = cpu_time.seconds()
        shard.save(Path(folder) / "shard", given)
        after = cpu_time.seconds()
    return {"neurons": len(shard), "cpu": after - before, "saving": after - simulated}


def _threads(setting: Plain, seed: int) -> Plain:
    """Wall and CPU seconds of one thread and of some, and of as many that only spin: what this
    machine, which others may share, had to give at that moment."""
    several = setting["threads"]
    if machine.cores() < several:
        return {"missing": f"this machine has {machine.cores()} core"}
    g = neurons.population(setting["model"], "dic", _THREADED, seed)
    found: dict[str, list[float]] = {}

    def note(name: str, call: Callable[[], object]) -> None:
        cpu, wall = cpu_time.seconds(), time.perf_counter()
        call()
        found.setdefault(f"{name} wall", []).append(time.perf_counter() - wall)
        found.setdefault(f"{name} cpu", []).append(cpu_time.seconds() - cpu)

    def simulate(threads: int) -> None:
        torch.set_num_threads(threads)
        package.simulate(setting["model"], g, THREADED_MS, backend="cpu")

    before = torch.get_num_threads()
    try:
        simulate(several)
        for done in range(ROUNDS):
            for threads in (1, several) if done % 2 == 0 else (several, 1):
                note(f"spin {threads}", lambda threads=threads: _spin(threads))
                note(f"simulate {threads}", lambda threads=threads: simulate(threads))
            progress.at((done + 1) / ROUNDS)
    finally:
        torch.set_num_threads(before)
    one, more = "simulate 1 wall", f"simulate {several} wall"
    return {
        "seconds": found,
        "faster": cpu_time.ratio(found, one, more),
        "available": several * cpu_time.ratio(found, "spin 1 wall", f"spin {several} wall"),
        "work": cpu_time.ratio(found, f"simulate {several} cpu", "simulate 1 cpu"),
    }


def _spin(threads: int) -> None:
    """In each thread the same work, which leaves Python's lock alone and needs no memory."""

    def work() -> None:
        digest = hashlib.sha256()
        for _ in range(SPINS):
            digest.update(_SPIN)

    others = [threading.Thread(target=work) for _ in range(threads - 1)]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()


def _predicted(setting: Plain, _seed: int) -> Plain:
    gpu, step = neuron_gpu.HOPPER, neuron_gpu.STEPS[setting["model"]]
    return {"rate": neuron_gpu.rate(gpu, step), "assumes": neuron_gpu.assumes(gpu, step)}


def _steps(model: str) -> float:
    """Neuron-steps of a published data set."""
    neurons_, T, dt = PUBLISHED[model]
    return neurons_ * T / dt


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    piece = next(run for run in found if run["kind"] == "piece")
    for run in found:
        model = run["model"]
        count, T, dt = PUBLISHED[model]
        what = f"{model.upper()}, {count / 1e6:.1f} million x {T / 1000:g} s, dt {dt:g}"
        if run["kind"] == "piece":
            seconds = run["cpu"] * count / run["neurons"]
            how = (
                f"measured, {run['neurons']:,} neurons: conductances, DICs, simulation and file, "
                f"{run['cpu']:.1f} CPU s"
            )
            rate = run["neurons"] * T / dt / run["cpu"] / 1e6
            rows.append([what, "one thread", how, f"{rate:,.0f}", f"{seconds / 60:.1f} min"])
        elif "missing" in run:
            rows.append([what, f"{run['threads']} threads", run["missing"], "", ""])
        elif run["kind"] == "threads":
            seconds = piece["cpu"] * count / piece["neurons"] / run["faster"]
            how = (
                f"measured: {run['faster']:.2f} times one thread by wall (goal 1.9), where threads "
                f"that only spin had {run['available']:.2f}; {run['work']:.2f} times its CPU time"
            )
            rows.append([what, f"{run['threads']} threads", how, "", f"{seconds / 60:.1f} min"])
        else:
            seconds = _steps(model) / run["rate"]
            how = f"predicted, not measured: {run['assumes']}"
            rows.append([what, run["on"], how, f"{run['rate'] / 1e6:,.0f}", f"{seconds:.1f} s"])
    return rows


def plot(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    rows = [(row, run) for row, run in zip(table(found), found, strict=True) if row[-1]]
    for place, (row, run) in enumerate(reversed(rows)):
        number, unit = row[-1].split()
        seconds = float(number.replace(",", "")) * (60 if unit == "min" else 1)
        predicted = run["kind"] == "predicted"
        axes.barh(
            place,
            seconds,
            color="none" if predicted else "tab:blue",
            edgecolor="tab:blue",
            hatch="//" if predicted else None,
        )
        said = f"{row[-1]}{' (predicted)' if predicted else ''}"
        axes.text(seconds * 1.05, place, said, va="center", fontsize=8)
    axes.set_yticks(
        range(len(rows)), [f"{row[0]}\n{row[1]}" for row, _ in reversed(rows)], fontsize=8
    )
    axes.set_xscale("log")
    axes.set_xlim(1, 20_000)
    axes.set_xlabel("seconds for the published data set")
    axes.grid(axis="x", alpha=0.3)


CLAIM = Claim(
    name="neurons-dataset",
    says="The published data sets of training: CPU time of one thread on this machine, from a "
    "piece of one; two threads against one, beside two that only spin, since other work may share "
    "the machine; and what arithmetic predicts for a GPU, which nobody has measured here.",
    settings=settings,
    run=run,
    header=("data set", "on", "how it is known", "M neuron-steps per (CPU-)s", "takes"),
    table=table,
    plot=plot,
    seeds=1,
    timed=True,
)
