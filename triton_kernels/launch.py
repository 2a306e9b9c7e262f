"""From tensors to kernel launches: streams, outputs, the launches of a forward or backward pass.

What is launched is decided here and described as data, so that the same description is run on a
GPU, interpreted on the CPU, or compiled ahead of time for a GPU that is not there.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from ..backends.operators import KERNELS, STEPS_PER_WORD, new_rows, saved_shape
from ..cell import carry_dtype
from .cell import StepCell
from .cells import CELLS
from .config import CARRIES, CONFIGS, REGISTERS, WARP, width
from .engines import affine, latch, step
from .engines.program import BackwardStreams, Build, ForwardStreams
from .plan import Plan, make_plan


class Launch(NamedTuple):
    """One kernel launch."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple
    constants: dict[str, Any]

    def run(self) -> None:
        if all(self.grid):
            self.kernel[self.grid](*self.args, **self.constants)


class Gradients(NamedTuple):
    """What a backward pass gives once its launches have run."""

    tensors: list[Tensor]  # of the inputs, and of h0
    sums: list[tuple[Tensor, Tensor]]  # (like, partial sums by row) of those yet to be summed
    launches: list[Launch]


class Call:
    """What both passes of one call share: sizes, streams, plan. Engines have a class each below."""

    family: str
    whole = 1  # what the steps of a piece of time are a multiple of

    def __init__(
        self,
        kernel: str,
        inputs: list[Tensor],
        params: list[Tensor],
        options: list[float],
        h0: Tensor | None,
        reset: Tensor | None,
        h_reset: Tensor | None,
        reverse: bool,
        processors: int,
        chunks: int | None = None,
    ) -> None:
        first = inputs[0]
        self.kernel, self.cell = kernel, CELLS[kernel]
        self.B, self.T, channels = first.shape
        self.dtype, self.device, self.first = first.dtype, first.device, first
        self.carry = carry_dtype(first.dtype)
        self.split = bool(params) and params[0].is_complex() and not first.is_complex()
        self.planes = 2 if self.split or first.is_complex() else 1
        self.packed = len(inputs) == 1 and KERNELS[kernel].streams > 1
        self.width = channels // (KERNELS[kernel].streams if self.packed else 1)
        self.C = self.width // 2 if self.split else self.width
        self.real = self.carry.to_real() if self.carry.is_complex else self.carry
        # Views of one buffer are streams like any other.
        self.inputs = list(first.split(self.width, dim=2)) if self.packed else inputs
        self.x = tuple(self.stream(x) for x in self.inputs)
        self.p = tuple(self.stream(x) for x in params)
        self.params, self.h0, self.h_reset, self.reset = params, h0, h_reset, reset
        self.start = self.optional(h0)
        self.at_reset = self.optional(h_reset if reset is not None else None)
        self.resets = ()
        if reset is not None:
            self.resets = reset.view(torch.uint8), reset.stride(0), reset.stride(1)
        self.config = CONFIGS[self.family, width(first.dtype)]
        self.plan = make_plan(
            self.B, self.T, self.C, self.config, self.planes, processors, self.whole, chunks
        )
        self.options, self.reverse = options, reverse
        self.constants = {"num_warps": self.config.warps}
        if torch.version.hip is None:  # Triton knows this option for NVIDIA only
            self.constants["maxnreg"] = REGISTERS

    def forward(self, save: bool) -> tuple[tuple[Tensor, Tensor, Tensor], list[Launch]]:
        """(y, h_last, saved) and the launches that fill them."""
        raise NotImplementedError

    def backward(
        self, states: Tensor | None, dy: Tensor | None, dh_last: Tensor | None
    ) -> Gradients:
        """states: what ``forward`` saved, or y, as the cell reads it."""
        raise NotImplementedError

    def reads(self) -> tuple[int, ...] | None:
        """The shape of what a backward pass reads of the states; None if nothing."""
        raise NotImplementedError

    @property
    def y_shape(self) -> tuple[int, int, int]:
        return self.B, self.T, self.width

    def saved_shape(self) -> tuple[int, ...]:
        return saved_shape(KERNELS[self.kernel], self.B, self.T, self.C, self.options)

    def plane(self, x: Tensor) -> int:
        """The distance of the planes of a real tensor that has two."""
        return x.shape[-1] // 2 if self.split else 1

    def stream(self, x: Tensor) -> tuple:
        """(real tensor, batch stride, time stride, channel stride, plane distance).

        What has no unit channel stride is copied.
        """
        if x.stride(-1) not in (0, 1) and x.shape[-1] > 1:
            x = x.contiguous()
        plane = 1 if x.is_complex() else self.plane(x)
        if x.is_complex():
            x = torch.view_as_real(x)
            strides, channel = x.stride()[:-2], x.stride(-2)
        else:
            strides, channel = x.stride()[:-1], x.stride(-1)
        batch, time = (*strides, 0, 0)[:2] if strides else (0, 0)
        return x, batch, time, channel, plane

    def optional(self, x: Tensor | None) -> tuple:
        """The stream of what may be absent: then ()."""
        return () if x is None else self.stream(x)

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return self.first.new_empty(shape, dtype=dtype or self.carry)

    def by_row(
        self, dtype: torch.dtype | None = None, planes: int | None = None
    ) -> tuple[Tensor, tuple]:
        """A buffer with a value per row and channel, [rows, planes, C], and its stream."""
        planes = planes or self.planes
        x = self.new(self.B * self.plan.chunks, planes, self.C, dtype=dtype or self.real)
        return x, (x, planes * self.C, 0, 1, self.C)

    def new_inputs(self) -> tuple[list[Tensor], tuple]:
        """Buffers for the gradients of the inputs, and their streams."""
        likes = [self.first] if self.packed else self.inputs
        inputs = [new_rows(self.first, x.shape[2]) for x in likes]
        parts = inputs[0].split(self.width, dim=2) if self.packed else inputs
        return inputs, tuple(self.stream(x) for x in parts)

    def new_sums(self, states: int | None = None) -> tuple[list[tuple[Tensor, Tensor]], tuple, Any]:
        """Partial sums of parameters' and resets' gradients, and the streams of each."""
        partial = [self.by_row(torch.float64) for _ in self.params]
        sums = [(like, x) for like, (x, _) in zip(self.params, partial, strict=True)]
        dp = tuple(stream for _, stream in partial)
        if not self.at_reset:
            return sums, dp, ()
        reset_partial, dh_reset = self.by_row(torch.float64, states)
        return [*sums, (self.h_reset, reset_partial)], dp, dh_reset

    def build(self, unroll: int) -> Build:
        carry = tl.float64 if self.real == torch.float64 else tl.float32
        forgets = getattr(self.cell, "forgets", False)  # of an affine cell
        plan = self.plan
        return Build(carry, self.planes, self.reverse, plan.rows, plan.block, unroll, forgets)

    def total(self, like: Tensor, partial: Tensor) -> Tensor:
        """The sum of partial sums by row, [rows, planes, C], as a gradient of what is like it."""
        x = partial.unflatten(0, (self.B, self.plan.chunks))
        x = x.sum(1) if like.dim() == 2 else x.sum((0, 1))
        if like.is_complex():
            return torch.complex(*x.unbind(-2)).to(like.dtype)
        return x.flatten(-2).to(like.dtype)


