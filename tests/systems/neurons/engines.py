"""The compiled engines as the tests of them call them: the CPU's operator, its kernels of every
instruction set that this machine runs, the CUDA kernels on the executor, and Triton's, on a GPU or
in its interpreter."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lrnn_kernels import testing
from lrnn_kernels.backends.build import cache, libraries, sources, toolchain
from lrnn_kernels.backends.build.libraries import Library, Unit
from lrnn_kernels.neurons import MODELS, by_triton, compiled, oracle
from lrnn_kernels.neurons import noise as noises
from lrnn_kernels.neurons.engine import EXTRA
from tests import ROOT
from tests.backends.cuda import executor
from tests.systems.neurons import cases

ISAS = (
    list(toolchain.X86_ISAS)[: list(toolchain.X86_ISAS).index(toolchain.host_isa()) + 1]
    if toolchain.is_x86()
    else ["baseline"]
)
#: The CUDA kernels on the executor, and the most steps of a launch there.
EXECUTORS = {"executor": 1 << 62, "executor, in launches": 100}
GPU = ["cuda"] if torch.cuda.is_available() and not compiled.missing("cuda") else []
ENGINES = ["operator", *ISAS, *EXECUTORS, *GPU]

#: Neurons by model, plain numbers; two of the axon.
GOLDEN = {model: g.tolist() for model, g in cases.CONDUCTANCES.items()}
GOLDEN["hh"].append([100.0, 30.0, 0.2])


class _Noise(ctypes.Structure):
    _fields_ = [
        ("sigma", ctypes.c_void_p),
        ("per_neuron", ctypes.c_bool),
        ("neurons", ctypes.c_void_p),
        ("seed", ctypes.c_uint64),
        ("every", ctypes.c_int64),
        ("warm_up", ctypes.c_int64),
        ("sections", ctypes.c_float * 6),
    ]


class _Args(ctypes.Structure):
    """struct PopulationArgs of csrc/neurons/args.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("B", "columns")),
        *((name, ctypes.c_void_p) for name in ("g", "state", "times", "counts")),
        *((name, ctypes.c_int64) for name in ("max_spikes", "first_step", "steps")),
        *((name, ctypes.c_double) for name in ("dt", "discard", "up", "down")),
        ("current", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("samples", "current_columns")),
        ("current_rate", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("noise", "record")),
        *((name, ctypes.c_int64) for name in ("record_every", "recorded")),
        *((name, ctypes.c_void_p) for name in ("record_states", "watch")),
    ]


@functools.cache
def executed() -> executor.Executor:
    """The CUDA kernels, and what launches them."""
    units = [*executor.populations(), executor.source("population_bridge.cpp")]
    return executor.Executor(executor.compile_library(units))


@functools.cache
def _library(isa: str) -> ctypes.CDLL:
    compiler = toolchain.find_compiler()
    flags = ("-std=c++20", "-O1", "-fPIC", "-I", "csrc", f"-DLRNN_ISA={isa}")
    units = (
        Unit("here", "bridge.cpp", flags, "bridge"),
        *libraries.population_units(isa, compiler),
    )
    folders = {"here": ROOT / "tests" / "systems" / "neurons", "csrc": sources.csrc()}
    library = Library(f"populations-{isa}", compiler, units, ("-lm",), folders, ("csrc",))
    return ctypes.CDLL(str(cache.by_content(library)))


def _pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def run_kernels(
    library: ctypes.CDLL, model: str, g, state, times, counts, *, scheme="default", **options
) -> None:
    """Takes the arguments of ``compiled.run`` to the kernels in a library of a bridge."""
    noise, current, record = (options[name] for name in ("noise", "current", "record"))
    states = torch.tensor(options["record_states"], dtype=torch.int64)
    args = _Args(
        B=len(g),
        columns=state.shape[1],
        max_spikes=times.shape[1],
        up=options["threshold"][0],
        down=options["threshold"][1],
        recorded=len(states),
        record_states=_pointer(states),
        record=_pointer(record),
        current=_pointer(current),
        samples=0 if current is None else len(current),
        current_columns=0 if current is None else current.shape[1],
        **{
            name: _pointer(x)
            for name, x in zip(
                ("g", "state", "times", "counts"), (g, state, times, counts), strict=True
            )
        },
        **{
            name: options[name]
            for name in ("first_step", "steps", "dt", "discard", "current_rate", "record_every")
        },
    )
    if noise is not None:
        sections = (ctypes.c_float * 6)(*noise.sections.flatten().tolist())
        white = _Noise(
            _pointer(noise.sigma),
            len(noise.sigma) != 1,
            _pointer(noise.neurons),
            noise.seed,
            noise.every,
            noise.warm_up,
            sections,
        )
        args.noise = ctypes.addressof(white)
    written, is_double = scheme == "exponential_euler", g.dtype == torch.float64
    assert library.run(model.encode(), is_double, written, ctypes.byref(args))


def on_executor(library: executor.Executor, most: int, /, *call, **options) -> None:
    """The same on the executor, in launches of so many steps at most, and with another order of
    threads every time."""
    library.library.lrnn_gpu_configure_populations(ctypes.c_int64(132), ctypes.c_int64(most))
    library.configure(resident=2, seed=1 + next(_numbers) % 1000)
    run_kernels(library.library, *call, **options)


_numbers = itertools.count()


def _on(
    device: torch.device, run: Callable[..., None], model: str, *tensors: Tensor, **options
) -> None:
    """An engine on tensors of a device; what it wrote comes back."""
    there = [x.to(device) for x in tensors]
    noise, moved = options["noise"], dict(options)
    if noise is not None:
        parts = {"sigma": noise.sigma.to(device), "neurons": noise.neurons.to(device)}
        moved["noise"] = noise._replace(**parts)
    for name in ("current", "record"):
        moved[name] = None if options[name] is None else options[name].to(device)
    run(model, *there, **moved)
    for x, y in zip((*tensors, options["record"]), (*there, moved["record"]), strict=True):
        if x is not None:
            x.copy_(y)


