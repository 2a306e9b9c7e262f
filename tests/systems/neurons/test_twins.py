"""Twins of a recording: their DICs are the predicted ones, and what is doubtful is said."""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons.twins import matches as compared
from lrnn_kernels.neurons.twins import population, rates

SHORT = {"T": 2500.0, "discard": 1000.0}


@pytest.fixture(scope="module")
def recorded():
    base = neurons.spiking_population("stg", 4, seed=11).g
    bursting = neurons.neuromodulate("stg", base, g_s=-8.0, g_u=6.0).g
    spiking = neurons.neuromodulate("stg", base, g_s=6.0, g_u=5.0).g
    g = torch.stack((bursting[0], spiking[0], bursting[1]))
    return neurons.simulate("stg", g, 6000, discard=3000).spikes


@pytest.fixture(scope="module")
def found(recorded):
    return neurons.twins(recorded, 8, **SHORT)


def test_twins_have_the_predicted_dics(found):
    prediction, g = found.prediction, found.g
    assert g.shape == (3, 8, 8)
    assert (g >= 0).all()
    dics = neurons.dic("stg", g.flatten(0, 1), -51.0).view(3, 8, 3)
    torch.testing.assert_close(
        dics[..., 1], prediction.g_s[:, None].double().expand(-1, 8), rtol=0, atol=0.1
    )
    torch.testing.assert_close(
        dics[..., 2], prediction.g_u[:, None].double().expand(-1, 8), rtol=0, atol=0.1
    )
    spread = g.std(1) / g.mean(1)
    assert (spread > 0.05).all()  # they differ widely


def test_twins_fire_like_the_recording(found, recorded):
    kinds = [match.firing_class.name for match in found.matches]
    assert kinds == ["BURSTING", "SPIKING", "BURSTING"]
    for b, match in enumerate(found.matches):
        assert match.same_class >= 0.9
        assert match.rate_error < 0.3
        assert not [doubt for doubt in match.outside if "twins" in doubt]
        assert match.rate == rates(recorded)[b]
        assert len(found.of(b)) == 8
        assert match.twin_rate == rates(found.of(b)).median()
        known = {1: {"spiking_rate"}, 2: set(neurons.network.METRICS[1:])}[int(match.firing_class)]
        assert set(match.metrics) == known


def test_a_unit_has_the_same_twins_alone(found, recorded):
    alone = neurons.twins(recorded[[1]], 8, **SHORT)
    torch.testing.assert_close(alone.g[0], found.g[1], rtol=1e-3, atol=1e-6)


def test_silent_units_have_no_twins(recorded):
    lists = [recorded[0], torch.tensor([3.0, 8.0]), torch.empty(0)]
    found = neurons.twins(neurons.Spikes.from_lists(lists), 2, **SHORT)
    assert found.g[1:].isnan().all()
    for match in found.matches[1:]:
        assert match.outside == ["it has fewer than 3 spikes: nothing is predicted"]
        assert match.same_class != match.same_class
        assert match.rate != match.rate
    assert len(neurons.twins(neurons.Spikes.from_lists([]), 2, **SHORT).matches) == 0


def test_what_no_neuron_has_is_said():
    g = population("stg", torch.tensor([-8.0, 2000.0]), torch.tensor([6.0, -20.0]), 4)
    assert g[0].isfinite().all()
    assert g[1].isnan().all()


def test_what_lies_outside_the_training_is_said():
    """Trains that no STG neuron of the data sets fires: 400 Hz, and one that hardly fires."""
    fast = torch.arange(200.0, dtype=torch.float64) * 2.5
    slow = torch.arange(5.0, dtype=torch.float64) * 2000
    found = neurons.twins(neurons.Spikes.from_lists([fast, slow]), 2, **SHORT)
    assert any("spiking rate is 400 Hz, and was from" in x for x in found.matches[0].outside)
    assert any("spiking rate is 0.5 Hz, and was from" in x for x in found.matches[1].outside)


def test_a_recording_is_taken_as_it_is_read(found, recorded):
    again = neurons.twins(neurons.recordings.of(recorded.to_lists()), 8, **SHORT)
    assert torch.equal(again.g, found.g)
    assert repr(again) == "Twins(3 units, 8 of stg for each)"


def test_a_rate_that_is_another_is_said(found, recorded):
    """Twins of neurons that burst, beside recordings that are slower and faster than they."""
    net = neurons.DICsNet.pretrained()
    for factor, said in ((1.0, None), (1.1, None), (2.0, "+"), (0.5, "-")):
        slowed = replace(recorded, times=factor * recorded.times)
        matches = compared(net, found.prediction, slowed, found.g, found.spikes)
        for match in matches:
            doubts = [doubt for doubt in match.outside if doubt.startswith("the twins' rate")]
            if said is None:
                assert doubts == []
                continue
            share = f"by {said}{100 * match.rate_error:.0f} %: "
            (doubt,) = doubts
            assert f"{share}{match.twin_rate:.3g} Hz, and {match.rate:.3g} Hz" in doubt


def test_the_model_itself_hardly_has_another_rate():
    """Neurons over the recipe's ranges, with the network's own errors."""
    base = neurons.spiking_population("stg", 60, seed=99).g
    drawn = torch.rand(2, len(base), generator=torch.Generator().manual_seed(5)).double()
    g = neurons.neuromodulate("stg", base, g_s=40 * drawn[0] - 20, g_u=20 * drawn[1]).g
    recorded = neurons.simulate("stg", g, 6000, discard=3000).spikes
    said = [m.outside for m in neurons.twins(recorded, 8).matches]
    assert sum(any("rate differs" in doubt for doubt in doubts) for doubts in said) <= 1
    assert len(said) > 40


def test_spikes_that_may_be_missing_are_said(found, recorded):
    """Of a regular unit of whose spikes some were missed, not of bursters nor of the whole one."""
    keep = torch.rand(len(recorded[1]), generator=torch.Generator().manual_seed(0)) > 0.1
    thin = neurons.Spikes.from_lists([recorded[1][keep]])
    (match,) = neurons.twins(thin, 2, **SHORT).matches
    assert match.firing_class == neurons.FiringClass.BURSTING
    (doubt,) = [doubt for doubt in match.outside if doubt.startswith("spikes may be missing")]
    every = float(doubt.removesuffix(" ms").split()[-1])
    assert every == pytest.approx(recorded[1].diff().mean().item(), rel=0.02)
    for match in found.matches:
        assert not [doubt for doubt in match.outside if "missing" in doubt]


def test_bad_arguments_are_named(recorded):
    with pytest.raises(TypeError, match=r"spikes must be neurons.Spikes, .*, got list"):
        neurons.twins([[1.0, 2.0]])
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        neurons.twins(recorded, 0)
    with pytest.raises(ValueError, match="model must be one of stg, got 'hh'"):
        neurons.twins(recorded, model="hh")
