"""Spikes, statuses, states and recordings: what comes out of a simulation, and what is refused."""

import importlib
import itertools
import re
import warnings

import numpy as np
import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import Spikes, Status
from tests.systems.neurons.cases import BACKENDS, COMPILED, DA, HH, STG, agrees, same, simulate


def test_spikes_are_ragged():
    spikes = Spikes.from_lists([[1.0, 2.5], [], [0.5, 3.0, 4.0]])
    assert spikes.to_lists() == [[1.0, 2.5], [], [0.5, 3.0, 4.0]]
    assert spikes.offsets.tolist() == [0, 2, 2, 5]
    assert spikes.counts.tolist() == [2, 0, 3]
    assert spikes.neurons().tolist() == [0, 0, 2, 2, 2]
    assert len(spikes) == 3
    assert spikes[2].tolist() == spikes[-1].tolist() == [0.5, 3.0, 4.0]
    assert spikes[1:].to_lists() == [[], [0.5, 3.0, 4.0]]
    assert spikes[[2, 0]].to_lists() == [[0.5, 3.0, 4.0], [1.0, 2.5]]
    assert spikes[torch.tensor([True, False, True])].counts.tolist() == [2, 3]
    assert spikes[:0].to_lists() == []
    assert Spikes.cat([spikes[:1], spikes[1:]]).to_lists() == spikes.to_lists()
    assert repr(spikes) == "Spikes(3 neurons, 5 spikes)"
    assert Spikes.from_lists([]).to_lists() == []
    for bad in (3, -4, [0, 3], torch.tensor([-4]), np.array([3]), np.int64(3)):
        with pytest.raises(IndexError, match="there are 3 neurons"):
            spikes[bad]
    for bad in ("0", 1.0, None, True, [1.0], ["0"], torch.tensor([1.0]), np.array([0.5])):
        with pytest.raises(TypeError, match="neurons must be"):
            spikes[bad]
    for bad in ([2.0, 1.0], [float("nan")]):
        with pytest.raises(ValueError, match=r"lists\[0\] must hold ascending"):
            Spikes.from_lists([bad])


