"""Populations in Triton: the oracle's numbers, noise to the bit, whatever the cut."""

import itertools
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lrnn_kernels.neurons import MODELS
from lrnn_kernels.neurons import noise as noises
from tests.conftest import over
from tests.systems.neurons.engines import GOLDEN, population, various
from tests.systems.neurons.test_engine import GOLDEN_RUNS

from .populations import DTYPES, INPUTS, B, check, make

pytestmark = pytest.mark.usefixtures("where", "poisoned")

#: Each model and each type.
SOME = [("stg", torch.float32), ("da", torch.float64), ("hh", torch.float32)]


@over("model, dtype", [(m, d) for m in MODELS for d in DTYPES])
def test_the_numbers_are_the_oracles(model, dtype):
    got = check(model, "all", dtype, 16)
    assert got.counts.sum() > 1 or model == "stg"


@over("how", [how for how in INPUTS if how != "all"])
def test_every_input_is_the_oracles(how):
    check("hh", how, torch.float32, 6)


@pytest.mark.parametrize("model", MODELS)
def test_the_scheme_as_written_is_the_oracles(model):
    check(model, "all", torch.float64, 6, scheme="exponential_euler")


@pytest.mark.parametrize("what", ["float32", "float64", "as written"])
@over("model, dt", list(GOLDEN_RUNS))
def test_golden_runs(where, what, model, dt):
    """On a GPU the golden spike trains, whole; in the interpreter how they begin."""
    written = {"scheme": "exponential_euler"} if what == "as written" else {}
    dtype = torch.float32 if what == "float32" else torch.float64
    discard, end = (3000.0, 6000) if model == "stg" else (1000.0, 5000)
    steps = round(end / dt)
    if where == "interpreter":
        discard, steps = 0.0, 6
    got, expected = (
        population(model, dtype=d, dt=dt, discard=discard, **written)
        for d in (dtype, torch.float64)
    )
    got.run("triton", steps)
    if where == "interpreter":
        expected.run("operator", steps)
        n = len(MODELS[model].states)
        error = (got.state - expected.state)[:, :n].abs() / (1 + expected.state[:, :n].abs())
        assert error.max() < (1e-6 if what == "float32" else 1e-12)
        return
    golden = GOLDEN_RUNS[model, dt][2 if written else 0]
    for times, (count, interval) in zip(got.spikes(), golden, strict=True):
        assert abs(len(times) - count) <= (2 if interval is None else 0)
        if interval is not None:
            assert np.diff(times).mean() == pytest.approx(interval, rel=5e-4)


@over("model, dtype", SOME)
def test_any_cut_is_the_same(model, dtype, monkeypatch):
    """Of the batch, of a program, and of time: in calls and in launches."""
    from lrnn_kernels.triton_kernels import populations

    whole = make(model, "all", dtype, record=(0, 1, 2), record_every=3)
    parts = [whole.part(slice(a, b)) for a, b in itertools.pairwise((0, 11, B))]
    narrow, pieces, launches = (whole.part(slice(None)) for _ in range(3))
    narrow.options["lanes"] = 16
    whole.run("triton", 9)
    narrow.run("triton", 9)
    for steps in (1, 1, 2, 5):
        pieces.run("triton", steps)
    monkeypatch.setattr(populations, "STEPS", 4)
    launches.run("triton", 9)
    assert narrow.results() == pieces.results() == launches.results() == whole.results()
    for part, (a, b) in zip(parts, itertools.pairwise((0, 11, B)), strict=True):
        part.run("triton", 9)
        assert part.results()[:3] == whole.part(slice(a, b)).results()[:3]
        assert torch.equal(part.recorded, whole.recorded[:, :, a:b])


#: What may become of neuron b; the others must not feel it.
BAD = (
    lambda p, b: p.g[b].fill_(torch.nan),
    lambda p, b: p.g[b, 0].fill_(torch.inf),
    lambda p, b: p.g[b].mul_(-1),
    lambda p, b: p.g[b].zero_(),
    lambda p, b: p.state[b, 0].fill_(torch.nan),
    lambda p, b: p.state[b, 0].fill_(-torch.inf),
    lambda p, b: p.state[b, 1].fill_(torch.nan),
    lambda p, b: p.options["current"][:, b].fill_(torch.nan),
    lambda p, b: p.options["current"][:, b].fill_(3e38),
    lambda p, b: p.state[b, 0].fill_(1e30),
    lambda p, b: p.state[b, 0].fill_(119.0),
    lambda p, b: p.options["noise"].sigma[b].fill_(torch.inf),
)
NOT_FINITE = [5 + i for i in (0, 1, 4, 5, 6, 7)]


