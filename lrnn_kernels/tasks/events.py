"""Events, (time, unit) pairs as recordings of spikes and of event cameras hold them, in bins.

recordings = event_files.load_shd("shd_train.h5")
batch = events.draw(recordings.samples, recordings.labels, size=recordings.size, steps=100,
                    duration=1.4, batch_size=64, generator=generator)

Bin t holds the events from t dt up to (t + 1) dt; a time that is a multiple of dt but for rounding
belongs to the bin that it starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..options import integer
from . import checks, draws
from .batch import Batch, accuracy


class Events(NamedTuple):
    """One recording: when, in seconds from its start, and which unit; in any order."""

    times: np.ndarray  # (n,), floating point
    units: np.ndarray  # (n,), integers from 0 on


def to_dense(
    times: np.ndarray | Tensor,
    units: np.ndarray | Tensor,
    *,
    size: int,
    steps: int | None = None,
    dt: float | None = None,
    duration: float | None = None,
    binary: bool = False,
) -> Tensor:
    """Counts of events, (T, size), float32; with ``binary`` 1 where there is any.

    times, units  (n,): seconds, and integers of 0 ... size - 1
    steps         T, with ``dt`` or ``duration`` (dt = duration / steps): events at or after the end
                  are cut off. With ``dt`` alone T is as long as the recording needs, at least 1
    Raises TypeError and ValueError, which name the argument, for events that fit nowhere.
    """
    place, steps = _places(times, units, size, steps, dt, duration)
    counts = torch.bincount(place, minlength=steps * size).view(steps, size)
    return (counts.clamp(max=1) if binary else counts).float()


def to_sparse(
    times: np.ndarray | Tensor,
    units: np.ndarray | Tensor,
    *,
    size: int,
    steps: int | None = None,
    dt: float | None = None,
    duration: float | None = None,
    binary: bool = False,
) -> Tensor:
    """``to_dense`` as a coalesced sparse COO tensor, (T, size), float32: ``indices()`` (2,N) are
    steps and units, in this order, ``values()`` (N,) the counts."""
    place, steps = _places(times, units, size, steps, dt, duration)
    place, counts = place.unique(return_counts=True)
    if binary:
        counts = torch.ones_like(counts)
    indices = torch.stack([place // size, place % size])
    return torch.sparse_coo_tensor(
        indices, counts.float(), (steps, size), is_coalesced=True, check_invariants=False
    )


def padded(
    samples: Sequence[tuple],
    labels: Sequence[int] | np.ndarray | Tensor,
    *,
    size: int,
    steps: int | None = None,
    dt: float | None = None,
    duration: float | None = None,
    binary: bool = False,
) -> Batch:
    """All of B recordings (``Events``, or any pair of times and units) in bins as ``to_dense``
    has them.

    inputs   (B, T, size), float32; with ``dt`` alone T is the longest recording's, and shorter ones
             end in silence
    targets  (B, T), int64: the label; read at the last step of the recording itself
    metric   accuracy; chance 1 / K
    source   SHD: Cramer et al., "The Heidelberg spiking data sets for the systematic evaluation of
             spiking neural networks", 2020. N-MNIST: Orchard et al., "Converting static image
             datasets to spiking neuromorphic datasets using saccades", 2015
    """
    labels = torch.as_tensor(labels)
    _check_labels(samples, labels)
    options = {"size": size, "steps": steps, "dt": dt, "duration": duration, "binary": binary}
    dense = [to_dense(times, units, **options) for times, units in samples]
    inputs = torch.nn.utils.rnn.pad_sequence(dense, batch_first=True)
    mask = torch.zeros(inputs.shape[:2], dtype=torch.bool)
    mask[torch.arange(len(dense)), torch.tensor([len(x) - 1 for x in dense])] = True
    return Batch(inputs, labels.long()[:, None].expand(-1, inputs.shape[1]), mask)


def draw(
    samples: Sequence[tuple],
    labels: Sequence[int] | np.ndarray | Tensor,
    *,
    batch_size: int,
    generator: torch.Generator,
    **options: Any,
) -> Batch:
    """``padded`` recordings drawn with replacement: an endless stream. ``options`` are those of
    ``padded``, as are shapes, metric and source."""
    checks.batches(batch_size, generator)
    labels = torch.as_tensor(labels)
    _check_labels(samples, labels)
    chosen = draws.integers(len(samples), (batch_size,), generator)
    return padded([samples[i] for i in chosen.tolist()], labels[chosen], **options)


def epoch(
    samples: Sequence[tuple],
    labels: Sequence[int] | np.ndarray | Tensor,
    *,
    batch_size: int,
    generator: torch.Generator,
    **options: Any,
) -> Iterator[Batch]:
    """``padded`` recordings, every one once, in random order; the last batch may be smaller.
    ``options`` are those of ``padded``, as are shapes, metric and source."""
    checks.batches(batch_size, generator)
    labels = torch.as_tensor(labels)
    _check_labels(samples, labels)
    order = torch.randperm(len(samples), generator=generator)
    return (
        padded([samples[i] for i in chosen.tolist()], labels[chosen], **options)
        for chosen in order.split(batch_size)
    )


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy at the last step of each recording; chance 1 / K. outputs: (B,T,K) or (B,K)."""
    return accuracy(outputs, batch)


