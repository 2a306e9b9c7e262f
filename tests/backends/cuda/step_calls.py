"""Calls of lrnn_kernels.testing on the CUDA kernels of step cells, under the executor: what a
binding does, in Python."""

from __future__ import annotations

from ctypes import Structure, byref, c_bool, c_int64, c_void_p
from typing import NamedTuple

import torch
from torch import Tensor

from lrnn_kernels import testing
from lrnn_kernels.cell import carry_dtype
from tests.backends.cuda import calls, executor
from tests.backends.cuda.calls import ScanArgs, Stream, Sums, poison

#: Multiprocessors and bytes of L2 cache of an H100.
DEVICE = (132, 50 << 20)


class StepProblem(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [
        *((name, c_int64) for name in ("B", "T", "C", "channels", "workspace_bytes")),
        ("may_cut", c_bool),
    ]


class StepPlan(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("channels", "threads", "blocks", "chunk")]

    def chunks(self, T: int) -> int:
        return max(1, -(-T // self.chunk))


class Shape(NamedTuple):
    """How to lay a call over a device: narrow or wide lanes, threads per block, blocks where states
    are computed again, steps per chunk where time may be cut."""

    width: str
    threads: int
    blocks: int | None = None
    chunk: int | None = None


def make_plan(problem: StepProblem, device: tuple[int, int] = DEVICE) -> StepPlan:
    plan = StepPlan()
    calls.load().library.lrnn_gpu_step_plan(byref(problem), *map(c_int64, device), byref(plan))
    return plan


class Runner(calls.Runner):
    """One call, as the kernels see it."""

    def describe(self) -> None:
        self.channels, self.states = self.numbers("lrnn_gpu_step_describe", 2)

    def problem(self, args: ScanArgs, backward: bool) -> StepProblem:
        problem = StepProblem()
        self.kernels.lrnn_gpu_step_problem(
            self.cell, self.storage, backward, byref(args), byref(problem)
        )
        return problem

    def plan(self, args: ScanArgs, backward: bool, shape: Shape | None) -> StepPlan:
        """As on a device, or as given."""
        problem = self.problem(args, backward)
        if shape is None:
            return make_plan(problem)
        channels = 1 if shape.width == "narrow" else self.channels
        needed = max(1, -(-problem.B * -(-problem.C // channels) // shape.threads))
        blocks = shape.blocks if shape.blocks and problem.workspace_bytes else needed
        return StepPlan(
            channels,
            shape.threads,
            blocks,
            shape.chunk if shape.chunk and problem.may_cut else max(1, problem.T),
        )

    def launch(self, backward: bool, args: ScanArgs, plan: StepPlan) -> None:
        assert self.kernels.lrnn_gpu_step_plan_is_valid(
            byref(plan), byref(self.problem(args, backward))
        )
        size = (
            self.kernels.lrnn_gpu_step_workspace(self.cell, self.storage, byref(args), byref(plan))
            if backward
            else 0
        )
        workspace = torch.full((size,), 255, dtype=torch.uint8)  # NaN
        where = c_void_p(workspace.data_ptr())
        if self.kernels.lrnn_gpu_step_launch(
            self.cell, self.storage, backward, byref(args), byref(plan), where
        ):
            raise RuntimeError(self.executor.message)

    def reduce_rows(self, sums: Tensor, like: Tensor, rows: int) -> Tensor:
        """Sums [slot, rows C] into a tensor like the given one, (rows C,) or (B, rows C)."""
        out = torch.full(like.shape, float("nan"), dtype=like.dtype)
        B, _, C = self.shape
        groups = B if like.dim() == 2 else 1
        if B == 0:
            return out.zero_()
        what = Sums(sums.data_ptr(), sums.stride(0), groups, len(sums) // groups, C, rows, False)
        if self.kernels.lrnn_gpu_step_reduce(
            self.cell, self.storage, byref(what), c_void_p(out.data_ptr())
        ):
            raise RuntimeError(self.executor.message)
        return out


def run(
    call: testing.Call,
    library: executor.Executor | None = None,
    shape: Shape | None = None,
    *,
    save: bool = True,
) -> dict[str, Tensor]:
    """What testing.run gives, from the CUDA kernels: y, h_last and, where states are saved, all
    gradients. See Runner.plan for shape."""
    runner = Runner(call, library or calls.load())
    B, T, C = runner.shape
    carry = carry_dtype(call.dtype)
    args = runner.arguments()
    y, h_last = poison((B, T, C), call.dtype), poison((B, runner.states * C), carry)
    args.y, args.h_last = runner.stream(y), runner.stream(h_last)
    if call.kernel.saves == "states":
        states, values = call.kernel.states, call.kernel.saved
        interval = args.interval
        saved = poison((B, states, T // interval + 2, C) if interval else (B, values, T, C), carry)
        kept = Stream(saved.data_ptr(), saved.stride(0), saved.stride(2), saved.stride(1))
    else:
        kept = None
    if save and kept:
        args.saved = kept
    runner.launch(False, args, runner.plan(args, False, shape))
    result = {"y": y, "h_last": h_last}
    if not save:
        return result

    args = runner.arguments()
    args.states = kept or runner.stream(y)
    dy = call.dy if call.dy is not None else torch.zeros(C, dtype=call.dtype).expand(B, T, -1)
    args.dy, args.dh_last = runner.stream(dy), runner.stream(call.dh_last)
    dinputs = [poison(x.shape, call.dtype) for x in call.inputs]
    dh0 = poison((B, runner.states * C), carry)
    args.dinputs, args.dh0 = runner.streams(dinputs), runner.stream(dh0)
    plan = runner.plan(args, True, shape)
    slots = B * plan.chunks(T)
    dparams = torch.zeros(slots, len(call.params), C, dtype=torch.float64)
    dreset = (
        torch.zeros(slots, runner.states * C, dtype=torch.float64)
        if call.h_reset is not None and call.reset is not None
        else None
    )
    args.dparams = dparams.data_ptr()
    args.dreset = dreset.data_ptr() if dreset is not None else None
    runner.launch(True, args, plan)

    result |= {
        "d_" + name: x
        for name, x in zip(("packed",) if call.packed else call.entry.inputs, dinputs, strict=True)
    }
    for i, (name, p) in enumerate(zip(call.entry.params, call.params, strict=True)):
        result["d_" + name] = runner.reduce_rows(dparams[:, i], p, 1)
    if call.h0 is not None:
        result["d_h0"] = dh0
    if call.h_reset is not None:
        zero = torch.zeros_like(call.h_reset)
        result["d_h_reset"] = (
            zero if dreset is None else runner.reduce_rows(dreset, call.h_reset, runner.states)
        )
    return result
