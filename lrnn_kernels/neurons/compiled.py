"""The compiled engines: one operator, ``csrc/torch/cpu_population.cpp`` for CPU tensors and
``csrc/torch/cuda_population.cpp`` for CUDA tensors.

They are part of the libraries of C++ and of CUDA kernels (``backends/cpu.py``,
``backends/cuda.py``), compiled and loaded with them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import cpu, cuda, interrupts
from ..backends.operators import NAMESPACE
from .engine import NoiseSettings

#: The arguments are those of ``run``, but for its tuples and the parts of its noise.
_SCHEMA = (
    "population(str model, Tensor g, Tensor(a!) state, Tensor(b!) times, Tensor(c!) counts, "
    "int first_step, int steps, float dt, float discard, float up, float down, Tensor? current, "
    "float current_rate, Tensor? sigma, Tensor? neurons, Tensor? sections, int seed, int every, "
    "int warm_up, Tensor(d!)? record, int record_every, int[] record_states, bool as_written"
    ") -> ()"
)

_definitions: list[torch.library.Library] = []


def define(namespace: str) -> None:
    """Makes the operator known to torch."""
    _definitions.append(torch.library.Library(namespace, "FRAGMENT"))
    _definitions[-1].define(_SCHEMA)
    torch.library.register_fake(f"{namespace}::population", lambda *call: None)


define(NAMESPACE)


def missing(backend: str = "cpu") -> str:
    """Why an engine, "cpu" or "cuda", cannot run, after compiling it if that is what it takes;
    empty where it can. Each has every model, in float32 and float64."""
    return cpu.missing("cpu") if backend == "cpu" else cuda.missing("cuda")


def run(
    model: str,
    g: Tensor,  # (B, channels), float32 or float64: mS/cm^2, finite, >= 0; contiguous
    state: Tensor,  # (B, S) float64, contiguous; updated in place
    times: Tensor,  # (B, max_spikes) float64, contiguous: ms; written at counts
    counts: Tensor,  # (B,) int64; goes on from what it holds
    *,
    scheme: str = "default",
    first_step: int,
    steps: int,
    dt: float,  # ms
    discard: float,  # ms
    threshold: tuple[float, float],  # (up, down), mV
    current: Tensor | None,  # (n, 1) or (n, B) in the dtype of g: uA/cm^2; contiguous
    current_rate: float,  # dt / current_dt
    noise: NoiseSettings | None,
    record: Tensor | None,  # (samples, columns, B) in the dtype of g, contiguous; written from 0
    record_every: int,  # steps
    record_states: tuple[int, ...],  # which states its columns are
    backend: str = "",  # "cpu" or "cuda"; by default that of g's device
) -> None:
    """Advances B neurons by ``steps`` steps, in place: ``engine.py`` says what that is. On the CPU
    it threads over neurons by torch.get_num_threads(); on a GPU it waits for the kernels.

    ``scheme``: "default", or "exponential_euler", which is there in float64 only. On the CPU it
    leaves at Ctrl-C, and then what it was to write is of no use; on a GPU its steps are all taken
    first. Raises RuntimeError where it cannot run.
    """
    backend = backend or g.device.type
    if why := missing(backend):
        raise RuntimeError(f"the {backend} engine of neurons cannot run: {why}")
    white = noise or NoiseSettings(None, None, 0, 1, 0, None)
    operators = getattr(torch.ops, cuda.NAMESPACE if backend == "cuda" else NAMESPACE)
    try:
        operators.population(
            model,
            g,
            state,
            times,
            counts,
            first_step,
            steps,
            dt,
            discard,
            *threshold,
            current,
            current_rate,
            white.sigma,
            white.neurons,
            white.sections,
            _signed(white.seed),
            white.every,
            white.warm_up,
            record,
            record_every,
            record_states,
            scheme == "exponential_euler",
        )
    except RuntimeError:
        interrupts.reraise()
        raise
    if g.is_cuda:
        torch.cuda.current_stream(g.device).synchronize()


def _signed(seed: int) -> int:
    """The 64 bits of a seed as those of an operator's integer."""
    return seed - 2**64 if seed >= 2**63 else seed
