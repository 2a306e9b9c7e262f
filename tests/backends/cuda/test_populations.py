"""Populations of neurons on CUDA, on the executor: through the operator that a GPU runs, and what
only its kernels have. What every engine promises is in tests/systems/neurons/test_engine.py, where
the executor is one of them."""

import ctypes
import functools
import itertools
import re

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.backends import cuda
from lrnn_kernels.neurons import MODELS, choosing, compiled
from tests.conftest import over
from tests.systems.neurons import engines
from tests.systems.neurons.cases import CONDUCTANCES, DTYPES, same

DRIVES = ("nothing", "constant", "waveform", "waveforms", "noise", "all")
SCHEMES = [
    (torch.float32, "default"),
    (torch.float64, "default"),
    (torch.float64, "exponential_euler"),
]
#: uA/cm^2 with which neurons fire soon.
SCALE = {"stg": 0.5, "da": 1.0, "hh": 8.0}
#: ... within 5 ms.
STRONG = {"stg": 2.5, "da": 25.0, "hh": 15.0}


def driven(model: str, how: str, T: float) -> dict:
    """Arguments of simulate, of a current of some kind for two neurons."""
    scale, n = SCALE[model], round(T) + 2
    each = scale * torch.tensor([1.0, 1.2], dtype=torch.float64)
    wave = scale * (1 + torch.sin(torch.arange(n, dtype=torch.float64)))
    sigma = {"noise": 2 * scale if how in ("noise", "all") else None, "seed": 2**64 - 5}
    if how in ("nothing", "noise"):
        return sigma
    if how == "constant":
        return {"current": each, **sigma}
    wave = wave if how == "waveform" else wave * each[:, None]
    return {"current": wave, "current_dt": 1.0, **sigma}


def simulate(model: str, backend: str, T: float = 40.0, **options) -> neurons.Simulation:
    g = CONDUCTANCES[model][:1].repeat(2, 1)
    return neurons.simulate(model, g, T, backend=backend, dt=0.05, **options)


@pytest.mark.usefixtures("on_executor")
@over("model, how, kind", [(m, h, k) for m in MODELS for h in DRIVES for k in SCHEMES])
def test_simulations_are_the_references(model, how, kind):
    """Spikes, states, recordings; of noise the very numbers."""
    dtype, scheme = kind
    names = MODELS[model].states
    record = neurons.Record(0.15, (names[-1], "V", names[1]))
    options = driven(model, how, 40.0) | {"scheme": scheme, "record": record}
    got = simulate(model, "cuda", dtype=dtype, **options)
    expected = simulate(model, "reference", dtype=torch.float64, **options)
    assert torch.equal(got.spikes.counts, expected.spikes.counts)
    ms, mV = (2e-3, 1e-2) if dtype == torch.float32 else (1e-7, 1e-6)
    torch.testing.assert_close(got.spikes.times, expected.spikes.times, rtol=0, atol=ms)
    for name in record.states:
        torch.testing.assert_close(
            got.record[name][:, :60].double(), expected.record[name][:, :60], rtol=1e-3, atol=mV
        )
    assert torch.equal(got.record.t, expected.record.t)
    if options["noise"] is not None:
        assert torch.equal(got.state.values[:, -10:], expected.state.values[:, -10:])
        assert got.state.values[:, -10:].abs().min() > 0


@pytest.mark.usefixtures("on_executor")
@over("model, dtype", [(m, d) for m in MODELS for d in DTYPES])
def test_simulations_in_pieces_are_those_in_one(model, dtype):
    options = driven(model, "all", 40.0) | {"dtype": dtype, "record": 0.15, "discard": 9.0}
    whole = simulate(model, "cuda", **options)
    state, times, voltages = None, [[], []], []
    for T in (0.05, 10.0, 0.0, 0.15, 29.8):
        piece = simulate(model, "cuda", T, state=state, **options)
        state = piece.state
        times = [a + b for a, b in zip(times, piece.spikes.to_lists(), strict=True)]
        voltages.append(piece.record["V"])
    assert times == whole.spikes.to_lists()
    assert torch.equal(state.values, whole.state.values)
    assert torch.equal(torch.cat(voltages, 1), whole.record["V"])
    few = simulate(model, "cuda", max_spikes=1, **options)
    assert torch.equal(few.spikes.counts, whole.spikes.counts)
    assert few.spikes.to_lists() == [x[:1] for x in whole.spikes.to_lists()]
    assert same(whole, simulate(model, "cuda", **options))