def run_of(engine: str | Callable[..., None]) -> Callable[..., None]:
    """What takes the arguments of ``compiled.run``."""
    if callable(engine):
        return engine
    if engine == "operator":
        return compiled.run
    if engine == "cuda":
        return functools.partial(_on, torch.device("cuda"), compiled.run)
    if engine == "triton":
        return functools.partial(_on, testing.device_of("triton"), by_triton.run)
    if engine in EXECUTORS:
        return functools.partial(on_executor, executed(), EXECUTORS[engine])
    return functools.partial(run_kernels, _library(engine))


def is_tabled(engine: str, dtype: torch.dtype) -> bool:
    """Whether gates come from tables, which hold their exact relaxation."""
    isa = toolchain.wanted_isa() or toolchain.host_isa() if engine == "operator" else engine
    return engine not in (*EXECUTORS, *GPU) and isa.startswith("avx512") and dtype == torch.float32


@dataclass
class Population:
    """Neurons of a model, and what a run of them has given so far."""

    model: str
    g: Tensor
    state: Tensor
    times: Tensor
    counts: Tensor
    options: dict
    step: int = 0
    recorded: Tensor | None = None

    def run(self, engine: str | Callable[..., None], steps: int) -> Population:
        """Goes on, on an engine, "oracle", or "exact": the oracle whose gates relax exactly."""
        every, names = self.options["record_every"], self.options["record_states"]
        end = self.step + steps
        samples = -(-end // every) - -(-self.step // every)
        record = self.g.new_full((samples, len(names), len(self.g)), torch.nan) if names else None
        tensors = (self.g, self.state, self.times, self.counts)
        options = {**self.options, "first_step": self.step, "steps": steps, "record": record}
        if engine in ("oracle", "exact"):
            options["scheme"] = options.get("scheme", "default")
            oracle.run(_oracle(self.model, engine == "exact"), *tensors, **options)
        else:
            run_of(engine)(self.model, *tensors, **options)
        self.step = end
        if names:
            before = self.recorded if self.recorded is not None else record[:0]
            self.recorded = torch.cat((before, record))
        return self

    def spikes(self) -> list[list[float]]:
        slots = self.times.shape[1]
        return [
            t[: min(n, slots)].tolist()
            for t, n in zip(self.times, self.counts.tolist(), strict=True)
        ]

    def results(self) -> tuple:
        """What must be equal, bit for bit."""
        record = None if self.recorded is None else self.recorded.numpy().tobytes()
        return self.spikes(), self.counts.tolist(), self.state.numpy().tobytes(), record

    def part(self, rows: slice | Tensor) -> Population:
        """The same for some of the neurons."""
        options = dict(self.options)
        current, noise = options["current"], options["noise"]
        if current is not None and current.shape[1] > 1:
            options["current"] = current[:, rows].contiguous()
        if noise is not None:
            sigma = noise.sigma if len(noise.sigma) == 1 else noise.sigma[rows]
            options["noise"] = noise._replace(sigma=sigma, neurons=noise.neurons[rows].clone())
        copies = (x[rows].clone() for x in (self.g, self.state, self.times, self.counts))
        return Population(self.model, *copies, options)


@functools.cache
def _oracle(model: str, exact: bool):
    row = MODELS[model]
    if not exact:
        return row
    gates = (replace(g, relaxes_exactly=True) if g.tau is not None else g for g in row.gates)
    return replace(row, gates=tuple(gates))


def population(
    model: str,
    g=None,
    dtype: torch.dtype = torch.float32,
    *,
    dt: float = 0.025,
    slots: int = 512,
    sigma: float | None = None,
    current: Tensor | float | None = None,
    every: int = 1,
    record: tuple[int, ...] = (),
    **options,
) -> Population:
    """Neurons at rest; a current of a number, or as engines take it."""
    g = torch.as_tensor(GOLDEN[model] if g is None else g, dtype=torch.float64).to(dtype)
    row = MODELS[model]
    n, B = len(row.states), len(g)
    state = torch.zeros((B, n + EXTRA), dtype=torch.float64)
    state[:, :n] = row.start(B).to(dtype)
    state[:, n], state[:, n + 2] = torch.nan, -torch.inf
    noise = None
    if sigma is not None:
        noise = noises.settings(noises.Noise(sigma), row.sampling, dt, g, 12345678901234567890)
        state[:, -noises.COLUMNS :] = noises.start(noise, 0)
    if isinstance(current, float):
        current = torch.tensor([[current]])
    settings = {
        "dt": dt,
        "discard": 0.0,
        "threshold": (10.0, 0.0),
        "current": None if current is None else current.to(dtype),
        "current_rate": 1.0,
        "noise": noise,
        "record_every": every,
        "record_states": record,
        **options,
    }
    times = torch.full((B, slots), torch.nan, dtype=torch.float64)
    counts = torch.zeros(B, dtype=torch.int64)
    return Population(model, g.contiguous(), state, times, counts, settings)


def various(model: str, B: int, seed: int = 0) -> Tensor:
    """Conductances of B neurons around the golden ones, of which many fire."""
    generator = torch.Generator().manual_seed(seed)
    golden = torch.tensor(GOLDEN[model], dtype=torch.float64)
    rows = golden[torch.arange(B) % len(golden)]
    return rows * torch.empty_like(rows).uniform_(0.6, 1.4, generator=generator)
