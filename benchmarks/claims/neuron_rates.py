"""How fast neurons are simulated: by model, dtype and instruction set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from lrnn_kernels import neurons as package
from lrnn_kernels.backends import cpu
from lrnn_kernels.backends.build import toolchain

from . import cpu_time, neurons, progress
from .claim import Claim, Plain

#: Neurons of a rate, and ms of model time: shorter runs are mostly set-up.
RATED, RATED_MS = 512, 1000.0
ROUNDS = 5
LEAST = 0.3  # CPU seconds of what is timed
#: ms, by model.
STEPS = {"stg": 0.025, "da": 0.0125, "hh": 0.025}
#: Million neuron-steps per CPU-second that are meant to be reached at least.
GOALS = {
    ("stg", "float32", "avx512"): 220,
    ("da", "float32", "avx512"): 280,
    ("stg", "float32", "avx2"): 110,
    ("da", "float32", "avx2"): 140,
    ("stg", "float64", "avx512"): 40,
    ("da", "float64", "avx512"): 55,
}
_ROOT = Path(__file__).parents[2]
_CHILD = "import sys; from benchmarks.claims.neuron_rates import answer; answer(sys.argv[1])"


def settings(quick: bool) -> list[Plain]:
    return [
        {"model": model, "dtype": dtype, "dt": dt, "sets": "best" if quick else "all"}
        for model, dt in STEPS.items()
        for dtype in ("float32", "float64")
        if not quick or (model, dtype) == ("stg", "float32")
    ]


def instruction_sets(which: str) -> list[str]:
    """Those that this processor runs and kernels differ in, the best first; or it alone."""
    best = toolchain.wanted_isa() or toolchain.host_isa()
    lesser = [isa for isa in ("avx2", "baseline") if _order(isa) < _order(best)]
    return [best, *(lesser if which == "all" else [])]


def _order(isa: str) -> int:
    return list(toolchain.X86_ISAS).index(isa)


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Neuron-steps per CPU-second of one thread of each instruction set, interleaved."""
    names = instruction_sets(setting["sets"])
    with ExitStack() as stack:
        cases = {isa: stack.enter_context(_process(isa, setting, seed)).__next__ for isa in names}
        return {"rates": cpu_time.interleaved(cases, ROUNDS, progress.at)}


@contextmanager
def _process(isa: str, setting: Plain, seed: int) -> Iterator[Iterator[float]]:
    """A process whose kernels are of an instruction set, which is chosen once in a process; each
    number that is asked for is a measurement of it."""
    about = {**setting, "seed": seed, "neurons": RATED, "ms": RATED_MS, "least": LEAST}
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, json.dumps(about)],
        env={**os.environ, "LRNN_ISA": isa},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )

    def ask() -> str:
        child.stdin.write("\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process of the instruction set {isa} has ended: see above")
        return answer.strip()

    def rates() -> Iterator[float]:
        while True:
            yield float(ask())

    try:
        if (runs := ask()) != isa:
            raise RuntimeError(f"kernels must be of the instruction set {isa}, got {runs}")
        yield rates()
    finally:
        child.kill()
        child.wait()


def _population(model: str, count: int, seed: int) -> tuple[Tensor, float | None]:
    """Conductances, and a current with which they fire."""
    row = package.MODELS[model]
    if row.recipe is not None:
        return neurons.population(model, "dic", count, seed), None
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(count, len(row.channels), generator=generator, dtype=torch.float64)
    return torch.tensor([120.0, 36.0, 0.3], dtype=torch.float64) * (0.9 + 0.2 * spread), 10.0


def answer(argument: str) -> None:
    """In a process of its own: the instruction set, then a rate for every line that is read."""
    torch.set_num_threads(1)
    about = json.loads(argument)
    g, current = _population(about["model"], about["neurons"], about["seed"])
    dtype, ms, dt = getattr(torch, about["dtype"]), about["ms"], about["dt"]

    def simulate() -> None:
        package.simulate(about["model"], g, ms, dt=dt, current=current, dtype=dtype, backend="cpu")

    sys.stdin.readline()
    simulate()
    print(cpu.extension().library.lrnn_isa().decode(), flush=True)
    for _ in sys.stdin:
        print(len(g) * ms / dt / cpu_time.of(simulate, about["least"]), flush=True)


def _goal(run: Plain, isa: str) -> int | None:
    return GOALS.get((run["model"], run["dtype"], isa.split("_")[0]))


def _rows(found: list[Plain]) -> list[tuple[Plain, str, float]]:
    """Of every instruction set of a run, the rate in millions."""
    return [(run, isa, median(rates) / 1e6) for run in found for isa, rates in run["rates"].items()]


def table(found: list[Plain]) -> list[list[str]]:
    return [
        [
            run["model"].upper(),
            run["dtype"],
            f"{run['dt']:g}",
            "SSE2 (baseline)" if isa == "baseline" else isa,
            f"{rate:.0f}",
            f"{_goal(run, isa) or ''}",
        ]
        for run, isa, rate in _rows(found)
    ]


def plot(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    rows = _rows(found)
    names = list(dict.fromkeys(isa for _, isa, _ in rows))
    colors = dict(zip(names, ("tab:blue", "tab:green", "tab:gray"), strict=False))
    for place, (run, isa, rate) in enumerate(rows):
        axes.bar(place, rate, color=colors[isa])
        if goal := _goal(run, isa):
            axes.plot(place, goal, "k_", ms=16, mew=2)
    for isa, color in colors.items():
        axes.bar(0, 0, color=color, label=isa)
    axes.plot([], [], "k_", ms=10, mew=2, label="goal")
    axes.set_xticks(
        range(len(rows)),
        [f"{run['model'].upper()}\n{run['dtype']}" for run, _, _ in rows],
        fontsize=8,
    )
    axes.set_ylabel("million neuron-steps per CPU-second, one thread")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()


CLAIM = Claim(
    name="neurons-rates",
    says="Steps of a neuron that one thread takes in a CPU-second, by model, dtype and instruction "
    "set: 512 neurons, 1 s of model time, medians of five rounds in which instruction sets are "
    "interleaved. STG and DA neurons are modulated all over the published range; the squid's axon "
    "fires at 10 uA/cm^2.",
    settings=settings,
    run=run,
    header=("model", "dtype", "dt, ms", "instruction set", "M neuron-steps per CPU-s", "goal"),
    table=table,
    plot=plot,
    seeds=1,
    timed=True,
)