def test_neurons_are_chosen_as_rows_of_an_array_are():
    rows = [[1.0, 2.5], [], [0.5, 3.0, 4.0], [7.0]]
    spikes = Spikes.from_lists(rows)
    for choose in (
        slice(None, None, -1),
        slice(3, 0, -2),
        slice(5, 2),
        slice(1, None, 2),
        slice(-2, None),
        np.array([2, 0, 2]),
        np.array([3], dtype=np.uint8),
        np.array([True, False, True, True]),
        [True, False, False, True],
        [-1, 0],
        [np.int64(1)],
        [],
        range(1, 3),
        torch.tensor([2, -1], dtype=torch.int32),
        torch.tensor([1], dtype=torch.uint8),
    ):
        by_array = (
            choose
            if isinstance(choose, slice)
            else np.asarray(choose, None if len(choose) else int)
        )
        expected = [rows[k] for k in np.arange(4)[by_array]]
        assert spikes[choose].to_lists() == expected, choose
    assert spikes[np.int64(2)].tolist() == spikes[2].tolist()
    for bad in (torch.tensor([True]), [[0, 1]], torch.tensor(1), np.array([[0], [1]])):
        with pytest.raises(IndexError, match=r"neurons must be one|a mask must be of 4"):
            spikes[bad]
    assert len(Spikes.cat([])) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wrong_neurons_are_told_and_touch_no_other(backend, dtype):
    g = STG.repeat(2, 1)
    g[1, 0], g[2, 3], g[3, 7], g[4] = torch.nan, torch.inf, -1e-9, 0.0
    current = torch.zeros(6, dtype=torch.float64)
    current[5] = torch.finfo(dtype).max  # an infinite E
    options = {"dt": 0.05, "dtype": dtype, "record": 1.0}
    run = simulate("stg", 30, backend, g, current=current, **options)
    assert run.spikes.status.tolist() == [0, 1, 1, 1, 1, 2]
    assert run.spikes.counts[1:].tolist() == [0] * 5
    alone = simulate("stg", 30, backend, STG[:1], **options)
    if dtype == torch.float64 or backend in COMPILED:
        n = len(neurons.STG.states)
        assert agrees(run.state.values[:1, :n], alone.state.values[:, :n], backend)
    assert run.spikes.counts[0] == alone.spikes.counts[0] > 0
    assert run.record["V"][1:5].isnan().all()
    assert run.record["V"][0].isfinite().all()
    assert repr(run.spikes).endswith("4 invalid, 1 exploded)")
    # What exploded stays so, what is invalid may be mended.
    again = simulate("stg", 30, backend, STG.repeat(2, 1), state=run.state, **options)
    assert again.spikes.status.tolist() == [0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_overflow_keeps_the_first_and_counts_on(backend):
    whole = simulate("stg", 60, backend, dt=0.05)
    run = simulate("stg", 60, backend, dt=0.05, max_spikes=4)
    assert torch.equal(run.spikes.counts, whole.spikes.counts)
    over = whole.spikes.counts > 4
    assert torch.equal(run.spikes.overflow, over)
    assert 0 < over.sum() < 3
    expected = [times[:4] for times in whole.spikes.to_lists()]
    assert run.spikes.to_lists() == expected
    none = simulate("stg", 60, backend, dt=0.05, max_spikes=0)
    assert len(none.spikes.times) == 0
    assert (none.spikes.status == Status.OVERFLOW).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_default_no_spike_is_lost(backend, monkeypatch):
    """Whoever fires fast, among others that are silent, invalid or explode; with what is a neuron's
    own: current, noise, state and recording."""
    g = torch.cat((STG, STG[:1], STG))
    g[3] = -1.0
    options = {"dt": 0.05, "current": torch.linspace(0, 20, 7).double(), "discard": 5.0}
    options |= {"noise": 2 * torch.ones(7), "seed": 3, "record": 1.0}
    start = torch.cat((neurons.STG.start(6), neurons.STG.start(1) * torch.inf))
    whole = simulate("stg", 60, backend, g, state=start, max_spikes=1000, **options)
    assert not whole.spikes.overflow.any()
    for slots in (0, 1, 4):
        module = importlib.import_module("lrnn_kernels.neurons.simulate")  # not the function
        monkeypatch.setattr(module, "SLOTS", slots)
        told = []
        run = simulate("stg", 60, backend, g, state=start, progress=told.append, **options)
        assert not run.spikes.overflow.any()
        assert torch.equal(run.spikes.status, whole.spikes.status)
        assert torch.equal(run.record["V"][:3], whole.record["V"][:3])
        if backend in COMPILED:
            assert same(run, whole)
        assert torch.equal(run.spikes.counts, whole.spikes.counts)
        torch.testing.assert_close(run.spikes.times, whole.spikes.times, atol=1e-3, rtol=0)
        assert told == sorted(told)
        assert told.count(1.0) == 1
        assert len(told) > 1  # of the second run, too
    rest = [simulate("stg", 60, backend, g, state=x.state, **options) for x in (run, whole)]
    assert torch.equal(rest[0].spikes.counts, rest[1].spikes.counts)


def test_slots_follow_from_what_neurons_do():
    """A current makes the axon fire at rates to both sides of the slots that there are at first."""
    for current, more in ((7.0, False), (20.0, True)):
        for T in (6000, 9000):
            spikes = neurons.simulate("hh", [[120, 36, 0.3]], T, current=current).spikes
            assert len(spikes[0]) == spikes.counts.item()
            assert (spikes.counts.item() > 512 * T / 6000) == more
            assert spikes.status.item() == Status.FINE


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_in_pieces_is_the_run_in_one(backend):
    """Spikes that are open where a piece ends, recordings and discarded spikes included."""
    wave = torch.linspace(-3, 6, 61, dtype=torch.float64)
    options = {"dt": 0.05, "current": wave, "current_dt": 1.0, "record": 0.3, "discard": 9.0}
    whole = simulate("stg", 45, backend, **options)
    state, spikes, voltages, t = None, [[], [], []], [], []
    for T in (0.05, 2.1, 2.1, 2.1, 2.1, 0.0, 10.55, 26.0):
        run = simulate("stg", T, backend, state=state, **options)
        state = run.state
        spikes = [a + b for a, b in zip(spikes, run.spikes.to_lists(), strict=True)]
        voltages.append(run.record["V"])
        t.append(run.record.t)
    assert spikes == whole.spikes.to_lists()
    assert torch.equal(state.values, whole.state.values)
    assert torch.equal(torch.cat(voltages, 1), whole.record["V"])
    assert torch.equal(torch.cat(t), whole.record.t)
    assert state.time == pytest.approx(45)


@pytest.mark.parametrize("backend", BACKENDS)
def test_spikes_follow_from_the_recorded_voltage(backend):
    """Every step recorded: crossings by hand, with hysteresis, an open spike not counted."""
    up, down = -10.0, -30.0
    run = simulate("stg", 60, backend, dt=0.05, record=0.05, threshold=(up, down), discard=7.0)
    for V, found in zip(run.record["V"].tolist(), run.spikes.to_lists(), strict=True):
        expected, crossing = [], None
        for n, (old, new) in enumerate(itertools.pairwise(V)):
            if crossing is None and new >= up:
                crossing = (n + (up - old) / (new - old)) * 0.05
            elif crossing is not None and new < down:
                expected += [crossing] if crossing >= 7.0 else []
                crossing = None
        assert found == pytest.approx(expected, abs=1e-9)
        assert found


def test_a_spike_that_nobody_saw_rise_is_none():
    states = neurons.HH.start(2)
    states[:, 0] = torch.tensor([20.0, 5.0], dtype=torch.float64)
    run = simulate("hh", 20, g=HH.repeat(2, 1), dt=0.05, state=states, threshold=(10.0, -40.0))
    assert run.spikes.counts.tolist() == [0, 1]


def test_other_states_are_recorded():
    run = simulate("da", 5, dt=0.05, record=neurons.Record(0.5, ("o_ERG", "V")))
    assert run.record.t.tolist() == pytest.approx([0.5 * k for k in range(10)])
    start = neurons.DA.start(2)
    assert torch.equal(run.record["o_ERG"][:, 0], start[:, 6])
    assert run.record["V"].shape == (2, 10)
    with pytest.raises(KeyError, match="'m_Na' was not recorded: o_ERG, V were"):
        run.record["m_Na"]
    assert torch.equal(run.state["V"], run.state.values[:, 0])
    with pytest.raises(KeyError, match="no state 'Ca'"):
        run.state["Ca"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_do(backend):
    none = simulate("da", 10, backend, DA[:0], dt=0.05, record=1.0, noise=1.0)
    assert len(none.spikes) == len(none.state) == 0
    assert none.record["V"].shape == (0, 10)
    still = simulate("da", 0, backend, record=1.0)
    assert still.spikes.counts.tolist() == [0, 0]
    assert still.record["V"].shape == (2, 0)
    assert same(still, simulate("da", 0, backend, state=still.state))


@pytest.mark.parametrize("backend", BACKENDS)
def test_progress_is_told(backend, monkeypatch, capsys):
    monkeypatch.setattr("lrnn_kernels.neurons.running.BETWEEN_LOOKS", 1)
    monkeypatch.setattr("lrnn_kernels.neurons.running.ROWS", 2)
    monkeypatch.setattr("lrnn_kernels.neurons.running.ON_A_GPU", 1)
    told = []
    simulate("stg", 40, backend, dt=0.05, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) >= 6
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    simulate("stg", 15, backend, dt=0.05, progress=True)
    assert "100 %" in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress must be True, False or a function of a number"):
        simulate("stg", 1, backend, dt=0.05, progress="bar")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong_ones", [[], [0], [4], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("T", [0.0, 20.0])
def test_progress_ends_with_all(backend, wrong_ones, T, monkeypatch):
    """Also of neurons that are not simulated, and told once."""
    monkeypatch.setattr("lrnn_kernels.neurons.running.BETWEEN_LOOKS", 1)
    monkeypatch.setattr("lrnn_kernels.neurons.running.ROWS", 2)
    monkeypatch.setattr("lrnn_kernels.neurons.running.ON_A_GPU", 1)
    g = STG[[0, 1, 2, 0, 1]].clone()
    g[wrong_ones] = -1.0
    told = []
    simulate("stg", T, backend, g, dt=0.05, progress=told.append)
    assert told == sorted(set(told))
    assert told[-1] == 1.0
    told = []
    simulate("stg", T, backend, g[:0], progress=told.append)
    assert told == [1.0]


def test_the_memory_of_many_slots_is_bounded(monkeypatch):
    g = STG[[0, 1, 2, 0, 1]]
    whole = neurons.simulate("stg", g, 100.0, backend="cpu")
    monkeypatch.setattr("lrnn_kernels.neurons.running.SLOTS", 1000)
    seen = []
    run = neurons.compiled.run
    monkeypatch.setattr(
        "lrnn_kernels.neurons.compiled.run",
        lambda *call, **options: (seen.append(call[3].shape), run(*call, **options)),
    )
    for slots, rows in ((400, [2, 2, 1]), (5000, [1] * 5), (0, [5]), (200, [5])):
        seen.clear()
        found = neurons.simulate("stg", g, 100.0, max_spikes=slots, backend="cpu")
        assert [tuple(shape) for shape in seen] == [(n, slots) for n in rows]
        assert torch.equal(found.spikes.counts, whole.spikes.counts)
        assert same(found, whole) or slots == 0


def test_noise_takes_numbers_of_numpy():
    runs = [simulate("stg", 5, noise=sigma) for sigma in (3.0, np.float32(3.0), 3, np.int64(3))]
    assert all(same(runs[0], run) for run in runs[1:])
    simulate("stg", 1, noise=neurons.Noise(1.0, first=2**63 - 3))


def test_explain_says_who_runs():
    assert neurons.explain("stg", STG, backend="reference").backend == "reference"
    choice = neurons.explain("stg", STG, scheme="exponential_euler")
    assert choice.backend == "reference"
    assert "compiled for float64 alone" in choice.reason
    choice = neurons.explain("stg", STG)
    assert choice.backend == (COMPILED[0] if COMPILED else "reference")
    assert choice.reason == "g is on cpu, for which the cpu engine has stg compiled"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        neurons.simulate("stg", STG, 0.1)
        neurons.simulate("stg", STG, 0.1, scheme="exponential_euler")
        neurons.simulate("stg", STG, 0.1, backend="reference")
    assert len(told) == (choice.backend == "reference")
    assert all("slow reference" in str(w.message) and w.filename == __file__ for w in told)
    with pytest.raises(RuntimeError, match=r"backend 'cpu' cannot run: .*for float64 alone"):
        neurons.explain("stg", STG, scheme="exponential_euler", backend="cpu")


ORDER = ", for Na Kd CaT CaS KCa A H leak in the order of channel_names"


def wrong(expected: str, kind=ValueError, model="stg", g=STG, T=1.0, **options):
    return pytest.param(kind, expected, model, g, T, options, id=expected[:40])


@pytest.mark.parametrize(
    ("kind", "expected", "model", "g", "T", "options"),
    [
        wrong("model must be a Model or one of 'stg', 'da', 'hh', got 'SGT'", model="SGT"),
        wrong(f"g must be a tensor, an array or lists of numbers{ORDER}", TypeError, g={"Na": 1.0}),
        wrong(f"g must hold numbers, in rows of one length{ORDER}", TypeError, g=[[1.0], [1, 2]]),
        wrong("g must be floating point, got torch.bool", TypeError, g=[[True] * 8]),
        wrong("g must have shape (B, 8), for Na Kd CaT CaS KCa A H leak, got (2, 1)", g=[[1], [2]]),
        wrong("g must have shape (B, 8)", g=STG[:, :7].long()),
        wrong("g must have shape (B, 8), for Na Kd CaT CaS KCa A H leak, got (2, 7)", g=DA),
        wrong("g must have shape (B, 8), for Na Kd CaT CaS KCa A H leak, got (8,)", g=STG[0]),
        wrong("g must not require a gradient", g=STG.clone().requires_grad_()),
        wrong("T must be a multiple of dt, 0.025 ms, got 0.01 ms", T=0.01),
        wrong("T must be in [0, inf), got -1", T=-1.0),
        wrong("T must be a number, got str", TypeError, T="6000"),
        wrong("dt must be at most 0.05 ms in the default scheme, got 0.1", dt=0.1),
        wrong("dt must be in (0, inf), got 0", dt=0.0),
        wrong("current must be a number or have shape (3,)", current=torch.zeros(4)),
        wrong("current must be finite", current=torch.tensor(torch.nan)),
        wrong("current must be in (-inf, inf), got nan", current=torch.nan),
        wrong("current must be real, got torch.bool", TypeError, current=torch.zeros(3).bool()),
        wrong("current must be a tensor, an array or lists of numbers, or", TypeError, current="3"),
        wrong("current must hold numbers, in rows of one length", TypeError, current=[1.0, "a"]),
        wrong("current_dt must be None where there is no current", current_dt=1.0),
        wrong("current must be a waveform (n,) or (3, n)", current=1.0, current_dt=1.0),
        wrong("must have at least 11 samples", current=torch.zeros(10), current_dt=0.1),
        wrong("noise must be a Noise or its sigma in uA/cm^2, got str", TypeError, noise="3"),
        wrong("noise.sigma must be in [0, inf), got -1", noise=-1.0),
        wrong("noise.sigma must be a number or have shape (3,)", noise=torch.zeros(2)),
        wrong("noise.sigma must be in [0, inf) for every", noise=torch.tensor([0.0, -1, 1])),
        wrong("noise.sigma must be in [0, inf) for every n", noise=torch.tensor(torch.nan)),
        wrong(
            "noise.sigma must be real, got torch.comp",
            TypeError,
            noise=torch.ones(3).cfloat(),
        ),
        wrong("noise.first must be at most 2^63 - 3", noise=neurons.Noise(1.0, first=2**63 - 2)),
        wrong("noise.first must be at most 2^63 - 3,", noise=neurons.Noise(1.0, first=2**64)),
        wrong("noise.sampling must be a multiple of dt", noise=neurons.Noise(1.0, sampling=0.06)),
        wrong("noise.cutoff must be below 5000 Hz", noise=neurons.Noise(1.0, cutoff=5000.0)),
        wrong("seed must be at least 0, got -1", noise=1.0, seed=-1),
        wrong("seed must be below 2^64", noise=1.0, seed=2**64),
        wrong("discard must be in [0, inf), got -1", discard=-1.0),
        wrong("threshold must be (up, down) with down <= up", threshold=(0.0, 10.0)),
        wrong("threshold must be (up, down) in mV, got 10.0", TypeError, threshold=10.0),
        wrong("max_spikes must be at least 0, got -1", max_spikes=-1),
        wrong("record must be a multiple of dt", record=0.03),
        wrong("record.states must be among V, m_Na", record=neurons.Record(0.1, ("Na",))),
        wrong("record.states must be a tuple", TypeError, record=neurons.Record(0.1, "V")),
        wrong("record.states must be a tuple of", TypeError, record=neurons.Record(0.1, 3)),
        wrong("state must be a State or have shape (3, 13)", state=torch.zeros(3, 12)),
        wrong(
            "state must be a tensor, an array or lists of numbers, or a State, got int",
            TypeError,
            state=0,
        ),
        wrong("state must be floating point", TypeError, state=torch.zeros(3, 13).cfloat()),
        wrong("dtype must be torch.float32 or torch.float64", TypeError, dtype=torch.float16),
        wrong("scheme must be one of 'default', 'exponential_euler', got 's0'", scheme="s0"),
        wrong("backend must be one of 'auto', 'cpu'", backend="gpu"),
        wrong("backend 'cuda' cannot run on g's device, cpu", backend="cuda"),
    ],
)
def test_errors_name_the_argument(kind, expected, model, g, T, options):
    with pytest.raises(kind, match=re.escape(expected)):
        neurons.simulate(model, g, T, **{"backend": "reference", **options})


def test_a_state_goes_on_with_what_it_began():
    run = simulate("stg", 1, noise=1.0)
    for changed, expected in (
        ({"dt": 0.05}, "dt must be that of state, 0.025, got 0.05"),
        ({"dtype": torch.float32}, "dtype must be that of state"),
        ({"scheme": "exponential_euler"}, "scheme must be that of state"),
        ({"threshold": (5.0, 0.0)}, "threshold must be that of state"),
        ({"noise": None}, "noise must be that of state"),
        ({"seed": 1}, "noise and seed must draw the numbers"),
        ({"g": STG[:2]}, "state must be of 2 neurons, got 3"),
    ):
        with pytest.raises(ValueError, match=re.escape(expected)):
            simulate("stg", 1, state=run.state, **{"noise": 1.0, **changed})
    with pytest.raises(ValueError, match="model must be that of state"):
        simulate("da", 1, state=run.state, dt=0.025)
