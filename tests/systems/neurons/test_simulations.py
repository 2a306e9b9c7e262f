"""What a simulation computes: golden runs, the scheme's steps against plain floats, and its limit
for small steps."""

import ast
from dataclasses import replace

import pytest
import torch

from lrnn_kernels import neurons
from tests import ROOT
from tests.systems.neurons import scalar
from tests.systems.neurons.cases import (
    BACKENDS,
    COMPILED,
    CONDUCTANCES,
    DTYPES,
    MODELS,
    simulate,
)

KINDS = {"stg": scalar.STG, "da": scalar.DA}

#: Spikes and mean ISI (ms) by (model, neuron, scheme, dt): of the last 3 s of 6 (STG), of the last
#: 4 s of 5 (DA). Tight LSODA: 58, 50.747; 111, 27.165; 40, 74.387; 132, 18.735; 6, 735.85.
GOLDEN = {
    ("stg", 0, "exponential_euler", 0.1): (57, 51.970),
    ("stg", 1, "exponential_euler", 0.1): (112, 26.980),
    ("stg", 2, "exponential_euler", 0.1): (40, 74.764),
    ("da", 0, "exponential_euler", 0.05): (146, None),
    ("da", 1, "exponential_euler", 0.05): (6, 735.0),
    ("stg", 0, "default", 0.0125): (58, 50.763),
    ("stg", 1, "default", 0.0125): (111, 27.164),
    ("stg", 2, "default", 0.0125): (40, 74.388),
    ("da", 0, "default", 0.0125): (133, None),
    ("da", 1, "default", 0.0125): (6, 735.790),
    ("stg", 0, "default", 0.025): (58, 50.813),
    ("stg", 1, "default", 0.025): (111, 27.159),
    ("stg", 2, "default", 0.025): (40, 74.394),
    ("da", 0, "default", 0.025): (135, None),
    ("da", 1, "default", 0.025): (6, 735.603),
    ("stg", 0, "default", 0.05): (58, 50.906),
    ("stg", 1, "default", 0.05): (111, 27.164),
    ("stg", 2, "default", 0.05): (40, 74.351),
    ("da", 0, "default", 0.05): (145, None),
    ("da", 1, "default", 0.05): (6, 734.894),
}
PERIOD = {"stg": (6000.0, 3000.0), "da": (5000.0, 1000.0)}
#: In Python floats a step takes 20 us: the longest steps only. Compiled, tables may stand for the
#: curves: within 0.05 %, up to dt 0.025.
RUNS = [("scalar", torch.float64, *key) for key in GOLDEN if key[3] >= 0.05] + [
    (backend, dtype, *key)
    for backend in COMPILED
    for dtype in DTYPES
    for key in GOLDEN
    if key[2] == "default" and key[3] <= 0.025
]


@pytest.mark.parametrize(("backend", "dtype", "model", "neuron", "scheme", "dt"), RUNS)
def test_golden_runs(backend, dtype, model, neuron, scheme, dt):
    """Counts, and mean ISIs: the orbits do not repeat, and two codes in float64 that round
    otherwise give windows whose means differ (seen: 0.12 % at dt 0.1, 0.01 % at 0.05)."""
    T, discard = PERIOD[model]
    g = CONDUCTANCES[model][neuron : neuron + 1]
    if backend == "scalar":
        found = scalar.spike_times(KINDS[model], g[0].tolist(), T, dt, scheme, discard)
    else:
        run = simulate(model, T, backend, g, dt=dt, discard=discard, dtype=dtype)
        found = run.spikes.to_lists()[0]
    count, isi = GOLDEN[model, neuron, scheme, dt]
    assert abs(len(found) - count) <= (2 if isi is None else 0)  # the DA burster is irregular
    if isi is not None:
        mean = (found[-1] - found[0]) / (len(found) - 1)
        assert mean == pytest.approx(isi, rel=2e-3 if dt > 0.05 else 5e-4)