class AffineCall(Call):
    """A call of the affine engine, whose launches the latch's engine shares."""

    family = "affine"
    engine = affine

    def reads(self) -> tuple[int, ...] | None:
        return self.y_shape if self.cell.uses_state else None

    def new_saved(self) -> Tensor:
        """The buffer of what a forward pass saves."""
        return self.new(0, dtype=torch.int32)

    def forward(self, save: bool) -> tuple[tuple[Tensor, Tensor, Tensor], list[Launch]]:
        y = new_rows(self.first, self.width)
        h_last = self.new(self.B, self.width)
        saved = self.new_saved() if save else self.new(0, dtype=torch.int32)
        unroll = self.config.forward
        start, launches = self.start, []
        if self.plan.chunks > 1:
            start, launches = self.cut(start, backward=False)
        streams = ForwardStreams(
            self.x,
            self.p,
            start,
            self.resets,
            self.at_reset,
            self.stream(y),
            self.stream(h_last),
            self.stream(saved) if saved.numel() else (),
        )
        launches.append(self.launch(self.engine.forward, (streams,), unroll))
        return (y, h_last, saved), launches

    def backward(
        self, states: Tensor | None, dy: Tensor | None, dh_last: Tensor | None
    ) -> Gradients:
        inputs, dx = self.new_inputs()
        dh0 = self.new(self.B, self.width)
        sums, dp, dh_reset = self.new_sums()
        unroll = self.config.backward
        dy, start, launches = self.optional(dy), self.optional(dh_last), []
        if self.plan.chunks > 1:
            start, launches = self.cut(start, backward=True, dy=dy)
        streams = BackwardStreams(
            self.x,
            self.p,
            self.start,
            self.resets,
            self.at_reset,
            self.optional(states if self.reads() else None),
            (),
            dy,
            start,
            dx,
            dp,
            self.stream(dh0),
            dh_reset,
        )
        launches.append(self.launch(self.engine.backward, (streams,), unroll))
        return Gradients([*inputs, dh0], sums, launches)

    def launch(self, kernel: Any, streams: tuple, unroll: int) -> Launch:
        plan = self.plan
        sizes = self.B, self.T, self.C, plan.chunks, plan.steps, *(self.options or (0.0, 0.0))
        args = (*streams, *sizes, self.cell.functions)
        constants = {"BUILD": self.build(unroll), **self.constants}
        return Launch(kernel, plan.grid(self.B, self.C), args, constants)

    def summarize(self, backward: bool, dy: tuple = ()) -> tuple[tuple, tuple, Launch]:
        """What the pieces of time do to a carry, scales and offsets, as ``by_row`` gives them; and
        the launch that fills them."""
        scale, offset = self.by_row(), self.by_row()
        if backward:
            kernel, unroll = affine.summarize_backward, self.config.backward
            read = BackwardStreams(self.x, self.p, reset=self.resets, dy=dy)
        else:
            kernel, unroll = affine.summarize_forward, self.config.forward
            read = ForwardStreams(self.x, self.p, reset=self.resets, h_reset=self.at_reset)
        return scale, offset, self.launch(kernel, (read, scale[1], offset[1]), unroll)

    def cut(self, start: tuple, backward: bool, dy: tuple = ()) -> tuple[tuple, list[Launch]]:
        """The stream of the carries into the pieces of time, and the launches that fill it."""
        (_, scale), (_, offset), summarize = self.summarize(backward, dy)
        _, out = self.by_row()
        block = min(self.plan.block, WARP)
        along = Plan(WARP // block, block, 1, 0)
        build = self.build(CARRIES)._replace(REVERSE=False, ROWS=along.rows, BLOCK_C=block)
        args = (start, scale, offset, out, self.B, self.C, self.plan.chunks)
        constants = {**self.constants, "BUILD": build, "num_warps": 1}
        carries = Launch(affine.carries, along.grid(self.B, self.C), args, constants)
        return out, [summarize, carries]


class LatchCall(AffineCall):
    """A call of the last-write-wins engine, which saves bits."""

    family = "latch"
    engine = latch
    whole = STEPS_PER_WORD

    def reads(self) -> tuple[int, ...]:
        return self.saved_shape()

    def new_saved(self) -> Tensor:
        saved = self.new(*self.saved_shape(), dtype=torch.int32)
        if self.plan.chunks > 1:
            saved[:, -1] = self.T  # no piece has written yet
        return saved


class StepCall(Call):
    """A call of the step engine, whose time is never cut."""

    family = "step"

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **{**kwargs, "chunks": 1})

    def reads(self) -> tuple[int, ...]:
        return self.y_shape if self.cell.saves_output else self.saved_shape()

    def plane(self, x: Tensor) -> int:
        return self.C

    @property
    def memory(self) -> str:
        """What the backward pass reads; see engines/step.py."""
        if self.cell.saves_output:
            return "output"
        return "checkpoints" if self.options[0] else "states"

    @property
    def interval(self) -> int:
        """Steps between checkpoints, no more than there are."""
        interval = 0 if self.cell.saves_output else int(self.options[0])
        return min(interval or 1, max(self.T, 1))

    def planes_of(self, x: Tensor) -> tuple:
        """The stream of saved values [B, planes, steps, C]."""
        x = x if x.stride(3) == 1 else x.contiguous()
        return x, x.stride(0), x.stride(2), 1, x.stride(1)

    def forward(self, save: bool) -> tuple[tuple[Tensor, Tensor, Tensor], list[Launch]]:
        y = new_rows(self.first, self.width)
        h_last = self.new(self.B, self.cell.states * self.C)
        save = save and not self.cell.saves_output
        dtype = torch.int32 if self.cell.saves_output else self.carry
        saved = self.new(*(self.saved_shape() if save else (0,)), dtype=dtype)
        streams = ForwardStreams(
            self.x,
            self.p,
            self.start,
            self.resets,
            self.at_reset,
            self.stream(y),
            self.stream(h_last),
            self.planes_of(saved) if save else (),
        )
        memory = self.memory if save else "output"
        build = self.step_build(self.config.forward, memory)
        return (y, h_last, saved), [self.launch(step.forward, streams, build)]

    def backward(
        self, states: Tensor | None, dy: Tensor | None, dh_last: Tensor | None
    ) -> Gradients:
        cell, memory, work = self.cell, self.memory, ()
        inputs, dx = self.new_inputs()
        dh0 = self.new(self.B, cell.states * self.C)
        sums, dp, dh_reset = self.new_sums(cell.states)
        if memory == "checkpoints":
            work = self.planes_of(self.new(self.B, cell.saved, self.interval + 1, self.C))
        streams = BackwardStreams(
            self.x,
            self.p,
            self.start,
            self.resets,
            self.at_reset,
            self.stream(states) if memory == "output" else self.planes_of(states),
            work,
            self.optional(dy),
            self.optional(dh_last),
            dx,
            dp,
            self.stream(dh0),
            dh_reset,
        )
        build = self.step_build(self.config.backward, memory)
        build = build._replace(KIND=cell.kind(self.options), READS_INPUTS=cell.reads_inputs)
        return Gradients([*inputs, dh0], sums, [self.launch(step.backward, streams, build)])

    def step_build(self, unroll: int, memory: str) -> step.StepBuild:
        return step.StepBuild(*self.build(unroll), self.cell.states, self.cell.saved, memory)

    def launch(self, kernel: Any, streams: tuple, build: step.StepBuild) -> Launch:
        numbers = self.cell.numbers(self.options)
        unused = (0.0,) * (step.NUMBERS - len(numbers))
        sizes = self.B, self.T, self.C, self.interval, *numbers, *unused
        constants = {"BUILD": build, **self.constants, "enable_fp_fusion": False}
        grid = self.plan.grid(self.B, self.C)
        return Launch(kernel, grid, (streams, *sizes, self.cell.functions), constants)


def make_call(kernel: str, *args, **kwargs) -> Call:
    """The call of a kernel, of the class of its cell's engine; arguments as Call's."""
    cell = CELLS[kernel]
    if isinstance(cell, StepCell):
        return StepCall(kernel, *args, **kwargs)
    return (LatchCall if cell.saves_bits else AffineCall)(kernel, *args, **kwargs)


def on_device(device: torch.device):
    """Makes a GPU the current one for launches."""
    return nullcontext() if device.type == "cpu" else torch.cuda.device(device)
