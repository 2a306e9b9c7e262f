"""What spike trains look like: silent, spiking or bursting, and how fast.

    intervals           ISI between consecutive spikes, ms
    firing class        by how much the ISIs vary: see ``FiringClass``
    bursts              an ISI above (max ISI + min ISI) / 2 ends one; those of one spike are
                        dropped, then the first and the last of the rest

Each takes ``Spikes``, or a ``Recorded`` or a ``Simulation`` that has them, and looks at the spikes
that were kept: of a neuron that had more than the ``max_spikes`` of its simulation (``overflow``)
at the first of them. Names are eFEL's where what they mean is the same.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from .spikes import Holder, Spikes, held

FEWEST_SPIKES = 3
MOST_VARIATION = 0.15


class FiringClass(IntEnum):
    """How a neuron fires, by its inter-spike intervals alone: silent with fewer than 3 spikes;
    spiking where their coefficient of variation (ddof 0) is at most 0.15; else bursting.

    So whatever is irregular is called bursting, as in the published data sets: a neuron that fires
    irregularly, and a regular one of whose spikes a sorter missed more than 2 in a hundred (those
    missed at random are doubled intervals: a share p of them makes a coefficient of sqrt(p)).
    """

    SILENT = 0
    SPIKING = 1
    BURSTING = 2


class Metrics(NamedTuple):
    """Of each neuron, (B,) float64. Those that the neuron's class does not have are 0; NaN where
    a burster has no complete burst, or one only for the inter-burst rate."""

    firing_class: Tensor  # (B,) int64: see FiringClass
    spiking_rate: Tensor  # Hz: mean of 1000 / ISI, of spiking neurons
    intra_burst_rate: Tensor  # Hz: mean of 1000 spikes / duration, of bursts
    inter_burst_rate: Tensor  # Hz: 1000 / mean time from burst to burst
    burst_duration: Tensor  # ms: mean time from a burst's first spike to its last
    spikes_per_burst: Tensor  # mean


class Intervals(NamedTuple):
    """The intervals of all neurons, one neuron after the other."""

    isi: Tensor  # (N,) float64: ms
    neurons: Tensor  # (N,) int64: whose


def intervals(spikes: Spikes | Holder) -> Intervals:
    """All inter-spike intervals, ms."""
    spikes = held(spikes)
    neurons = spikes.neurons()
    inside = neurons[1:] == neurons[:-1]
    return Intervals(spikes.times.diff()[inside], neurons[1:][inside])


def isi_cv(spikes: Spikes | Holder) -> Tensor:
    """(B,): standard deviation (ddof 0, eFEL's ISI_CV has 1) by mean of the intervals; NaN where
    there is none."""
    spikes = held(spikes)
    isi, neurons = intervals(spikes)
    mean = _mean(isi, neurons, len(spikes))
    return _mean((isi - mean[neurons]) ** 2, neurons, len(spikes)).sqrt() / mean


def firing_class(spikes: Spikes | Holder) -> Tensor:
    """(B,) int64: 0 silent, with fewer than 3 spikes; 1 spiking, where the coefficient of variation
    of the intervals (``isi_cv``) is at most 0.15; else 2, bursting. See ``FiringClass``."""
    spikes = held(spikes)
    found = torch.where(
        isi_cv(spikes) <= MOST_VARIATION, int(FiringClass.SPIKING), int(FiringClass.BURSTING)
    )
    return found.masked_fill(spikes.offsets.diff() < FEWEST_SPIKES, int(FiringClass.SILENT))


def mean_frequency(spikes: Spikes | Holder) -> Tensor:
    """(B,) Hz: the mean of 1000 / ISI, whatever the class; NaN with fewer than 2 spikes."""
    spikes = held(spikes)
    isi, neurons = intervals(spikes)
    return _mean(1000 / isi, neurons, len(spikes))


def with_gaps_filled(times: Tensor) -> Tensor | None:
    """Of a train (N,), ms, that is called bursting: each interval divided by how many medians it
    holds, as if the spikes between had been missed; None where it does not look so.

    It does where most intervals of more than 1.5 medians are within 0.2 of twice the median, and
    all so divided vary as a spiking neuron's do. (Within 0.2 of some whole multiple are the pauses
    of a third of simulated bursters, too, by chance.)
    """
    isi = times.diff()
    if len(times) < FEWEST_SPIKES or _variation(isi) <= MOST_VARIATION:
        return None
    ratio = isi / isi.median()
    doubled = (ratio - 2).abs() <= 0.2
    if doubled.sum() <= (ratio > 1.5).sum() / 2:
        return None
    filled = isi / ratio.round().clamp(min=1)
    return filled if _variation(filled) <= MOST_VARIATION else None


def _variation(isi: Tensor) -> float:
    return (isi.std(correction=0) / isi.mean()).item()


def metrics(spikes: Spikes | Holder) -> Metrics:
    """All of them, of every neuron."""
    spikes = held(spikes)
    kind, B = firing_class(spikes), len(spikes)
    bursts = find_bursts(spikes)
    duration = bursts.last - bursts.first
    onsets, neurons = bursts.first.diff(), bursts.neurons[1:]
    inside = neurons == bursts.neurons[:-1]
    of_bursts = (
        _mean(1000 * bursts.spikes / duration, bursts.neurons, B),
        1000 / _mean(onsets[inside], neurons[inside], B),
        _mean(duration, bursts.neurons, B),
        _mean(bursts.spikes.double(), bursts.neurons, B),
    )
    is_spiking, is_bursting = kind == FiringClass.SPIKING, kind == FiringClass.BURSTING
    return Metrics(
        kind,
        mean_frequency(spikes).where(is_spiking, 0.0),
        *(values.where(is_bursting, 0.0) for values in of_bursts),
    )


class Bursts(NamedTuple):
    """Complete bursts, of one neuron after the other; (N,) each."""

    neurons: Tensor  # int64: whose
    first: Tensor  # float64: ms, the first spike
    last: Tensor  # float64: ms, the last spike
    spikes: Tensor  # int64: how many


def find_bursts(spikes: Spikes | Holder) -> Bursts:
    """The bursts of every neuron, whatever its class."""
    spikes = held(spikes)
    isi, whose = intervals(spikes)
    B, neurons = len(spikes), spikes.neurons()
    longest = isi.new_zeros(B).scatter_reduce(0, whose, isi, "amax", include_self=False)
    shortest = isi.new_zeros(B).scatter_reduce(0, whose, isi, "amin", include_self=False)
    begins = torch.ones_like(neurons, dtype=torch.bool)
    begins[1:] = neurons[1:] != neurons[:-1]
    begins[~begins] = isi > ((longest + shortest) / 2)[whose]
    start = begins.nonzero()[:, 0]
    end = torch.cat((start[1:], start.new_tensor([len(neurons)] if len(start) else [])))
    several = end - start > 1
    start, end = start[several], end[several]
    owner = neurons[start]
    inner = torch.zeros_like(several[several])
    inner[1:-1] = (owner[1:-1] == owner[:-2]) & (owner[1:-1] == owner[2:])
    start, end = start[inner], end[inner]
    return Bursts(neurons[start], spikes.times[start], spikes.times[end - 1], end - start)


def _mean(values: Tensor, neurons: Tensor, B: int) -> Tensor:
    """The mean of each neuron's values, (B,); NaN where it has none."""
    sums = values.new_zeros(B).index_add(0, neurons, values)
    return sums / torch.bincount(neurons, minlength=B)