@pytest.mark.parametrize("scheme", ["default", "exponential_euler"])
@pytest.mark.parametrize("model", KINDS)
def test_the_reference_steps_as_plain_floats_do(model, scheme):
    """Before rounding has grown: spikes of the first 100 ms, with a current that changes."""
    wave = torch.linspace(0, 4, 31, dtype=torch.float64)
    run = simulate(model, 100, dt=0.05, scheme=scheme, current=wave, current_dt=5.0)
    for g, found in zip(CONDUCTANCES[model], run.spikes.to_lists(), strict=True):
        expected = scalar.spike_times(
            KINDS[model], g.tolist(), 100, 0.05, scheme, current=lambda t: 4 * t / 150
        )
        assert len(found) == len(expected) > 0
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scheme", ["default", "exponential_euler"])
@pytest.mark.parametrize("model", MODELS)
def test_small_steps_follow_the_derivative(model, scheme):
    row, dt = neurons.MODELS[model], 1e-6
    generator = torch.Generator().manual_seed(0)
    states = torch.rand(20, len(row.states), generator=generator, dtype=torch.float64)
    states[:, 0] = 100 * states[:, 0] - 70
    g = CONDUCTANCES[model][:1].repeat(20, 1)
    current = torch.linspace(-5, 5, 20, dtype=torch.float64)
    run = simulate(model, dt, g=g, state=states, dt=dt, current=current, scheme=scheme)
    after = run.state.values[:, : len(row.states)]
    slope = row.derivative(states, g, current)
    # First order: off by dt/2 times the second derivative, which goes as fast gates and G do.
    torch.testing.assert_close((after - states) / dt, slope, rtol=2e-3, atol=1e-6)


def test_the_axon_fires_as_its_paper_says():
    """10 uA/cm^2 make the squid's axon fire at 68.3 Hz (LSODA at 1e-10: ISIs of 14.637 ms); none,
    and it rests at -65 mV."""
    found = simulate("hh", 65, dt=0.025, current=10.0).spikes[0].diff()[2:]
    assert found.mean().item() == pytest.approx(14.637, rel=2e-3)
    at_rest = simulate("hh", 50, dt=0.05)
    assert len(at_rest.spikes[0]) == 0
    assert at_rest.state["V"].item() == pytest.approx(-65, abs=0.1)


