"""From a population's tensors to kernel launches, described as data as in launch.py, and run.

A long run is cut into launches of a fraction of a second. Between two of them the host waits for
the first, so that Ctrl-C finds Python at work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
import triton.language as tl
from torch import Tensor

from .config import REGISTERS, WARP
from .engines.population import PopulationBuild, PopulationStreams, advance
from .launch import Launch, on_device
from .neurons import NEURONS

#: Columns of a state beside those of its model; neurons/engine.py of the package says which.
EXTRA = 13
#: Neurons of a program, one a thread of a warp.
LANES = 64 if torch.version.hip else WARP
#: Neuron-steps of a launch, and steps at most: about 50 ms of an H100, derived and not measured
#: (5e10 neuron-steps per second where it is full, 1 us a step where it is not).
NEURON_STEPS, STEPS = 2_000_000_000, 50_000
#: Triton's name of a call's type.
CARRIES = {torch.float32: tl.float32, torch.float64: tl.float64}
#: From so many steps between two white numbers on, their halves are no float32.
LONG_INTERVAL = 2**23


class Noise(Protocol):
    """Noise as the engine takes it: the package's neurons.engine.NoiseSettings."""

    sigma: Tensor
    neurons: Tensor
    seed: int
    every: int
    warm_up: int
    sections: Tensor


