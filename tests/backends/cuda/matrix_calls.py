"""Calls of lrnn_kernels.testing on the CUDA kernels of matrix cells, under the executor: what a
binding does, in Python."""

from __future__ import annotations

from ctypes import Structure, byref, c_int64, c_void_p

import torch
from torch import Tensor

from lrnn_kernels import testing
from lrnn_kernels.cell import carry_dtype
from tests.backends.cuda import calls, executor
from tests.backends.cuda.calls import ScanArgs, Stream, Sums, poison


class Layout(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("blocks", "groups", "elements")]


class Matrices(Structure):
    """csrc/cuda/kernels.h."""

    _fields_ = [("blocks", c_void_p * 4)]


class Runner(calls.Runner):
    """One call, as the kernels see it."""

    def describe(self) -> None:
        """What is saved of a step, and what a backward pass gathers of one."""
        self.saved, self.gathered = self.numbers("lrnn_gpu_matrix_describe", 2)
        self.states = len(self.call.entry.states)
        self.terms = sum(self.call.kernel.blocks)

    def arguments(self) -> ScanArgs:
        args = super().arguments()
        vectors = self.call.params[len(self.call.kernel.blocks) :]
        args.params = (Stream * 3)(*map(self.stream, vectors))
        return args

    def matrices(self) -> Matrices:
        C = self.shape[2]
        found = [w for param in self._matrices() for w in param.split(C)]
        self.keep += found
        return Matrices((c_void_p * 4)(*(w.data_ptr() for w in found)))

    def _matrices(self) -> list[Tensor]:
        return [w.contiguous() for w in self.call.params[: len(self.call.kernel.blocks)]]

    def layout(self, multiprocessors: int) -> Layout:
        layout = Layout()
        self.kernels.lrnn_gpu_matrix_layout(
            self.cell,
            self.storage,
            byref(self.arguments()),
            c_int64(multiprocessors),
            byref(layout),
        )
        return layout

    def launch(self, backward: bool, args: ScanArgs, layout: Layout) -> None:
        size = self.kernels.lrnn_gpu_matrix_workspace(self.cell, self.storage, byref(layout))
        workspace = torch.full((size,), 255, dtype=torch.uint8)
        if self.kernels.lrnn_gpu_matrix_launch(
            self.cell,
            self.storage,
            backward,
            byref(args),
            byref(self.matrices()),
            byref(layout),
            c_void_p(workspace.data_ptr()),
        ):
            raise RuntimeError(self.executor.message)

    def reduce_rows(self, sums: Tensor, like: Tensor, rows: int) -> Tensor:
        """Sums of batch elements [b, rows C] into a tensor like the given one, (rows C,) or
        (B, rows C)."""
        out = torch.full(like.shape, float("nan"), dtype=like.dtype)
        B, _, C = self.shape
        groups = B if like.dim() == 2 else 1
        if groups == 0:
            return out
        what = Sums(sums.data_ptr(), sums.stride(0), groups, B // groups, C, rows, False)
        if self.kernels.lrnn_gpu_matrix_reduce(
            self.cell, self.storage, byref(what), c_void_p(out.data_ptr())
        ):
            raise RuntimeError(self.executor.message)
        return out

    def matrix_gradients(self, saved: Tensor, gathered: Tensor) -> list[Tensor]:
        """Products over all of time, of the gradients of terms and what these multiplied."""
        C = self.shape[2]
        planes = gathered.reshape(-1, self.gathered * C).split(C, 1)
        before = saved.reshape(-1, self.saved * C).split(C, 1)[self.saved - self.states]
        late = self.late_terms()
        multiplied = [before] * (self.terms - late) + [planes[-1]] * late
        blocks = [d.T @ x for d, x in zip(planes[: self.terms], multiplied, strict=True)]
        return list(torch.cat(blocks).split([n * C for n in self.call.kernel.blocks]))

    def late_terms(self) -> int:
        """All late cells have one such term."""
        return self.gathered - self.terms


def run(
    call: testing.Call,
    library: executor.Executor | None = None,
    *,
    save: bool = True,
    multiprocessors: int = 16,
) -> dict[str, Tensor]:
    """What testing.run gives: y, h_last and, where states are saved, all gradients."""
    runner = Runner(call, library or calls.load())
    B, T, C = runner.shape
    carry, states = carry_dtype(call.dtype), runner.states
    layout = runner.layout(multiprocessors)
    args = runner.arguments()
    y, h_last = poison((B, T, C), call.dtype), poison((B, states * C), carry)
    args.y, args.h_last = runner.stream(y), runner.stream(h_last)
    saved = poison((B, T, runner.saved * C), carry)
    args.saved = runner.stream(saved) if save else Stream()
    runner.launch(False, args, layout)
    result = {"y": y, "h_last": h_last}
    if not save:
        return result

    args = runner.arguments()
    args.states = runner.stream(saved)
    dy = call.dy if call.dy is not None else torch.zeros(C, dtype=call.dtype).expand(B, T, -1)
    args.dy, args.dh_last = runner.stream(dy), runner.stream(call.dh_last)
    dinputs = [poison(x.shape, call.dtype) for x in call.inputs]
    gathered, dh0 = poison((B, T, runner.gathered * C), carry), poison((B, states * C), carry)
    args.dinputs, args.dh0 = runner.streams(dinputs), runner.stream(dh0)
    args.saved = runner.stream(gathered)
    vectors = call.params[len(call.kernel.blocks) :]
    dparams = poison((B, len(vectors), C), torch.float64)
    dreset = (
        torch.zeros(B, states * C, dtype=torch.float64)
        if call.h_reset is not None and call.reset is not None
        else None
    )
    args.dparams = dparams.data_ptr()
    args.dreset = dreset.data_ptr() if dreset is not None else None
    runner.launch(True, args, layout)

    result |= {
        "d_" + name: x
        for name, x in zip(("packed",) if call.packed else call.entry.inputs, dinputs, strict=True)
    }
    gradients = runner.matrix_gradients(saved, gathered)
    gradients += [runner.reduce_rows(dparams[:, i], p, 1) for i, p in enumerate(vectors)]
    result |= {"d_" + name: x for name, x in zip(call.entry.params, gradients, strict=True)}
    if call.h0 is not None:
        result["d_h0"] = dh0
    if call.h_reset is not None:
        zero = torch.zeros_like(call.h_reset)
        result["d_h_reset"] = (
            zero if dreset is None else runner.reduce_rows(dreset, call.h_reset, states)
        )
    return result
