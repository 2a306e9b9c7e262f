"""Classes and metrics of spike trains, by hand."""

import itertools
import math

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import Spikes

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