@over("model, dtype", [("stg", torch.float32), ("da", torch.float32), ("hh", torch.float64)])
def test_neurons_that_fail_leave_the_others_alone(model, dtype):
    good, bad = (make(model, "all", dtype) for _ in range(2))
    for i, what in enumerate(BAD):
        what(bad, 5 + i)
    good.run("triton", 10)
    bad.run("triton", 10)
    others = (torch.arange(B) < 5) | (torch.arange(B) >= 5 + len(BAD))
    assert good.part(others).results()[:3] == bad.part(others).results()[:3]
    assert torch.equal(good.recorded[:, :, others], bad.recorded[:, :, others])
    finite = bad.state[:, : len(MODELS[model].states)].isfinite().all(1)
    assert not finite[NOT_FINITE].any()  # it stays so
    assert finite[5 + 10]
    assert finite[others].all()


@over("dtype", DTYPES)
def test_spikes_are_those_of_the_voltage(dtype):
    """Recomputed from the voltage at every step."""
    p = make("hh", "all", dtype, discard=0.1).run("triton", 20)
    V = torch.cat((p.recorded[:, 0].double(), p.state[None, :, 0])).numpy()
    up, down = p.options["threshold"]
    for b, got in enumerate(p.spikes()):
        expected, above, crossing = [], False, None
        for i, (vo, vn) in enumerate(itertools.pairwise(V[:, b].tolist())):
            if not above and vn >= up:
                above, crossing = True, (i + (up - vo) / (vn - vo)) * 0.025
            elif above and vn < down:
                above = False
                expected += [crossing] if crossing >= 0.1 else []
        assert got == expected
        assert bool(p.state[b, len(MODELS["hh"].states) + 1]) == above
    assert p.counts.sum() > 1


def test_spikes_beyond_the_slots_count_on():
    many, few, none = (make("hh", "all", torch.float32, slots=n) for n in (50, 1, 0))
    for p in (many, few, none):
        p.run("triton", 14)
    assert many.counts.tolist() == few.counts.tolist() == none.counts.tolist()
    assert max(many.counts) > 1
    assert torch.equal(few.times.nan_to_num(7), many.times[:, :1].nan_to_num(7))