@pytest.mark.usefixtures("on_executor")
@pytest.mark.parametrize("model", MODELS)
def test_how_steps_are_shared_out_changes_nothing(model, monkeypatch):
    """On a GPU simulate takes as many steps at a time as take a tenth of a second, of whatever
    many neurons."""
    options = driven(model, "all", 40.0) | {"record": 0.15}
    whole = simulate(model, "cuda", **options)
    taken, run = [], compiled.run
    monkeypatch.setattr(
        compiled, "run", lambda *call, **rest: (taken.append(rest["steps"]), run(*call, **rest))
    )
    monkeypatch.setattr("lrnn_kernels.neurons.running.FIRST_STEPS", 7)
    for seconds, last in ((1e-9, 1), (0.0005, None), (1e3, 448)):
        taken.clear()
        monkeypatch.setattr("lrnn_kernels.neurons.running.SECONDS", seconds)
        found = simulate(model, "cuda", **options)
        assert same(found, whole)
        assert torch.equal(found.record["V"], whole.record["V"])
        assert sum(taken) == 800
        assert taken[0] == 7
        assert last is None or last in taken
        assert all(b <= 4 * a for a, b in itertools.pairwise(taken))
    monkeypatch.setattr("lrnn_kernels.neurons.running.BETWEEN_LOOKS", 0)
    taken.clear()
    assert same(simulate(model, "cuda", **options), whole)
    assert max(taken) == 256


@pytest.mark.usefixtures("on_executor")
def test_wrong_neurons_touch_no_other():
    g = CONDUCTANCES["stg"][:1].repeat(5, 1)
    g[1, 0], g[2, 3], g[3, 7] = torch.nan, torch.inf, -1e-9
    current = torch.zeros(5, dtype=torch.float64)
    current[4] = torch.finfo(torch.float32).max
    run = neurons.simulate("stg", g, 30, backend="cuda", dt=0.05, current=current)
    assert run.spikes.status.tolist() == [0, 1, 1, 1, 2]
    alone = neurons.simulate("stg", g[:1], 30, backend="cuda", dt=0.05)
    assert torch.equal(run.state.values[0], alone.state.values[0])
    assert run.spikes[0].tolist() == alone.spikes[0].tolist() != []


def test_a_named_backend_runs_or_raises(monkeypatch, operators_on_executor):
    g = torch.empty(2, 8, device="meta")
    monkeypatch.setitem(choosing.COMPILED, "meta", ("cuda",))
    monkeypatch.setattr(cuda, "missing", lambda device: "no GPU is here")
    with pytest.raises(RuntimeError, match="backend 'cuda' cannot run: no GPU is here"):
        choosing.choose(MODELS["stg"], g.device, torch.float32, "default", "cuda")
    found = choosing.choose(MODELS["stg"], g.device, torch.float32, "default", "auto")
    assert found == ("reference", "no GPU is here")
    monkeypatch.setattr(cuda, "missing", lambda device: "")
    with pytest.raises(RuntimeError, match=r"'exponential_euler' is compiled for float64 alone"):
        choosing.choose(MODELS["stg"], g.device, torch.float32, "exponential_euler", "cuda")
    found = choosing.choose(MODELS["stg"], g.device, torch.float32, "default", "auto")
    assert found == ("cuda", "g is on meta, for which the cuda engine has stg compiled")
    with pytest.raises(ValueError, match="backend 'cuda' cannot run on g's device, cpu"):
        neurons.simulate("stg", CONDUCTANCES["stg"], 1.0, backend="cuda")


@pytest.mark.usefixtures("cuda_on_cpu")
def test_the_operator_refuses_what_the_cpus_does(monkeypatch):
    from tests.systems.neurons import test_engine

    monkeypatch.setattr(compiled, "run", functools.partial(compiled.run, backend="cuda"))
    test_engine._run()
    for name, value in test_engine.WRONG.items():
        with pytest.raises(RuntimeError, match="population: "):
            test_engine._run(**{name: value})
    with pytest.raises(RuntimeError, match="no CUDA kernel of the model stg for this dtype and s"):
        test_engine._run(scheme="exponential_euler")
    most = torch.zeros(10, 64, 3)
    test_engine._run(record=most, record_states=(3,) * 63 + (12,))
    assert (most[:, :63] == most[:, :1]).all()
    assert (most[:, 63] != most[:, 0]).all()
    with pytest.raises(RuntimeError, match="the CUDA kernels record up to 64 states, got 65"):
        test_engine._run(record=torch.zeros(10, 65, 3), record_states=(0,) * 65)


class Layout(ctypes.Structure):
    """struct GpuPopulationLayout."""

    _fields_ = [(name, ctypes.c_int64) for name in ("threads", "blocks", "steps")]