@pytest.mark.parametrize("model", MODELS)
def test_float32_follows_float64(model):
    """To 0.02 ms in the first 60 ms. (In float32 the CPU's engine may have gates from tables, which
    relax exactly: see ``test_engine.py``.)"""
    runs = [simulate(model, 60, dt=0.05, current=8.0, dtype=dtype).spikes for dtype in DTYPES]
    assert torch.equal(runs[0].counts, runs[1].counts)
    assert runs[0].times.dtype == torch.float64
    torch.testing.assert_close(runs[0].times, runs[1].times, atol=0.02, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", MODELS)
def test_backends_follow_the_reference(model, backend):
    expected = simulate(model, 60, dt=0.05, current=8.0, record=0.5)
    run = simulate(model, 60, backend, dt=0.05, current=8.0, record=0.5)
    assert torch.equal(run.spikes.counts.cpu(), expected.spikes.counts)
    torch.testing.assert_close(run.spikes.times.cpu(), expected.spikes.times, atol=1e-3, rtol=0)
    early = slice(0, 20)  # later a spike's flank makes much of little
    torch.testing.assert_close(
        run.record["V"][:, early].cpu(), expected.record["V"][:, early], atol=0.05, rtol=0
    )


@pytest.mark.parametrize(
    ("model", "V"),
    [("da", -19.565 / 0.5052), ("da", -38.7272), ("hh", -40.0), ("hh", -55.0)],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_removable_singularities_are_removed(model, V, dtype):
    """Gates are smooth, positive and have a gradient where a formula is 0/0, and about it."""
    row = neurons.MODELS[model]
    offsets = [s * 10.0**-k for k in range(1, 13) for s in (-1, 1)]
    near = (V + torch.tensor([0.0, *offsets], dtype=torch.float64)).to(dtype).requires_grad_()
    for values in (row.taus(near), row.steady(near)):
        assert (values > 0).all()
        slopes = torch.autograd.grad(values.sum(), near, retain_graph=True)[0]
        assert slopes.isfinite().all()
        change = (values - values[0]).abs() / values[0]
        assert (change <= 0.3 * (near - near[0]).abs()[:, None] + 4e-7).all()
        assert (slopes - slopes[0]).abs().max() <= 0.1 * slopes.abs().max() + 1e-6


def test_the_contract_of_a_model():
    for name, row in neurons.MODELS.items():
        assert row.name == name
        assert row.channels[-1].name == "leak"
        assert not row.channels[-1].gates
        assert row.states[0] == "V"
        assert row.start(2).shape == (2, len(row.states))
        assert row.start(2).dtype == torch.float64
        used = {gate for channel in row.channels for gate, _ in channel.gates}
        assert used == {gate.name for gate in row.gates}
        assert row.V_range[0] < row.V_start < row.V_range[1]
        # The start is a steady state of the gates.
        slope = row.derivative(row.start(1), CONDUCTANCES[name][:1])[0]
        gates = slope[1 : 1 + len(row.dynamic)]
        assert gates.abs().max() < 1e-12
        for state in row.states[1 + len(row.dynamic) :]:
            assert state in ("Ca", "o_ERG", "i_ERG")


def _changed(part: str) -> neurons.Model:
    """STG but for one entry of a table."""
    row = neurons.STG
    if part == "calcium":
        return replace(row, calcium=replace(row.calcium, rest=0.06))
    if part == "name":
        return replace(row, name="mine")
    rows = getattr(row, part)
    other = {"channels": {"E": -60}, "gates": {"x_inf": row.gates[0].x_inf}}[part]
    return replace(row, **{part: (*rows[:-1], replace(rows[-1], **other))})


@pytest.mark.parametrize("part", ["channels", "gates", "calcium", "name"])
def test_a_changed_model_is_not_taken_for_the_compiled_one(part):
    changed, g = _changed(part), CONDUCTANCES["stg"]
    reason = f"the compiled model 'stg' has other {part}"
    if part == "name":
        reason = "no model 'mine' is compiled"
    choice = neurons.explain(changed, g)
    assert choice.backend == "reference"
    assert reason in choice.reason
    for backend in COMPILED:
        with pytest.raises(RuntimeError, match=f"backend {backend!r} cannot run: {reason}"):
            neurons.simulate(changed, g, 1.0, backend=backend)
    with pytest.warns(RuntimeWarning, match=reason):
        found = neurons.simulate(changed, g, 5.0)
    expected = neurons.simulate(changed, g, 5.0, backend="reference")
    assert torch.equal(found.state.values, expected.state.values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_call_hands_to_engines_may_be_changed(backend):
    """Where a model starts, and with which steps, is no part of what is compiled."""
    changed = replace(neurons.STG, V_start=-60.0, dt=0.0125)
    found = neurons.simulate(changed, CONDUCTANCES["stg"], 1.0, backend=backend)
    start = changed.start(3)
    expected = neurons.simulate(
        "stg", CONDUCTANCES["stg"], 1.0, dt=0.0125, state=start, backend=backend
    )
    assert torch.equal(found.state.values, expected.state.values)


def test_no_code_asks_for_a_model_or_a_channel_by_name():
    """But the files of models: what is special of one is in its table."""
    names = set(neurons.MODELS)
    for row in neurons.MODELS.values():
        names |= {*row.channel_names, *(gate.name for gate in row.gates)} - {"leak"}
    for path in (ROOT / "lrnn_kernels" / "neurons").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in names, f"{path.name}:{node.lineno}"


def test_conductances_in_siemens():
    assert neurons.to_siemens(torch.tensor([120.0])).item() == pytest.approx(0.12)