@over("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [10.0, 1 / 3, -70.3, 1e-50, 1e300, -1e300])
def test_a_threshold_is_the_least_number_at_it_or_above(dtype, threshold):
    from lrnn_kernels.triton_kernels.populations import reached

    got = reached(threshold, dtype)
    kind = np.float32 if dtype == torch.float32 else np.float64
    assert got >= threshold
    assert float(np.nextafter(kind(got), kind(-np.inf))) < threshold


def test_a_threshold_just_above_the_highest_voltage_is_not_reached():
    """By less than float32 can tell."""
    V = make("hh", "constant", torch.float32).run("triton", 4).recorded[:, 0]
    peak = V[1:].max().item()
    for above in (0.0, 1e-9):
        threshold = peak + above, peak + above
        p = make("hh", "constant", torch.float32, threshold=threshold).run("triton", 4)
        crossed = p.state[:, len(MODELS["hh"].states) + 2].isfinite()
        assert crossed.any() == (above == 0)


@over("dtype", DTYPES)
def test_a_membrane_that_hardly_conducts_is_charged(dtype):
    """1 uA/cm^2 for 1 ms on 1 uF/cm^2 is 1 mV: E is then 1e9 mV away."""
    p = population("hh", [[0.0, 0.0, 1e-9]], dtype, current=1.0).run("triton", 40)
    assert p.state[0, 0].item() == pytest.approx(-64.0, abs=1e-4)


@over("dtype", DTYPES)
def test_a_membrane_that_conducts_all_at_once_is_at_rest(dtype):
    """Its time constant is a thousandth of the step."""
    p = population("hh", [[120.0, 36.0, 4e4], [0.0, 0.0, 1e30]], dtype).run("triton", 2)
    assert p.state[:, 0].tolist() == pytest.approx([-54.387] * 2, abs=0.1)
    assert p.state[1, 0].item() == pytest.approx(-54.387, abs=1e-5)


#: Where a rate of a model has a removable singularity, mV.
SINGULAR = {"stg": (), "da": (-19.565 / 0.5052,), "hh": (-40.0, -55.0)}


@over("model, dtype", [(m, d) for m in MODELS for d in DTYPES])
def test_voltages_of_any_size(model, dtype):
    """At singularities, and far outside, whence they come back; gates see 120 mV at most in
    float32, 300 in float64."""
    bounds = [-119.0, 119.0] if dtype == torch.float32 else [-250.0, 250.0]
    V = bounds + [v + d for v in SINGULAR[model] for d in (0.0, -1e-7, 1e-5, 0.03, -0.2)]
    huge = [-1e30, -1e4, -301.0, 301.0, 1e4, 1e30]
    g = torch.tensor(GOLDEN[model][:1]).expand(len(V) + len(huge), -1)
    got, expected = (population(model, g, d) for d in (dtype, torch.float64))
    for p in (got, expected):
        p.state[:, 0] = torch.tensor(V + huge, dtype=torch.float64).to(dtype)
    before = got.state[:, 0].abs()
    got.run("triton", 1)
    n = len(MODELS[model].states)
    near = expected.part(slice(0, len(V))).run("oracle", 1).state[:, :n]
    error = (got.state[: len(V), :n] - near).abs() / (1 + near.abs())
    assert error.max() < (1e-4 if dtype == torch.float32 else 1e-9)
    got.run("triton", 1)
    assert got.state[:, :n].isfinite().all()
    assert (got.state[len(V) :, 0].abs() < before[len(V) :]).all()


@over("dtype", DTYPES)
def test_far_from_the_beginning(dtype):
    """Steps, samples, seeds and neurons that need all of their 64 bits."""
    got, expected = (make("hh", "noise", d, neurons=3) for d in (dtype, torch.float64))
    for p in (got, expected):
        p.step = 3 * 2**40 + 2
        many = torch.tensor([2**62 + 5, 2**32, 2**32 - 1])
        noise = p.options["noise"]._replace(seed=2**64 - 2**33 - 1, neurons=many)
        p.options["noise"] = noise
        p.state[:, -noises.COLUMNS :] = noises.start(noise, p.step)
    middle = expected.state[0, 0].item()
    got.options["threshold"] = expected.options["threshold"] = (middle + 0.01, middle - 5)
    got.run("triton", 7)
    expected.run("oracle", 7)
    assert torch.equal(got.state[:, -noises.COLUMNS :], expected.state[:, -noises.COLUMNS :])
    torch.testing.assert_close(got.state[:, :4], expected.state[:, :4], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(got.state[:, 6], expected.state[:, 6], rtol=0, atol=1e-5)
    assert (got.state[:, 6] > 2**40 * 0.07).any()


@pytest.mark.parametrize("every", [1, 3, 2**23 - 1, 2**23, 2**24 + 3, 2**40 + 1])
def test_noise_between_samples_of_any_distance(every):
    """The share that has gone is that of float64, rounded."""
    got, expected = (make("hh", "noise", torch.float32, neurons=3) for _ in range(2))
    for p in (got, expected):
        p.step = 5 * every - 2
        p.options["noise"] = p.options["noise"]._replace(every=every)
        p.g.zero_()
        p.g[:, 2] = 1e-9  # V is then the sum of the currents
        p.state[:, -2:] = torch.tensor([1e9, 0.0])  # of which what has not gone is left
    got.run("triton", 3)
    expected.run("operator", 3)
    assert torch.equal(got.state[:, -noises.COLUMNS :], expected.state[:, -noises.COLUMNS :])
    torch.testing.assert_close(got.recorded[:, 0], expected.recorded[:, 0], rtol=1e-6, atol=1e-5)


@over("neurons, steps", [(0, 10), (1, 0), (0, 0), (1, 1)])
def test_nothing_to_do(neurons, steps):
    g = torch.tensor(GOLDEN["da"])[:neurons]
    p = population("da", g, current=1.0, sigma=1.0, record=(0,))
    before = p.state.clone()
    p.run("triton", steps)
    assert p.counts.tolist() == [0] * neurons
    assert torch.equal(before.nan_to_num(7), p.state.nan_to_num(7)) == (neurons * steps == 0)


def _holes(path: Path, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Many zeros, in a file that nobody else sees."""
    numbers = torch.from_file(str(path), shared=True, size=count, dtype=dtype)
    path.unlink()
    return numbers


def test_offsets_have_64_bits(where, tmp_path):
    """A slot of the last neuron, and a sample of the current, that no 32 bits count to: in files
    that are all holes, as no memory of a GPU is."""
    if where == "gpu":
        return
    slots, first = 2**30 + 1, 2**31 + 4
    p = make("hh", "constant", torch.float32, neurons=3)
    p.options["threshold"] = 200.0, 200.0
    n = len(MODELS["hh"].states)
    p.state[:, n + 1], p.state[:, n + 2] = 1.0, 12.5  # a spike, which ends in the first step
    p.times = _holes(tmp_path / "times", 3 * slots, torch.float64).view(3, slots)
    p.counts.fill_(slots - 1)
    p.options["current"] = _holes(tmp_path / "current", first + 8, torch.float32)[:, None]
    p.options["current"][first - 1 : first + 4] = 5.0
    p.options["current_rate"] = 1.0
    expected = make("hh", "constant", torch.float32, neurons=3)
    expected.options["current"] = torch.full((1, 1), 5.0)
    p.step = expected.step = first
    p.run("triton", 2)
    expected.run("triton", 2)
    assert p.times[:, -1].tolist() == [12.5] * 3
    assert p.counts.tolist() == [slots] * 3
    assert torch.equal(p.state[:, :n], expected.state[:, :n])


def test_ctrl_c_leaves_a_long_run():
    p = population("hh", various("hh", 5))
    timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        p.run("triton", 2_000_000_000)
    assert time.monotonic() - began < 3