@pytest.mark.parametrize("is_double", [False, True])
@pytest.mark.parametrize("multiprocessors", [0, 1, 108, 132, 148])
def test_layouts(is_double, multiprocessors):
    """A thread for every neuron; launches of a bounded time, and not too many; where there are
    fewer neurons than run at a time, they are spread over the device."""
    library, layout = engines.executed().library, Layout()
    library.lrnn_gpu_configure_populations(ctypes.c_int64(multiprocessors), ctypes.c_int64(1))
    at_a_time = max(multiprocessors, 1) * (512 if is_double else 1024)
    most = 200_000_000
    for B in (1, 31, 32, 33, 1000, 65536, 135_168, 135_169, 10**6, 2**31 + 5, 2**37):
        library.lrnn_gpu_population_layout(ctypes.c_int64(B), is_double, ctypes.byref(layout))
        assert layout.threads == (32 if at_a_time > B else 128)
        assert 0 <= layout.blocks * layout.threads - B < layout.threads
        waves = -(-B // at_a_time)
        ns = layout.steps * waves * (200_000 if is_double else 4_000)
        assert 64 <= layout.steps <= 50_000
        assert ns <= most or layout.steps == 64
        assert ns > most / 2 or layout.steps == 64
    assert layout.blocks < 2**31


def test_the_executors_estimates_err_by_twice_those_of_a_gpu():
    """ex2.approx and rcp.approx of float are within 2^-22 of the number, rcp.approx of double
    within 2^-20; what flushes to 0 on a GPU does."""
    library, n = engines.executed().library, 200_001
    y = torch.linspace(-125, 126, n)
    x = torch.logspace(-37, 37, n, dtype=torch.float64).float()
    z = torch.logspace(-300, 300, n, dtype=torch.float64)
    power, r, s = torch.empty(n), torch.empty(n), torch.empty(n, dtype=torch.float64)
    library.estimate(
        ctypes.c_int64(n), *(ctypes.c_void_p(t.data_ptr()) for t in (y, x, z, power, r, s))
    )
    for got, exact, bound in (
        (power, torch.exp2(y.double()), 2.0**-22),
        (r, 1 / x.double(), 2.0**-22),
        (s, 1 / z, 2.0**-20),
    ):
        error = (got.double() / exact - 1).abs().max().item()
        assert 1.9 * bound < error < 2.5 * bound
    y[:4] = torch.tensor([-126.5, -torch.inf, torch.inf, torch.nan])
    x[:4] = torch.tensor([1e-39, 3e38, torch.inf, torch.nan])
    library.estimate(
        ctypes.c_int64(4), *(ctypes.c_void_p(t.data_ptr()) for t in (y, x, z, power, r, s))
    )
    assert power[:3].tolist() == [0, 0, torch.inf]
    assert r[:3].tolist() == [torch.inf, 0, 0]
    assert power[3].isnan()
    assert r[3].isnan()


def run_every_kernel(library, seed: int) -> None:
    """Each once, of neurons that are no whole number of warps, in launches of odd lengths; right,
    as far as numbers can tell."""
    for model in MODELS:
        for dtype, scheme in SCHEMES:
            for how in ("nothing", "waveforms", "noise"):
                assert is_right(library, model, dtype, scheme, how, seed), (model, dtype, how)
                seed += 1


def is_right(library, model: str, dtype, scheme: str, how: str, seed: int) -> bool:
    """Whether a run of every argument agrees with the oracle."""
    B, steps, scale = 37, 210, STRONG[model]
    wave = scale * (1 + 0.2 * torch.sin(torch.arange(60.0))[:, None] + torch.arange(B) / (5 * B))
    options = {
        "current": wave.double() if how != "nothing" else scale,
        "current_rate": 0.25,
        "sigma": scale / 2 if how == "noise" else None,
        "record": (0, 1, len(MODELS[model].states) - 1),
        "every": 3,
        "slots": 1,
        "discard": 1.0,
        "threshold": (-35.0, -40.0),
        "dt": 0.025,
        "scheme": scheme,
    }
    g = engines.various(model, B, seed)
    got = engines.population(model, g, dtype, **options)
    expected = engines.population(model, g, torch.float64, **options)
    for p in (got, expected):
        p.counts[-1] = 1  # it has no slot left
    run = functools.partial(engines.on_executor, library, 70)
    for piece in (1, 130, steps - 131):
        got.run(run, piece)
    expected.run("oracle", steps)
    if how == "noise" and not torch.equal(got.state[:, -10:], expected.state[:, -10:]):
        return False
    V = (1e-2, 1e-2) if dtype == torch.float32 else (1e-7, 1e-6)
    return (
        got.counts.tolist() == expected.counts.tolist()
        and not got.times.isnan().all()
        and torch.allclose(got.times, expected.times, rtol=0, atol=V[1], equal_nan=True)
        and torch.allclose(got.recorded.double(), expected.recorded, rtol=V[0], atol=V[0])
        and torch.allclose(got.state[:, :3], expected.state[:, :3], rtol=V[0], atol=V[0])
    )


def test_every_kernel():
    run_every_kernel(engines.executed(), 1)


def test_the_kernels_name_the_cuda_operations_that_the_tests_give():
    """What nvcc knows and the executor must say: no intrinsic is missing there."""
    header = (engines.ROOT / "tests/backends/cuda/on_cpu/include/estimates.h").read_text()
    source = (engines.ROOT / "csrc/neurons/noise.h").read_text()
    used = set(re.findall(r"__[fd]\w+_rn", source))
    assert used
    assert used <= set(re.findall(r"__[fd]\w+_rn", header))
