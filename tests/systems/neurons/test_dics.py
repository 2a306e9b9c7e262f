"""Dynamic input conductances, compensation, and the populations that they make."""

import itertools
import re

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons.curves import slope
from tests.systems.neurons.cases import CONDUCTANCES, DA, HH, MODELS, STG

CHECK = torch.tensor([4000, 100, 5, 10, 160, 300, 0.2, 0.01], dtype=torch.float64)


@pytest.mark.parametrize(
    ("model", "g", "V", "expected", "digits"),
    [
        ("stg", CHECK, -51.0, (-2.885392, 3.679175, 2.849431), 1e-6),
        ("stg", STG[1], -51.0, (-5.468, -10, 5), 5e-4),
        ("stg", STG[2], -51.0, (-5.375, 8, 5), 5e-4),
        ("da", DA[0], -55.5, (None, -5, 5), 1e-5),
        ("da", DA[1], -55.5, (None, 5, 5), 1e-5),
    ],
)
def test_known_values(model, g, V, expected, digits):
    found = neurons.dic(model, g, V).tolist()
    for value, wanted in zip(found, expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted, abs=digits)


@pytest.mark.parametrize("model", MODELS)
def test_all_scales_together_are_the_slope_of_the_steady_current(model):
    """g_f + g_s + g_u = -d(dV/dt)/dV / g_leak along the steady states, whatever the weights."""
    row = neurons.MODELS[model]
    g = CONDUCTANCES[model][0]

    def steady_current(V):
        calcium = None
        if row.calcium:
            flows = sum(
                g[row.channel(c.name)] * x * (V - c.E)
                for c in row.channels
                if c.name in row.calcium.channels
                for x in [torch.stack([row.gate(n).x_inf(V) ** p for n, p in c.gates]).prod(0)]
            )
            calcium = row.calcium.rest - row.calcium.factor * flows
        pair = None
        if row.pair:
            a0, b0, ai, bi = row.pair.rates(V)
            pair = a0 * bi / (a0 * (ai + bi) + b0 * bi)
        rate = row.conduct(V, row.steady(V, calcium), pair, g.expand(len(V), -1))
        return rate.G * V - rate.drive

    V = torch.linspace(-80, 10, 37, dtype=torch.float64)
    total = neurons.dic(model, g.expand(37, -1), V).sum(1)
    torch.testing.assert_close(total, slope(steady_current, V)[1] / g[-1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_forms_agree(model):
    g = CONDUCTANCES[model]
    V = torch.linspace(-70, -30, 5, dtype=torch.float64)
    curves = neurons.dic_curves(model, g, V)
    assert curves.shape == (len(g), 5, 3)
    for i, v in enumerate(V):
        at = neurons.dic(model, g, v.item())
        torch.testing.assert_close(at, curves[:, i])
        S = neurons.sensitivities(model, g, v)
        torch.testing.assert_close((S @ g[..., None])[..., 0] / g[:, -1:], at)
        torch.testing.assert_close(neurons.dic(model, g, v.expand(len(g))), at)
        torch.testing.assert_close(
            neurons.dic(model, g.float(), v.item()).double(), at, rtol=1e-3, atol=1e-3
        )
    S = neurons.sensitivities(model, g[0], -50.0)
    assert S.shape == (3, g.shape[1])
    assert S[:, -1].tolist() == [1, 0, 0]


@pytest.mark.parametrize("model", MODELS)
def test_gradients(model):
    g = CONDUCTANCES[model][:1].clone().requires_grad_()
    V = torch.tensor([-48.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g, V: neurons.dic(model, g, V), (g, V))
    total = neurons.dic(model, g, V).sum()
    expected = torch.autograd.grad(total, (g, V))
    found = torch.func.grad(lambda g, V: neurons.dic(model, g, V).sum(), (0, 1))(g, V)
    torch.testing.assert_close(found, expected)
    for plain in (
        neurons.dic(model, g.detach(), -48.0),
        neurons.dic(model, g.detach(), V.detach()),
    ):
        assert not plain.requires_grad


def test_thresholds():
    found = neurons.threshold_voltage("stg", STG)
    at = neurons.dic("stg", STG)
    assert at.sum(1).abs().max() < 1e-3
    torch.testing.assert_close(neurons.dic("stg", STG, found), at)
    for V, g in zip(found, STG, strict=True):
        below = torch.arange(-100, float(V) - 0.5, 0.5, dtype=torch.float64)
        total = neurons.dic_curves("stg", g, below).sum(1)
        assert not ((total[:-1] >= 0) & (total[1:] < 0)).any()
        assert (
            neurons.dic("stg", g, float(V) - 1e-4).sum()
            > 0
            > neurons.dic("stg", g, float(V) + 1e-4).sum()
        )
    assert neurons.threshold_voltage("hh", HH).isnan().all()  # its slope is never negative
    assert neurons.dic("hh", HH).isnan().all()
    assert neurons.threshold_voltage("stg", STG[:0]).shape == (0,)
    assert neurons.threshold_voltage("stg", STG[0]).shape == ()


def test_calcium_may_be_ultraslow():
    tau, ultraslow = (neurons.dic("stg", CHECK, -51.0, calcium=c) for c in ("tau", "ultraslow"))
    assert tau.sum() == pytest.approx(ultraslow.sum().item())
    assert tau[0] == pytest.approx(ultraslow[0].item())  # tau_Ca, 20 ms, is slow
    assert tau[1] > ultraslow[1]


def test_compensation_meets_its_targets():
    """Exactly, where sensitivities do not depend on what is solved for; else closer and closer."""
    g = STG.repeat(3, 1)
    g_s = torch.linspace(-15, 15, 9, dtype=torch.float64)
    found = neurons.compensate("stg", g, solve=("A", "H"), g_s=g_s, g_u=4.0)
    at = neurons.dic("stg", found, -51.0)
    torch.testing.assert_close(at[:, 1], g_s)
    torch.testing.assert_close(at[:, 2], torch.full_like(g_s, 4.0))
    others = [0, 1, 2, 3, 4, 7]
    assert torch.equal(found[:, others], g[:, others])
    three = neurons.compensate("stg", g, solve=("Na", "A", "H"), g_f=-6.0, g_s=g_s, g_u=4.0)
    expected = torch.stack((torch.full_like(g_s, -6.0), g_s, torch.full_like(g_s, 4.0)), 1)
    torch.testing.assert_close(neurons.dic("stg", three, -51.0), expected)
    errors = []
    for iterations in (0, 1, 2, 5, 15):
        found = neurons.compensate(
            "stg", g, solve=("CaS", "H"), g_s=-5.0, g_u=4.0, iterations=iterations
        )
        errors.append(
            (neurons.dic("stg", found, -51.0)[:, 1:] - expected.new_tensor([-5.0, 4.0])).norm()
        )
    assert all(b < a / 3 for a, b in itertools.pairwise(errors))
    assert errors[-1] < 1e-9


@pytest.mark.parametrize(
    ("solve", "targets"),
    [
        (("NMDA",), {"g_s": 1.0}),
        (("NMDA",), {"g_u": 1.0}),
        (("ERG",), {"g_s": 1.0}),
        (("ERG", "NMDA"), {"g_s": 1.0, "g_u": 2.0}),
        (("Kd", "NMDA"), {"g_s": 1.0, "g_u": 2.0}),
    ],
)
def test_what_has_no_solution_is_nan(solve, targets):
    """NMDA acts in the fast scale alone, ERG not in the slow one."""
    g = neurons.compensate("da", DA, solve=solve, **targets)
    row = neurons.DA
    columns = [row.channel(name) for name in solve]
    assert g[:, columns].isnan().all()
    others = [k for k in range(len(row.channels)) if k not in columns]
    assert torch.equal(g[:, others], DA[:, others])


def test_compensation_of_what_calcium_gates():
    found = neurons.compensate("stg", STG, solve=("KCa", "H"), g_s=3.0, g_u=6.0, V=-50.0)
    at = neurons.dic("stg", found, -50.0)[:, 1:]
    torch.testing.assert_close(at, at.new_tensor([3.0, 6.0]).expand(3, 2))


@pytest.mark.parametrize("model", ["stg", "da"])
def test_the_base_population_spikes_by_its_recipe(model):
    row = neurons.MODELS[model]
    found = neurons.spiking_population(model, 4000, seed=3)
    assert found.dropped < 40
    at = neurons.dic(model, found.g, row.V_threshold)
    torch.testing.assert_close(at, at.new_tensor(row.recipe.targets).expand_as(at))
    low, high = row.recipe.leak
    leak = found.g[:, -1]
    assert leak.mean().item() == pytest.approx((low + high) / 2, rel=0.02)
    assert leak.std().item() == pytest.approx((high - low) / 12**0.5, rel=0.05)
    for name, (a, b) in row.recipe.ranges.items():
        scaled = found.g[:, row.channel(name)] / leak * (low + high) / 2
        assert scaled.min() >= a - 1e-9
        assert scaled.max() <= b + 1e-9
    again = neurons.spiking_population(model, 4000, seed=3)
    assert torch.equal(again.g, found.g)
    assert not torch.equal(neurons.spiking_population(model, 4000, seed=4).g[:9], found.g[:9])


@pytest.mark.parametrize(
    ("model", "g_s", "g_u", "pair"),
    [
        ("stg", 8.0, 5.0, ("A", "H")),
        ("stg", 0.0, 5.0, ("A", "H")),
        ("stg", -8.0, 5.0, ("CaS", "H")),
        ("stg", -2.0, -1.0, ("CaS", "A")),
        ("da", 5.0, 5.0, ("ERG", "Kd")),
        ("da", -5.0, 5.0, ("ERG", "CaL")),
    ],
)
def test_neuromodulation_moves_a_pair(model, g_s, g_u, pair):
    row, base = neurons.MODELS[model], neurons.spiking_population(model, 500, seed=1).g
    found = neurons.neuromodulate(model, base, g_s=g_s, g_u=g_u, iterations=40)
    assert len(found.g) > 250
    at = neurons.dic(model, found.g, row.V_threshold)
    assert (at[:, 1:] - at.new_tensor([g_s, g_u])).norm(dim=1).mean() < 1e-3
    moved = (found.g != base[found.kept]).any(0).tolist()
    assert {name for name, yes in zip(row.channel_names, moved, strict=True) if yes} == set(pair)
    assert found.dropped + len(found.g) == 500


def test_targets_of_each_neuron_and_negative_conductances():
    base = neurons.spiking_population("stg", 300, seed=1).g
    g_s = torch.linspace(-20, 60, 300, dtype=torch.float64)
    found = neurons.neuromodulate("stg", base, g_s=g_s, g_u=5.0)
    at = neurons.dic("stg", found.g, -51.0)
    torch.testing.assert_close(at[:, 1], g_s[found.kept], atol=0.05, rtol=0)
    assert (found.g >= 0).all()
    previous = neurons.neuromodulate("stg", base, g_s=g_s, g_u=5.0, guess="previous", iterations=30)
    torch.testing.assert_close(previous.g, found.g, rtol=0.02, atol=1e-2)
    base = neurons.spiking_population("da", 2000, seed=1).g
    g_u = torch.linspace(0, 20, 2000, dtype=torch.float64)
    far = neurons.neuromodulate("da", base, g_s=10.0, g_u=g_u)
    assert 0 < far.dropped < 2000
    assert far.kept.sum() == len(far.g) == 2000 - far.dropped
    assert (far.g >= 0).all()


def test_monte_carlo_ranges():
    for law in ("uniform", "gamma"):
        g = neurons.monte_carlo("stg", 20000, seed=2, law=law)
        ends = torch.tensor(list(neurons.STG.recipe.monte_carlo.values()), dtype=torch.float64)
        torch.testing.assert_close(g.mean(0) / ends, torch.full_like(ends, 0.5), atol=0.01, rtol=0)
        torch.testing.assert_close(
            g.std(0) / ends, torch.full_like(ends, 12**-0.5), atol=0.01, rtol=0
        )
        assert torch.equal(g, neurons.monte_carlo("stg", 20000, seed=2, law=law))
    assert neurons.monte_carlo("da", 5).shape == (5, 7)
    assert neurons.monte_carlo("da", 5, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda: neurons.dic("stg", STG, "rest"),
            "V must be a tensor, an array or lists of nu",
        ),
        (lambda: neurons.dic("stg", STG, torch.zeros(2).double()), "V must broadcast with (3,)"),
        (lambda: neurons.dic("stg", STG, calcium="fast"), "calcium must be one of"),
        (lambda: neurons.dic("stg", DA), "g must have shape (..., 8)"),
        (lambda: neurons.dic_curves("stg", STG, torch.zeros(2, 2)), "V must have shape (n,)"),
        (lambda: neurons.compensate("stg", STG, solve=("A",), g_s=1.0, g_u=1.0), "solve must name"),
        (lambda: neurons.compensate("stg", STG, solve=()), "solve must name"),
        (
            lambda: neurons.compensate("stg", STG, solve=("A", "leak"), g_s=1.0, g_u=1.0),
            "solve must name different channels and not the leak",
        ),
        (
            lambda: neurons.compensate("stg", STG, solve=("A", "K"), g_s=1.0, g_u=1.0),
            "stg has no channel 'K': it has Na, Kd",
        ),
        (
            lambda: neurons.compensate("stg", STG, solve=("A",), g_s=torch.zeros(2)),
            "g_s must be a number or have shape (3,), got (2,)",
        ),
        (
            lambda: neurons.compensate("stg", STG, solve=("A",), g_s=1.0, guess={"H": 1.0}),
            "guess must be of channels in solve",
        ),
        (lambda: neurons.compensate("stg", STG, solve=1, g_s=1.0), "solve must name"),
        (
            lambda: neurons.compensate("stg", STG.half(), solve=("A",), g_s=1.0),
            "g must be float32 or float64, got torch.float16",
        ),
        (
            lambda: neurons.compensate("stg", STG, solve=("A",), g_s=torch.zeros(3).cfloat()),
            "g_s must be real, got torch.complex64",
        ),
        (
            lambda: neurons.neuromodulate("stg", STG, g_s=1.0, g_u=torch.zeros(3).cfloat()),
            "g_u must be real, got torch.complex64",
        ),
        (
            lambda: neurons.spiking_population("stg", 5, dtype=torch.int32),
            "dtype must be a floating point torch.dtype, got torch.int32",
        ),
        (
            lambda: neurons.monte_carlo("stg", 5, dtype="float32"),
            "dtype must be a floating point torch.dtype, got float32",
        ),
        (lambda: neurons.spiking_population("hh", 5), "model must have a recipe"),
        (lambda: neurons.dic("stg", STG.half(), -51.0), "g must be torch.float32 or torch.float64"),
        (lambda: neurons.spiking_population("stg", -1), "n must be at least 0"),
        (lambda: neurons.monte_carlo("stg", 5, law="normal"), "law must be one of"),
        (lambda: neurons.neuromodulate("stg", STG, g_s=1.0, g_u=1.0, guess="x"), "guess must be"),
    ],
)
def test_errors_name_the_argument(call, expected):
    with pytest.raises((TypeError, ValueError), match=re.escape(expected)):
        call()


def test_plots_draw():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    a, b, c, d = figure.subplots(2, 2).ravel()
    run = neurons.simulate("stg", STG, 5, record=0.5, backend="reference")
    neurons.plot_voltage(a, run.record, 1)
    neurons.plot_raster(b, run.spikes)
    neurons.plot_dics(c, "stg", STG[1])
    neurons.plot_population(d, "stg", STG)
    assert a.lines[0].get_ydata()[0] == -70
    assert len(b.lines[0].get_xdata()) == len(run.spikes.times)
    assert len(c.lines) == 5
    assert len(d.lines) == 3
    assert [label.get_text().split("\n")[0] for label in d.get_xticklabels()] == list(
        neurons.STG.channel_names
    )
    for V in (neurons.threshold_voltage("stg", STG[1]),):
        assert c.lines[-1].get_xdata()[0] == pytest.approx(V.item())
    with pytest.raises(ValueError, match="neuron must be below 3, got 3"):
        neurons.plot_voltage(a, run.record, 3)
    for given in (run._replace(record=None).record, run, run.spikes):  # what is at hand instead
        with pytest.raises(
            TypeError, match=r"recording must be the record of simulate\(..., record="
        ):
            neurons.plot_voltage(a, given)
