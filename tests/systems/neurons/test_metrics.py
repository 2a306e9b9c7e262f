"""Classes and metrics of spike trains, by hand."""

import itertools
import math

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import Spikes
from lrnn_kernels.neurons.metrics import with_gaps_filled

NAMES = neurons.Metrics._fields


def burst(start, *gaps):
    times = [start]
    for gap in gaps:
        times.append(times[-1] + gap)
    return times


#: Trains with what each is: class, spiking rate, intra, inter, duration, spikes per burst.
TRAINS = {
    "none": ([], (0, 0, 0, 0, 0, 0)),
    "two spikes": ([1.0, 2.0], (0, 0, 0, 0, 0, 0)),
    "regular": ([0.0, 10.0, 20.0, 30.0], (1, 100.0, 0, 0, 0, 0)),
    # CV of 10, 13, 10, 13 is 1.5/11.5 = 0.13
    "a little irregular": (burst(0, 10, 13, 10, 13), (1, 500 * (1 / 10 + 1 / 13), 0, 0, 0, 0)),
    "three bursts": (
        burst(0, 5, 5) + burst(110, 4, 6, 5) + burst(300, 5),
        (2, 0, 4000 / 15, math.nan, 15.0, 4.0),
    ),
    # Bursts of one spike are dropped before the first and the last are.
    "lone spikes": (
        [0.0, *burst(150, 5, 5), *burst(300, 8), 440.0, *burst(580, 2, 2), *burst(730, 5), 880.0],
        (2, 0, (2000 / 8 + 3000 / 4) / 2, 1000 / 280, 6.0, 2.5),
    ),
    "one burst": (burst(0, 5, 5, 300), (2, 0, math.nan, math.nan, math.nan, math.nan)),
    "two bursts": (burst(0, 5, 300, 5), (2, 0, math.nan, math.nan, math.nan, math.nan)),
}


def test_trains_together_are_what_each_is():
    found = neurons.metrics(Spikes.from_lists([times for times, _ in TRAINS.values()]))
    for b, (name, (_, expected)) in enumerate(TRAINS.items()):
        row = [values[b].item() for values in found]
        assert row == pytest.approx(list(expected), nan_ok=True), name


@pytest.mark.parametrize("name", TRAINS)
def test_each_train_alone(name):
    times, expected = TRAINS[name]
    found = neurons.metrics(Spikes.from_lists([times]))
    assert [values.item() for values in found] == pytest.approx(list(expected), nan_ok=True)


def test_the_limit_of_spiking_is_a_variation_of_15_percent():
    """ISIs of 1-d and 1+d in turn have a CV of d."""
    trains = [burst(0, *[1 - d, 1 + d] * 20) for d in (0.149, 0.151)]
    spikes = Spikes.from_lists(trains)
    assert neurons.firing_class(spikes).tolist() == [1, 2]
    assert neurons.isi_cv(spikes).tolist() == pytest.approx([0.149, 0.151])


def spread(model, n, g_s):
    """Spike trains of a model's neurons whose DICs are over the published ranges, by class."""
    base = neurons.spiking_population(model, n, seed=8).g
    drawn = torch.rand(2, len(base), generator=torch.Generator().manual_seed(8)).double()
    low, high = g_s
    g = neurons.neuromodulate(model, base, g_s=low + (high - low) * drawn[0], g_u=20 * drawn[1]).g
    spikes = neurons.simulate(model, g, 6000, discard=3000).spikes
    kinds = neurons.firing_class(spikes)
    return {kind: [spikes[int(b)] for b in (kinds == kind).nonzero()] for kind in range(3)}


@pytest.mark.parametrize(("model", "g_s"), [("stg", (-20, 0)), ("da", (-10, 0))])
def test_bursters_do_not_seem_to_miss_spikes(model, g_s):
    """Though the pauses of a third of them are near whole multiples of the median."""
    bursting = spread(model, 400, g_s)[neurons.FiringClass.BURSTING]
    assert len(bursting) > 30
    assert sum(with_gaps_filled(times) is not None for times in bursting) <= len(bursting) // 100