class PopulationCall:
    """A population and how far it is to be taken; arguments as lrnn_kernels/neurons/engine.py has
    them. Raises RuntimeError for what a kernel would take for something else."""

    def __init__(
        self,
        model: str,
        g: Tensor,
        state: Tensor,
        times: Tensor,
        counts: Tensor,
        *,
        first_step: int,
        steps: int,
        dt: float,
        discard: float,
        threshold: tuple[float, float],
        current: Tensor | None,
        current_rate: float,
        noise: Noise | None,
        record: Tensor | None,
        record_every: int,
        record_states: tuple[int, ...],
        as_written: bool = False,
        lanes: int = LANES,
    ) -> None:
        if model not in NEURONS:
            raise RuntimeError(f"population: there is no Triton kernel of the model {model!r}")
        self.neuron = neuron = NEURONS[model]
        self.B, self.g, self.lanes = len(g), g, lanes
        self.first_step, self.last = first_step, first_step + steps
        self.record, self.record_every = record, record_every
        if g.dtype not in CARRIES:
            raise RuntimeError(f"population: g is float32 or float64, got {g.dtype}")
        if as_written and g.dtype != torch.float64:
            raise RuntimeError(f"population: the scheme as written takes float64, got {g.dtype}")
        up, down = threshold
        if not (first_step >= 0 and steps >= 0 and dt > 0 and up >= down and times.dim() == 2):
            raise RuntimeError(
                "population: first_step and steps are not negative, dt is above 0, up is not below "
                f"down, times has two dimensions; got {first_step}, {steps}, {dt}, {threshold}, "
                f"{tuple(times.shape)}"
            )
        width = neuron.states + EXTRA
        self._require("g", g, g.dtype, neuron.channels, rows=True)
        self._require("state", state, torch.float64, width, rows=True)
        self._require("times", times, torch.float64, times.shape[1], rows=True)
        self._require("counts", counts, torch.int64, rows=True)
        each_current = self._check_current(current, current_rate)
        each_sigma = self._check_noise(noise)
        self._check_record(record, record_states)
        white = () if noise is None else (noise.sigma,)
        self.streams = PopulationStreams(
            g,
            state,
            times,
            counts,
            () if current is None else (current,),
            white,
            (noise.neurons,) if white else (),
            tuple(noise.sections.flatten().tolist()) if white else (),
        )
        self.build = PopulationBuild(
            CARRIES[g.dtype],
            neuron.channels,
            neuron.states,
            width,
            lanes,
            each_current,
            current is not None and len(current) > 1,
            each_sigma,
            bool(white) and noise.every >= LONG_INTERVAL,
            tuple(record_states) if record is not None else (),
            as_written,
        )
        self.intervals = record_every, *((noise.every, noise.warm_up) if white else (1, 0))
        self.key = (_signed(noise.seed), _signed(noise.seed >> 32)) if white else (0, 0)
        self.numbers = (
            *(dt, discard, up, reached(up, g.dtype), reached(down, g.dtype), current_rate),
            -math.expm1(-dt / neuron.tau),
        )

    def launches(self, piece: int | None = None) -> Iterator[Launch]:
        """All of it, ``piece`` steps a launch."""
        piece = piece or max(1, min(STEPS, NEURON_STEPS // max(self.B, 1)))
        for first in range(self.first_step, self.last if self.B else self.first_step, piece):
            yield self.launch(first, min(piece, self.last - first))

    def launch(self, first: int, steps: int) -> Launch:
        """Some steps of it."""
        record = () if self.record is None else self.record[self._samples(first) :]
        sizes = self.B, self.streams.times.shape[1], first, steps, *self.intervals, *self.key
        args = (self.streams, record, *sizes, *self.numbers, self.neuron.functions)
        constants = {"BUILD": self.build, "num_warps": 1, "enable_fp_fusion": False}
        if torch.version.hip is None:  # Triton knows this option for NVIDIA only
            constants["maxnreg"] = REGISTERS
        return Launch(advance, (-(-self.B // self.lanes),), args, constants)

    def _samples(self, step: int) -> int:
        """How many are recorded before a step."""
        every = self.record_every
        return -(-step // every) - -(-self.first_step // every)

    def _require(
        self, name: str, x: Tensor, dtype: torch.dtype, *sizes: int, rows: bool = False
    ) -> None:
        expected = (self.B, *sizes) if rows else sizes
        fits = x.dtype == dtype and x.is_contiguous() and x.device == self.g.device
        if not fits or tuple(x.shape) != expected:
            raise RuntimeError(
                f"population: {name} must be contiguous {dtype} {expected} on {self.g.device}, got "
                f"{x.dtype} {tuple(x.shape)} on {x.device} with strides {x.stride()}"
            )

    def _check_current(self, current: Tensor | None, rate: float) -> bool:
        """Whether each neuron has its own."""
        if current is None:
            return False
        if current.dim() != 2 or len(current) < 1:
            raise RuntimeError(f"population: current is (n, 1 or B), got {tuple(current.shape)}")
        columns = 1 if current.shape[1] == 1 else self.B
        self._require("current", current, self.g.dtype, len(current), columns)
        end = (self.last - 0.5) * rate + 1
        if len(current) > 1 and not (rate > 0 and end < len(current)):
            raise RuntimeError(
                f"population: current must reach sample {end:g}, at the last step, got "
                f"{len(current)} samples"
            )
        return columns != 1

    def _check_noise(self, noise: Noise | None) -> bool:
        """Whether each neuron has a sigma of its own."""
        if noise is None:
            return False
        if noise.every < 1 or noise.warm_up < 0:
            raise RuntimeError(
                f"population: noise has every > 0 and warm_up >= 0, got {noise.every} and "
                f"{noise.warm_up}"
            )
        self._require("sigma", noise.sigma, self.g.dtype, 1 if len(noise.sigma) == 1 else self.B)
        self._require("neurons", noise.neurons, torch.int64, rows=True)
        if noise.sections.dtype != torch.float32 or tuple(noise.sections.shape) != (2, 3):
            raise RuntimeError(
                f"population: sections must be torch.float32 (2, 3), got {noise.sections.dtype} "
                f"{tuple(noise.sections.shape)}"
            )
        return len(noise.sigma) != 1

    def _check_record(self, record: Tensor | None, states: tuple[int, ...]) -> None:
        if record is None:
            return
        if self.record_every < 1:
            raise RuntimeError(f"population: record_every is above 0, got {self.record_every}")
        self._require("record", record, self.g.dtype, self._samples(self.last), len(states), self.B)
        if unknown := [i for i in states if not 0 <= i < self.neuron.states]:
            raise RuntimeError(f"population: no state has the number {unknown[0]}")


def run(model: str, *tensors: Tensor, **options: Any) -> None:
    """Takes a population further, in place; arguments as ``PopulationCall``'s."""
    call = PopulationCall(model, *tensors, **options)
    with on_device(call.g.device):
        for launch in call.launches():
            launch.run()
            if call.g.is_cuda:
                torch.cuda.current_stream().synchronize()


def reached(threshold: float, dtype: torch.dtype) -> float:
    """The least number of a type that is a threshold or more."""
    nearest = torch.tensor(threshold, dtype=torch.float64).to(dtype)
    if nearest.double() < threshold:
        nearest = torch.nextafter(nearest, torch.tensor(math.inf, dtype=dtype))
    return nearest.item()


def _signed(word: int) -> int:
    """The lowest 32 bits as those of an int32: any word has the same type, for Triton too."""
    word &= 0xFFFFFFFF
    return word - 2**32 if word >= 2**31 else word
