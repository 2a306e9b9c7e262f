"""A checked simulation, run: neurons in batches, steps in pieces, so that memory stays bounded and
Ctrl-C leaves."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from . import by_triton, compiled, oracle
from .engine import NoiseSettings
from .model import Model
from .progress import Told
from .spikes import Spikes, Status
from .state import Recording

#: Neurons of one call of an engine, and at most how many slots for spikes they have: 268 MB.
ROWS, SLOTS = 65536, 65536 * 512
#: How many times as many neurons a GPU takes at a time.
ON_A_GPU = 4
#: Neuron-steps of a thread between two looks for Ctrl-C: a fraction of a second.
BETWEEN_LOOKS = 20_000_000
#: Seconds between two of them on a GPU, which cannot look itself; and the steps it begins with.
SECONDS, FIRST_STEPS = 0.1, 1024


@dataclass(frozen=True)
class Run:
    """What there is to do, as engines take it; ``values`` is advanced in place."""

    model: Model
    backend: str
    scheme: str
    g: Tensor  # (B, channels) in the dtype of the call
    values: Tensor  # (B, S)
    slots: int  # for spikes of a neuron
    grows: bool  # whether neurons that have more spikes get more slots, and keep all
    steps: tuple[int, int]  # the first, and the one after the last
    dt: float
    discard: float
    threshold: tuple[float, float]
    current: Tensor | None
    current_rate: float
    noise: NoiseSettings | None
    recording: Recording | None
    record_every: int
    tell: Told | None = None

    def spikes(self) -> Spikes:
        """Runs all."""
        g = self.g
        invalid = ~((g >= 0) & (g < math.inf)).all(1) | (g == 0).all(1)
        runs = ~invalid & self._finite()
        rows = max(1, min(ROWS, SLOTS // max(self.slots, 1)))
        rows *= ON_A_GPU if self._is_on_gpu else 1
        pieces = [self._batch(b, runs[b : b + rows]) for b in range(0, max(len(g), 1), rows)]
        spikes, exploded = Spikes.cat(pieces), ~self._finite()
        status = spikes.status
        status[spikes.counts > spikes.offsets.diff()] = Status.OVERFLOW
        status[exploded] = Status.EXPLODED
        status[invalid] = Status.INVALID
        return spikes.without(exploded | invalid)

    def _finite(self) -> Tensor:
        return self.values[:, : len(self.model.states)].isfinite().all(1)

    def _batch(self, first: int, runs: Tensor) -> Spikes:
        """The spikes of the neurons from first on; those that do not run have none."""
        rows = first + runs.nonzero()[:, 0]
        new = self.g.new_zeros
        part = self.values[rows]
        start = part.clone() if self.grows else None
        times = new((len(runs), self.slots), dtype=torch.float64)
        counts = new(len(runs), dtype=torch.int64)
        mine = (part, times[: len(rows)], counts[: len(rows)])
        self._steps(first, rows, *mine)
        self.values[rows] = part
        if len(rows) < len(runs):  # each to its place
            held, counted = times[: len(rows)].clone(), counts[: len(rows)].clone()
            counts.zero_()
            times[rows - first], counts[rows - first] = held, counted
        found = Spikes.from_padded(times, counts, new(len(runs), dtype=torch.int8))
        del times, mine  # the slots of all, which are not needed beside those of a few
        if start is not None:
            found = self._with_all(found, first, rows, start)
        self._told(first + len(runs))
        return found

    def _with_all(self, found: Spikes, first: int, rows: Tensor, start: Tensor) -> Spikes:
        """A batch's spikes, with all of those neurons that had more than slots: only they run
        again, from ``start`` (the state of ``rows``), so that the others' memory stays small."""
        missed = (found.counts[rows - first] > self.slots) & self._finite()[rows]
        again = rows[missed]
        if not len(again):
            return found
        run = replace(
            self,
            g=self.g[again],
            values=start[missed],
            slots=int(found.counts[again - first].max()),
            current=self._current(again),
            noise=self._noise(again),
            recording=None,
            tell=None if self.tell is None else lambda _: self._told_again(first + len(rows)),
        )
        whole = run.spikes()
        self.values[again] = run.values
        order = torch.arange(len(found), device=again.device)
        order[again - first] = len(found) + torch.arange(len(again), device=again.device)
        return Spikes.cat((found, whole))[order]

    def _told_again(self, neurons: int) -> None:
        """Tells whoever may want to stop, while some of so many neurons run again: all but done."""
        if self.tell is not None:
            self.tell(math.nextafter(neurons / len(self.g), 0.0))

    def _told(self, neurons: float) -> None:
        """Tells how much is done: all steps of so many neurons."""
        if self.tell is not None:
            self.tell(neurons / len(self.g) if len(self.g) else 1.0)

    def _steps(
        self, before: int, rows: Tensor, state: Tensor, times: Tensor, counts: Tensor
    ) -> None:
        if not len(rows):
            return
        run, samples, names = self._engine, None, ()
        if self.recording is not None:
            names, t = self.recording.names, self.recording.t
            samples = self.g.new_empty((len(t), len(names), len(rows)))
        g, current = self.g[rows].contiguous(), self._current(rows)
        noise = self._noise(rows)
        step, end = self.steps
        at_a_time = _Pieces(self._between_looks(len(rows)), adapts=self._is_on_gpu)
        while step < end:
            piece = min(at_a_time.steps, end - step)
            a, b = (self._sample(s) for s in (step, step + piece))
            run(
                g,
                state,
                times,
                counts,
                first_step=step,
                steps=piece,
                dt=self.dt,
                discard=self.discard,
                threshold=self.threshold,
                current=current,
                current_rate=self.current_rate,
                noise=noise,
                record=None if samples is None else samples[a:b],
                record_every=self.record_every,
                record_states=tuple(self.model.states.index(name) for name in names),
            )
            at_a_time.took()
            step += piece
            if step < end:
                self._told(before + len(rows) * (step - self.steps[0]) / (end - self.steps[0]))
        if samples is not None:
            self.recording.values[:, :, rows] = samples

    def _engine(self, *tensors: Tensor, **settings: Any) -> None:
        if self.backend == "reference":
            oracle.run(self.model, *tensors, scheme=self.scheme, **settings)
        else:
            run = by_triton.run if self.backend == "triton" else compiled.run
            run(self.model.name, *tensors, scheme=self.scheme, **settings)

    @property
    def _is_on_gpu(self) -> bool:
        return self.backend in ("cuda", "triton")

    def _between_looks(self, neurons: int) -> int:
        threads = 1 << 20 if self._is_on_gpu else torch.get_num_threads()
        return max(256, BETWEEN_LOOKS * threads // neurons)

    def _sample(self, step: int) -> int:
        """How many samples were recorded before a step."""
        return -(-step // self.record_every) - -(-self.steps[0] // self.record_every)

    def _current(self, rows: Tensor) -> Tensor | None:
        c = self.current
        return c if c is None or c.shape[1] == 1 else c[:, rows].contiguous()

    def _noise(self, rows: Tensor) -> NoiseSettings | None:
        noise = self.noise
        if noise is None:
            return None
        sigma = noise.sigma if len(noise.sigma) == 1 else noise.sigma[rows]
        return noise._replace(sigma=sigma, neurons=noise.neurons[rows])


class _Pieces:
    """How many steps to take at a time: so many at most, or on a GPU of any speed as many as take
    it ``SECONDS``, by what it has taken for those before."""

    def __init__(self, most: int, adapts: bool) -> None:
        self._most, self._adapts = most, adapts
        self.steps = min(FIRST_STEPS, most) if adapts else most
        self._began = time.perf_counter()

    def took(self) -> None:
        """These steps have been taken."""
        now = time.perf_counter()
        if self._adapts:
            change = SECONDS / max(now - self._began, 1e-9)
            self.steps = int(self.steps * min(max(change, 1 / 4), 4.0))
            self.steps = max(1, min(self.steps, self._most))
        self._began = now


def empty_recording(
    g: Tensor,
    dtype: torch.dtype,
    names: tuple[str, ...],
    dt: float,
    every: int,
    steps: tuple[int, int],
) -> Recording:
    """Room for the samples of these steps, NaN."""
    first, end = (-(-step // every) for step in steps)
    samples = torch.arange(first, end, dtype=torch.float64, device=g.device)
    values = g.new_full((len(samples), len(names), len(g)), torch.nan, dtype=dtype)
    return Recording(samples * (every * dt), values, names)
