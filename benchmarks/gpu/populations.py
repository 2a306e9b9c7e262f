"""Populations of neurons on a GPU: their spikes beside the CPU's, and neuron-steps a second beside
what the GPU's special functions allow.

A step of the default scheme takes so many exponentials and reciprocals of one instruction each
(``SPECIAL``, counted in the kernels' machine code), of which a multiprocessor gives 16 a clock:
that bounds the rate in float32, where neurons are many. Where they are few, a step takes as long as
its longest chain of operations, whatever the number of neurons.
"""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import Tensor

from lrnn_kernels import neurons
from lrnn_kernels.neurons import choosing

from ..claims.neurons import population
from ..measure import report

#: Exponentials and reciprocals of a neuron's step.
SPECIAL = {"stg": 25 + 12, "da": 17 + 8, "hh": 6 + 4}
PER_CLOCK = 16  # special functions of a multiprocessor
#: ms per step, and uA/cm^2, of what is measured.
STEPS = {"stg": 0.025, "da": 0.0125, "hh": 0.025}
CURRENT = {"stg": 0.0, "da": 0.0, "hh": 8.0}
COUNTS = (1024, 16384, 135168, 262144)
SECONDS = 1.0  # of a rate, about
COMPARED, COMPARED_MS = 208, 500.0


def backends() -> list[str]:
    """Engines of neurons that run here on a GPU."""
    return [name for name in choosing.COMPILED["cuda"] if not choosing.missing(name, torch.float32)]


def conductances(model: str, count: int) -> Tensor:
    """Neurons as published populations have them; of the axon, about its own."""
    if neurons.MODELS[model].recipe is not None:
        return population(model, "dic" if model == "stg" else "uniform", count, seed=1)
    generator = torch.Generator().manual_seed(1)
    each = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return torch.tensor([120.0, 36.0, 0.3], dtype=torch.float64) * (0.8 + 0.4 * each)


def values(
    backend: str, device: str = "cuda", count: int = COMPARED, T: float = COMPARED_MS
) -> str:
    """ "ok", or FAILED: float64 has the CPU's spikes, of all neurons but a few that amplify
    rounding; float32 its spikes of the first 50 ms; noise has its very numbers, and a run in pieces
    is the run in one."""
    found = []
    for model, dt in STEPS.items():
        g = conductances(model, count)
        given = {"dt": dt, "current": CURRENT[model], "noise": 1.0, "seed": 7}
        exact = neurons.simulate(model, g, T, backend="cpu", dtype=torch.float64, **given)
        early = neurons.simulate(model, g, 50.0, backend="cpu", dtype=torch.float64, **given)
        there = g.to(device)
        for dtype, expected, ms in ((torch.float64, exact, T), (torch.float32, early, 50.0)):
            got = neurons.simulate(model, there, ms, backend=backend, dtype=dtype, **given)
            same = (got.spikes.counts.cpu() == expected.spikes.counts).double().mean().item()
            noise = torch.equal(got.state.values[:, -10:].cpu(), expected.state.values[:, -10:])
            half = neurons.simulate(model, there, ms / 2, backend=backend, dtype=dtype, **given)
            rest = neurons.simulate(
                model, there, ms / 2, backend=backend, dtype=dtype, state=half.state, **given
            )
            whole = torch.equal(rest.state.values, got.state.values)
            ok = same >= 0.97 and noise and whole
            found.append(ok)
            print(
                f"{model}, {backend}, {str(dtype).removeprefix('torch.')}: the CPU's count of "
                f"spikes in {same:.1%} of neurons, noise {'the same' if noise else 'OTHER'}, in "
                f"pieces {'the same' if whole else 'OTHER'} {'ok' if ok else 'FAILED'}"
            )
    return "ok" if all(found) else "FAILED"


def bound(model: str, multiprocessors: int, hertz: float) -> float:
    """Neuron-steps a second in float32 that special functions allow."""
    return multiprocessors * hertz * PER_CLOCK / SPECIAL[model]


def rate(backend: str, model: str, dtype: torch.dtype, g: Tensor, rounds: int) -> float:
    """Neuron-steps a second: the median of some runs, after one that warms up."""
    dt, ms = STEPS[model], 64 * STEPS[model]

    def seconds(T: float) -> float:
        _wait(g)
        began = time.perf_counter()
        current = CURRENT[model] or None
        neurons.simulate(model, g, T, dt=dt, backend=backend, dtype=dtype, current=current)
        _wait(g)
        return time.perf_counter() - began

    seconds(ms)
    while (took := seconds(ms)) < SECONDS / 4 and ms < 1e5:
        ms = round(ms / dt * min(16.0, max(2.0, SECONDS / took))) * dt
    return len(g) * ms / dt / median(seconds(ms) for _ in range(rounds))


def _wait(g: Tensor) -> None:
    if g.is_cuda:
        torch.cuda.synchronize()


def main(quick: bool, device: str = "cuda") -> dict:
    """Compares, measures and prints; what is found, for the JSON."""
    engines = backends()
    if not engines:
        return {n: choosing.missing(n, torch.float32) for n in choosing.COMPILED["cuda"]}
    properties = torch.cuda.get_device_properties(0)
    hertz = 1e3 * getattr(properties, "clock_rate", 1.755e6)
    allowed = {m: bound(m, properties.multi_processor_count, hertz) for m in STEPS}
    found: dict = {"values": {b: values(b, device) for b in engines}, "bounds": allowed}
    found["rates"] = rates(engines, device, COUNTS[-1:] if quick else COUNTS, 1 if quick else 3)
    print_rates(found["rates"], allowed)
    return found


def rates(engines: list[str], device: str, counts: tuple[int, ...], rounds: int) -> list[dict]:
    rows = []
    for model in STEPS:
        for count in counts:
            g = conductances(model, count).to(device)
            for backend in engines:
                for dtype in (torch.float32, torch.float64):
                    row = {"model": model, "backend": backend, "neurons": count}
                    row["dtype"] = str(dtype).removeprefix("torch.")
                    rows.append(row | {"rate": rate(backend, model, dtype, g, rounds)})
    return rows


def print_rates(rows: list[dict], allowed: dict[str, float]) -> None:
    lines = [
        [
            row["model"],
            row["backend"],
            row["dtype"],
            row["neurons"],
            f"{row['rate']:.3g}",
            f"{row['rate'] / allowed[row['model']]:.2f}" if row["dtype"] == "float32" else "",
        ]
        for row in rows
    ]
    header = ["model", "backend", "dtype", "neurons", "neuron-steps/s", "of the bound"]
    print(report.table(header, lines, "populations of neurons"))