def _places(times, units, size, steps, dt, duration) -> tuple[Tensor, int]:
    """Step * size + unit of every event that is kept, (n,), int64, and the number of steps."""
    size = integer("size", size)
    dt, steps = _width(steps, dt, duration)
    times, units = _checked(torch.as_tensor(times), torch.as_tensor(units), size)
    bins = times / dt
    nearest = bins.round()
    off = (bins - nearest).abs()
    bins = torch.where(off <= 1e-12 * nearest.clamp(min=1), nearest, bins.floor())
    if steps is None:
        steps = int(bins.max()) + 1 if len(bins) else 1
    kept = bins < steps
    return bins[kept].long() * size + units[kept].long(), steps


def _width(steps, dt, duration) -> tuple[float, int | None]:
    if steps is not None:
        steps = integer("steps", steps)
    if (dt is None) == (duration is None):
        both = "both" if dt is not None else "neither"
        raise ValueError(f"exactly one of dt and duration must be given, got {both}")
    name, value = ("dt", dt) if duration is None else ("duration", duration)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, got {type(value).__name__}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, got {value}")
    if duration is None:
        return dt, steps
    if steps is None:
        raise ValueError("duration must come with steps, got steps = None")
    return duration / steps, steps


def _checked(times: Tensor, units: Tensor, size: int) -> tuple[Tensor, Tensor]:
    if times.dim() != 1 or units.shape != times.shape:
        raise ValueError(
            f"times and units must have one shape (n,), got {tuple(times.shape)} and "
            f"{tuple(units.shape)}"
        )
    if not times.dtype.is_floating_point:
        raise TypeError(f"times must be seconds in floating point, got {times.dtype}")
    if len(units) and (units.dtype.is_floating_point or units.dtype == torch.bool):
        raise TypeError(f"units must be integers, got {units.dtype}")
    times, units = times.double(), units.long()  # torch cannot compare the 16 bits of some files
    if len(times):
        first, last = times.min().item(), times.max().item()
        if not 0 <= first <= last < math.inf:
            raise ValueError(f"times must be finite and not negative, got {first} to {last}")
        low, high = int(units.min()), int(units.max())
        if low < 0 or high >= size:
            raise ValueError(f"units must be 0 ... {size - 1} (size - 1), got {low} to {high}")
    return times, units


def _check_labels(samples: Sequence[tuple], labels: Tensor) -> None:
    if not len(samples):
        raise ValueError("samples must hold a recording, got none")
    checks.labels(labels, len(samples), "samples")