@pytest.mark.parametrize("missed", [0.03, 0.1, 0.3])
@pytest.mark.parametrize("kind", ["simulated", "a clock", "a clock with jitter"])
def test_regular_trains_seem_to_miss_the_spikes_they_miss(kind, missed):
    """And their intervals are found, in whichever class what is left of them is."""
    generator = torch.Generator().manual_seed(1)
    if kind == "simulated":
        trains = spread("stg", 100, (3, 20))[neurons.FiringClass.SPIKING]
    else:
        grid = torch.arange(200.0, dtype=torch.float64) * 37
        jitter = 0.05 * 37 * ("jitter" in kind)
        noise = torch.randn(100, 200, generator=generator).double()
        trains = list((grid + jitter * noise).sort(1).values)
    trains = [times for times in trains if len(times) > 40]
    assert len(trains) > 20
    thin = [t[torch.rand(len(t), generator=generator) > missed] for t in trains]
    called = neurons.firing_class(Spikes.from_lists(thin)).tolist()
    found = []
    for whole, left, kind in zip(trains, thin, called, strict=True):
        filled = with_gaps_filled(left)
        if kind == neurons.FiringClass.SPIKING:
            assert filled is None
        else:
            found.append(filled is not None)
            if found[-1]:
                assert filled.mean().item() == pytest.approx(whole.diff().mean().item(), rel=0.05)
    assert len(found) > len(trains) // 2
    assert sum(found) > 0.8 * len(found)


def test_short_trains_do_not_seem_to_miss_spikes():
    for times in ([], [1.0], [1.0, 2.0], [1.0, 1.0, 1.0], [0.0, 0.0, 5.0], burst(0, 5, 5, 300)):
        assert with_gaps_filled(torch.tensor(times, dtype=torch.float64)) is None


def test_the_rule_is_where_the_class_is_looked_up():
    for place in (neurons.FiringClass, neurons.firing_class):
        assert "coefficient of variation" in " ".join(place.__doc__.split())
        assert "at most 0.15" in place.__doc__
        assert "fewer than 3 spikes" in place.__doc__


def test_intervals_and_frequencies():
    spikes = Spikes.from_lists([[0.0, 2.0, 6.0], [], [5.0], [1.0, 11.0]])
    isi, whose = neurons.intervals(spikes)
    assert isi.tolist() == [2.0, 4.0, 10.0]
    assert whose.tolist() == [0, 0, 3]
    frequency = neurons.mean_frequency(spikes).tolist()
    assert frequency == pytest.approx([375.0, math.nan, math.nan, 100.0], nan_ok=True)
    assert neurons.metrics(Spikes.from_lists([])).firing_class.shape == (0,)


def test_many_trains_agree_with_one_at_a_time():
    generator = torch.Generator().manual_seed(0)
    trains = []
    for _ in range(60):
        size = int(torch.randint(0, 40, (), generator=generator))
        gaps = torch.rand(size, generator=generator, dtype=torch.float64)
        long = torch.rand(size, generator=generator) < 0.2
        trains.append((gaps + 1 + 20 * long).cumsum(0))
    together = neurons.metrics(Spikes.from_lists(trains))
    for b, train in enumerate(trains):
        alone = by_loops(train.tolist())
        row = [values[b].item() for values in together]
        assert row == pytest.approx(alone, nan_ok=True), b


def by_loops(times):
    """The definitions, one train, in plain Python."""
    isi = [b - a for a, b in itertools.pairwise(times)]
    if len(times) < 3:
        return [0.0] * 6
    mean = sum(isi) / len(isi)
    if (sum((x - mean) ** 2 for x in isi) / len(isi)) ** 0.5 / mean <= 0.15:
        return [1, sum(1000 / x for x in isi) / len(isi), 0, 0, 0, 0]
    groups, limit = [[times[0]]], (max(isi) + min(isi)) / 2
    for gap, t in zip(isi, times[1:], strict=True):
        if gap > limit:
            groups.append([])
        groups[-1].append(t)
    kept = [group for group in groups if len(group) > 1][1:-1]

    def average(values):
        return sum(values) / len(values) if values else math.nan

    onsets = [b[0] - a[0] for a, b in itertools.pairwise(kept)]
    return [
        2,
        0,
        average([1000 * len(group) / (group[-1] - group[0]) for group in kept]),
        1000 / average(onsets),
        average([group[-1] - group[0] for group in kept]),
        average([len(group) for group in kept]),
    ]
