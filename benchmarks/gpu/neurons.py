"""Populations of neurons on a GPU: their spikes beside the CPU's, and neuron-steps a second beside
what the GPU's special functions allow.

A step of the default scheme takes so many exponentials and reciprocals of one instruction each
(``SPECIAL``, counted in the kernels' machine code), of which a multiprocessor gives 16 a clock:
that bounds the rate in float32, where neurons are many. Where they are few, a step takes as long as
its longest chain of operations, whatever the number of neurons.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median

import torch
from torch import Tensor

from lrnn_kernels import neurons

from ..claims.neurons import population

#: Exponentials and reciprocals of a neuron's step.
SPECIAL = {"stg": 25 + 12, "da": 17 + 8, "hh": 6 + 4}
PER_CLOCK = 16  # special functions of a multiprocessor
#: ms per step, and uA/cm^2, of what is measured.
STEPS = {"stg": 0.025, "da": 0.0125, "hh": 0.025}
CURRENT = {"stg": 0.0, "da": 0.0, "hh": 8.0}
COUNTS = (135168, 1024)
DRAWN = 208  # different ones
SECONDS = 0.3  # of a run that is timed, about
COMPARED, COMPARED_MS, EARLY_MS = DRAWN, 500.0, 50.0
SAME = 0.97  # of neurons, at least


@functools.cache
def _drawn(model: str, count: int) -> Tensor:
    if neurons.MODELS[model].recipe is not None:
        return population(model, "dic" if model == "stg" else "uniform", count, seed=1)
    generator = torch.Generator().manual_seed(1)
    each = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return torch.tensor([120.0, 36.0, 0.3], dtype=torch.float64) * (0.8 + 0.4 * each)


def conductances(model: str, count: int) -> Tensor:
    """Neurons as published populations have them, of the axon about its own: the same ones again
    and again where there are many, since drawing one takes simulations."""
    few = _drawn(model, min(count, DRAWN))
    return few.repeat(-(-count // len(few)), 1)[:count]


@dataclass(frozen=True)
class Compared:
    """A population beside the CPU's."""

    model: str
    backend: str
    dtype: str
    same_counts: float  # the part of the neurons that have as many spikes as there
    same_noise: bool  # to the bit
    same_in_pieces: bool  # as in one run, to the bit

    @property
    def ok(self) -> bool:
        return self.same_counts >= SAME and self.same_noise and self.same_in_pieces

    def as_json(self) -> dict:
        return asdict(self) | ({} if self.ok else {"failed": "not the CPU's population"})

    def __str__(self) -> str:
        return (
            f"{self.model}, {self.backend}, {self.dtype}: the CPU's count of spikes in "
            f"{self.same_counts:.1%} of neurons, noise {'the same' if self.same_noise else 'OTHER'}"
            f", in pieces {'the same' if self.same_in_pieces else 'OTHER'}"
        )


def compared(
    backend: str, model: str, device: str = "cuda", count: int = COMPARED, T: float = COMPARED_MS
) -> Iterator[Compared]:
    """float64 has the CPU's spikes, of all neurons but a few that amplify rounding; float32 its
    spikes of the first 50 ms; noise has its very numbers, and a run in pieces is the run in one."""
    dt, g, early = STEPS[model], conductances(model, count), min(T, EARLY_MS)
    given = {"dt": dt, "current": CURRENT[model], "noise": 1.0, "seed": 7}
    there = g.to(device)
    for dtype, ms in ((torch.float64, T), (torch.float32, early)):
        expected = neurons.simulate(model, g, ms, backend="cpu", dtype=torch.float64, **given)
        given_there = {"backend": backend, "dtype": dtype, **given}
        got = neurons.simulate(model, there, ms, **given_there)
        half = neurons.simulate(model, there, ms / 2, **given_there)
        rest = neurons.simulate(model, there, ms / 2, state=half.state, **given_there)
        same = got.spikes.counts.cpu() == expected.spikes.counts
        noise = (got.state.values[:, -10:].cpu(), expected.state.values[:, -10:])
        yield Compared(
            model,
            backend,
            str(dtype).removeprefix("torch."),
            same.double().mean().item(),
            torch.equal(*noise),
            torch.equal(rest.state.values, got.state.values),
        )


def bound(model: str, multiprocessors: int, hertz: float) -> float:
    """Neuron-steps a second in float32 that special functions allow."""
    return multiprocessors * hertz * PER_CLOCK / SPECIAL[model]


def rate(
    backend: str, model: str, dtype: torch.dtype, g: Tensor, rounds: int, least: float = SECONDS
) -> float:
    """Neuron-steps a second: the median of some runs of at least about so many seconds, after
    those that find how long they are."""
    dt, ms = STEPS[model], 64 * STEPS[model]

    def seconds(T: float) -> float:
        _wait(g)
        began = time.perf_counter()
        current = CURRENT[model] or None
        neurons.simulate(model, g, T, dt=dt, backend=backend, dtype=dtype, current=current)
        _wait(g)
        return time.perf_counter() - began

    seconds(ms)
    while (took := seconds(ms)) < least / 4 and ms < 1e5:
        ms = round(ms / dt * min(16.0, max(2.0, least / took))) * dt
    return len(g) * ms / dt / median(seconds(ms) for _ in range(rounds))


def _wait(g: Tensor) -> None:
    if g.is_cuda:
        torch.cuda.synchronize()


def short_run(backend: str, model: str, dtype: torch.dtype, device: str) -> None:
    """A few steps, which compile what longer runs need."""
    g, dt = conductances(model, 64).to(device), STEPS[model]
    neurons.simulate(model, g, 4 * dt, dt=dt, backend=backend, dtype=dtype)
