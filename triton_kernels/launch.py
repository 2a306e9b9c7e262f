"""From tensors to kernel launches: streams, outputs, and the launches of one forward or backward pass.

What is launched is decided here and described as data, so that the same description is run on a GPU, interpreted on the CPU, or compiled
ahead of time for a GPU that is not there.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from ..reference import carry_dtype
from ..transforms import STEPS_PER_WORD, STREAMS, new_rows, saved_shape
from .cell import StepCell
from .cells import CELLS
from .config import CARRIES, CONFIGS, REGISTERS, WARP, width
from .engines import affine, latch
from .plan import Plan, make_plan


class Launch(NamedTuple):
    """One kernel launch."""

    kernel: Any
    grid: tuple[int, int]
    args: tuple
    constants: dict[str, Any]

    def run(self) -> None:
        if all(self.grid):
            self.kernel[self.grid](*self.args, **self.constants)


class Call:
    """What both passes of one call share: sizes, streams, plan."""

    def __init__(self, kernel, inputs, params, options, h0, reset, h_reset, reverse, processors, chunks=None) -> None:
        first = inputs[0]
        self.kernel, self.cell = kernel, CELLS[kernel]
        self.sequential = isinstance(self.cell, StepCell)
        self.B, self.T, channels = first.shape
        self.dtype, self.device, self.first = first.dtype, first.device, first
        self.carry = carry_dtype(first.dtype)
        self.split = bool(params) and params[0].is_complex() and not first.is_complex()
        self.planes = 2 if self.split or first.is_complex() else 1
        self.packed = len(inputs) == 1 and STREAMS[kernel] > 1
        self.width = channels // (STREAMS[kernel] if self.packed else 1)
        self.C = self.width // 2 if self.split else self.width
        self.real = torch.empty((), dtype=self.carry).real.dtype if self.carry.is_complex else self.carry
        # Views of one buffer are streams like any other.
        self.inputs = list(first.split(self.width, dim=2)) if self.packed else inputs
        self.x = tuple(self.stream(x) for x in self.inputs)
        self.p = tuple(self.stream(x) for x in params)
        self.params, self.h0, self.h_reset, self.reset = params, h0, h_reset, reset
        self.start = self.optional(h0)
        self.at_reset = self.optional(h_reset if reset is not None else None)
        self.resets = None if reset is None else (reset.view(torch.uint8), reset.stride(0), reset.stride(1))
        self.latch = not self.sequential and self.cell.saves_bits
        family = "step" if self.sequential else "latch" if self.latch else "affine"
        self.config = CONFIGS[family, width(first.dtype)]
        whole = STEPS_PER_WORD if self.latch else 1
        chunks = 1 if self.sequential else chunks
        self.plan = make_plan(self.B, self.T, self.C, self.config, self.planes, processors, whole, chunks)
        self.options, self.reverse = options, reverse
        self.constants = {
            "CARRY": tl.float64 if self.real == torch.float64 else tl.float32,
            "REVERSE": reverse,
            "ROWS": self.plan.rows,
            "BLOCK_C": self.plan.block,
            "num_warps": self.config.warps,
        }
        if torch.version.hip is None:  # Triton knows this option for NVIDIA only
            self.constants["maxnreg"] = REGISTERS

    def stream(self, x: Tensor) -> tuple:
        """(real tensor, batch stride, time stride, channel stride, plane distance); what has no unit channel stride is copied."""
        if x.stride(-1) not in (0, 1) and x.shape[-1] > 1:
            x = x.contiguous()
        plane = x.shape[-1] // 2 if self.split and not x.is_complex() else self.C if self.sequential else 1
        if x.is_complex():
            x = torch.view_as_real(x)
            strides, channel = x.stride()[:-2], x.stride(-2)
        else:
            strides, channel = x.stride()[:-1], x.stride(-1)
        batch, time = (*strides, 0, 0)[:2] if strides else (0, 0)
        return x, batch, time, channel, plane

    def optional(self, x: Tensor | None) -> tuple | None:
        return None if x is None else self.stream(x)

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return self.first.new_empty(shape, dtype=dtype or self.carry)

    def by_row(self, dtype: torch.dtype | None = None, planes: int | None = None) -> tuple[Tensor, tuple]:
        """A buffer with a value per row and channel, [rows, planes, C], and its stream."""
        planes = planes or self.planes
        x = self.new(self.B * self.plan.chunks, planes, self.C, dtype=dtype or self.real)
        return x, (x, planes * self.C, 0, 1, self.C)

    def launch(self, kernel, args: tuple, unroll: int, **constants) -> Launch:
        """A launch of the affine or the latch engine."""
        constants = {**self.constants, "PLANES": self.planes, "GATE": self.cell.gate, "UNROLL": unroll, **constants}
        sizes = (self.B, self.T, self.C, self.plan.chunks, self.plan.steps, *(self.options or (0.0, 0.0)))
        return Launch(kernel, self.plan.grid(self.B, self.C), (*args, *sizes), constants)

    def carried(self, start: tuple | None, scale: tuple, offset: tuple) -> tuple[Launch, tuple]:
        """The launch that runs along the pieces, and the stream of the carries into them."""
        _, out = self.by_row()
        block = min(self.plan.block, WARP)
        along = Plan(WARP // block, block, 1, 0)
        constants = {name: x for name, x in self.constants.items() if name != "REVERSE"}
        constants |= {"PLANES": self.planes, "ROWS": along.rows, "BLOCK_C": block, "UNROLL": CARRIES, "num_warps": 1}
        args = (start, scale, offset, out, self.B, self.C, self.plan.chunks)
        return Launch(affine.carries, along.grid(self.B, self.C), args, constants), out


def forward(call: Call, save: bool) -> tuple[tuple[Tensor, Tensor, Tensor], list[Launch]]:
    """(y, h_last, saved) and the launches that fill them."""
    y = new_rows(call.first, call.width)
    h_last = call.new(call.B, call.width)
    saved = call.new(*(saved_shape(call.kernel, call.B, call.T, call.C, call.options) if save else (0,)), dtype=torch.int32)
    unroll = call.config.forward
    launches, start = [], call.start
    if call.plan.chunks > 1:
        (_, scale), (_, offset) = call.by_row(), call.by_row()
        args = (call.x, call.p, call.resets, call.at_reset, scale, offset)
        launches.append(call.launch(affine.summarize_forward, args, unroll))
        along, start = call.carried(start, scale, offset)
        launches.append(along)
    if call.latch:
        if save and call.plan.chunks > 1:
            saved[:, -1] = call.T  # no piece has written yet
        args = (call.x, call.p, start, call.stream(y), call.stream(h_last), call.stream(saved) if save else None)
        launches.append(call.launch(latch.forward, args, unroll))
    else:
        args = (call.x, call.p, start, call.resets, call.at_reset, call.stream(y), call.stream(h_last))
        launches.append(call.launch(affine.forward, args, unroll))
    return (y, h_last, saved), launches


def backward(
    call: Call, states: Tensor | None, dy: Tensor | None, dh_last: Tensor | None
) -> tuple[list[Tensor], list[tuple], list[Launch]]:
    """Gradients of streams and h0, which the launches fill; (like, partial sums by row) of those that are yet to be summed; launches."""
    inputs = [new_rows(call.first, x.shape[2]) for x in ([call.first] if call.packed else call.inputs)]
    dx = tuple(call.stream(x) for x in (inputs[0].split(call.width, dim=2) if call.packed else inputs))
    dh0 = call.new(call.B, call.width)
    partial = [call.by_row(torch.float64) for _ in call.params]
    reset_partial = call.by_row(torch.float64) if call.at_reset is not None else (None, None)
    dp = tuple(stream for _, stream in partial)
    unroll = call.config.backward
    launches, start, dy = [], call.optional(dh_last), call.optional(dy)
    if call.plan.chunks > 1:
        (_, scale), (_, offset) = call.by_row(), call.by_row()
        args = (call.x, call.p, call.resets, dy, scale, offset)
        launches.append(call.launch(affine.summarize_backward, args, unroll))
        along, start = call.carried(start, scale, offset)
        launches.append(along)
    if call.latch:
        args = (call.x, call.p, call.start, call.stream(states), dy, start, dx, dp, call.stream(dh0))
    else:
        read = call.optional(states if call.cell.uses_state else None)
        args = (call.x, call.p, call.start, call.resets, call.at_reset, read, dy, start, dx, dp, call.stream(dh0), reset_partial[1])
    launches.append(call.launch((latch if call.latch else affine).backward, args, unroll, PULLBACK=call.cell.pullback))
    sums = [(like, x) for like, (x, _) in zip(call.params, partial, strict=True)]
    sums += [(call.h_reset, reset_partial[0])] if call.at_reset is not None else []
    return [*inputs, dh0], sums, launches


def total(call: Call, like: Tensor, partial: Tensor) -> Tensor:
    """The sum of partial sums by row, [rows, planes, C], in the shape and type of what they are the gradient of."""
    x = partial.unflatten(0, (call.B, call.plan.chunks))
    x = x.sum(1) if like.dim() == 2 else x.sum((0, 1))
    if like.is_complex():
        return torch.complex(*x.unbind(-2)).to(like.dtype)
    return x.flatten(-2).to(like.dtype)


def on_device(device: torch.device):
    """Makes a GPU the current one for launches."""
    return nullcontext() if device.type == "cpu" else torch.cuda.device(device)
