"""Calls of lrnn_kernels.testing on the CUDA kernels, under the executor: what a binding does, in
Python."""

from __future__ import annotations

import ctypes
import functools
from ctypes import Structure, byref, c_bool, c_double, c_int64, c_void_p

import torch
from torch import Tensor

from lrnn_kernels import testing
from lrnn_kernels.cell import carry_dtype
from tests.backends.cuda import executor

STORAGES = [
    "f32",
    "f64",
    "bf16",
    "f16",
    "c64",
    "c128",
    "f32_split",
    "f64_split",
    "bf16_split",
    "f16_split",
]
_NAMES = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.bfloat16: "bf16",
    torch.float16: "f16",
    torch.complex64: "c64",
    torch.complex128: "c128",
}


class Stream(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("stride_b", c_int64),
        ("stride_t", c_int64),
        ("plane", c_int64),
    ]


class ScanArgs(Structure):
    """csrc/args.h."""

    _fields_ = [
        *[(name, c_int64) for name in "BTC"],
        ("reverse", c_bool),
        ("nontemporal", c_bool),
        ("options", c_double * 12),
        ("inputs", Stream * 4),
        ("params", Stream * 3),
        *[(name, Stream) for name in ("h0", "h_reset", "reset", "y", "h_last", "bits")],
        ("first_writes", c_void_p),
        ("saved", Stream),
        ("interval", c_int64),
        *[(name, Stream) for name in ("states", "saved_bits", "dy", "dh_last")],
        ("dinputs", Stream * 4),
        *[(name, Stream) for name in ("dh0", "dh_reset")],
        ("dparams", c_void_p),
        ("dreset", c_void_p),
    ]


class Plan(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [("lanes", c_int64), ("groups", c_int64), ("chunk", c_int64)]

    def chunks(self, T: int) -> int:
        return max(1, -(-T // self.chunk))


class Problem(Structure):
    _fields_ = [(name, c_int64) for name in ("lanes", "T", "steps", "bytes_loaded")]


class Sums(Structure):
    _fields_ = [
        ("sums", c_void_p),
        *[(name, c_int64) for name in ("slot_stride", "groups", "slots", "C", "planes")],
        ("interleaved", c_bool),
    ]


@functools.cache
def load() -> executor.Executor:
    """The kernels, compiled for the executor."""
    return declare(executor.Executor(executor.compile_operators()))


def declare(library: executor.Executor) -> executor.Executor:
    """Tells ctypes what functions return."""
    library.library.lrnn_gpu_workspace.restype = c_int64
    library.library.lrnn_gpu_plan_is_valid.restype = c_bool
    library.library.lrnn_gpu_describe.restype = c_bool
    library.library.lrnn_gpu_step_workspace.restype = c_int64
    library.library.lrnn_gpu_step_plan_is_valid.restype = c_bool
    library.library.lrnn_gpu_step_describe.restype = c_bool
    library.library.lrnn_gpu_matrix_describe.restype = c_bool
    library.library.lrnn_gpu_matrix_workspace.restype = c_int64
    return library


def generic(call: testing.Call) -> str:
    """The operator that serves a call; the generic engine where there is one for bits, which
    takes chunks of whole bytes only."""
    return (call.kernel.generic or call.kernel).name


class Runner:
    """One call, as the kernels see it."""

    def __init__(
        self, call: testing.Call, library: executor.Executor, kernel: str | None = None
    ) -> None:
        self.call, self.executor, self.kernels = call, library, library.library
        self.cell = (kernel or generic(call)).encode()
        first = call.inputs[0]
        self.count = len(call.entry.inputs)
        self.split = bool(call.params) and call.params[0].is_complex() and not first.is_complex()
        self.storage = STORAGES.index(_NAMES[first.dtype] + ("_split" if self.split else ""))
        self.scalars = 2 if first.is_complex() else 1
        self.planes = 2 if first.is_complex() or self.split else 1
        self.width = first.shape[2] // (self.count if call.packed else 1)  # of y
        B, T, _ = first.shape
        self.shape = B, T, self.width // (2 if self.split else 1)
        self.keep = []  # tensors that the arguments point to
        self.describe()

    def describe(self) -> None:
        """Asks for what the kernels say of themselves."""
        self.channels, *self.tiles = self.numbers("lrnn_gpu_describe", 5)

    def numbers(self, function: str, count: int) -> list[int]:
        found = (c_int64 * (count + 1))()
        if not getattr(self.kernels, function)(self.cell, self.storage, found):
            raise LookupError(f"no CUDA kernel {self.cell.decode()} for {STORAGES[self.storage]}")
        assert found[count] == ctypes.sizeof(ScanArgs)
        return found[:count]

    def stream(self, x: Tensor | None, scalars: int | None = None) -> Stream:
        if x is None:
            return Stream()
        assert x.shape[-1] == 1 or x.stride(-1) == 1
        scalars = self.scalars if scalars is None else scalars
        self.keep.append(x)
        strides = [x.stride(d) * scalars if x.dim() > d + 1 else 0 for d in (0, 1)]
        return Stream(x.data_ptr(), *strides, self.shape[2])

    def streams(self, tensors) -> ctypes.Array:
        """The inputs or their gradients: of a packed tensor, its parts."""
        parts = tensors[0].split(self.width, -1) if self.call.packed else tensors
        return (Stream * 4)(*(self.stream(x) for x in parts))

    def arguments(self) -> ScanArgs:
        call = self.call
        numbers = call.entry.numbers(call.options)
        leading = 1 if call.entry.sequential and numbers else 0  # the interval between saved states
        return ScanArgs(
            *self.shape,
            call.reverse,
            False,
            (c_double * 12)(*numbers[leading:]),
            self.streams(call.inputs),
            (Stream * 3)(*(self.stream(p, 2 if p.is_complex() else 1) for p in call.params)),
            interval=int(numbers[0]) if leading else 0,
            h0=self.stream(call.h0),
            h_reset=self.stream(call.h_reset if call.reset is not None else None),
            reset=Stream(call.reset.data_ptr(), *call.reset.stride(), 0)
            if call.reset is not None
            else Stream(),
        )

    def plan(self, backward: bool, bytes_in_flight: int) -> Plan:
        B, T, C = self.shape
        plan = Plan()
        problem = Problem(
            B * -(-C // self.channels), T, *self.tiles[2 * backward : 2 * backward + 2]
        )
        self.kernels.lrnn_gpu_plan(
            byref(problem), c_int64(bytes_in_flight), c_int64(132), byref(plan)
        )
        return plan

    def launch(self, backward: bool, args: ScanArgs, plan: Plan) -> None:
        assert self.kernels.lrnn_gpu_plan_is_valid(byref(plan), c_int64(self.shape[1]))
        size = self.kernels.lrnn_gpu_workspace(self.cell, self.storage, byref(args), byref(plan))
        workspace = torch.full((size,), 255, dtype=torch.uint8)  # NaN
        if self.kernels.lrnn_gpu_launch(
            self.cell,
            self.storage,
            backward,
            byref(args),
            byref(plan),
            c_void_p(workspace.data_ptr()),
        ):
            raise RuntimeError(self.executor.message)

    def reduce(self, sums: Tensor, like: Tensor, slots: int, interleaved: bool) -> Tensor:
        """Sums [slots, ..., C planes] into a tensor like the given one."""
        out = torch.full(like.shape, float("nan"), dtype=like.dtype)
        groups = self.shape[0] if like.dim() == 2 else 1
        stride = sums.stride(0)
        what = Sums(
            sums.data_ptr(),
            stride,
            groups,
            slots // groups,
            self.shape[2],
            self.planes,
            interleaved,
        )
        if self.shape[0] == 0:
            return out.zero_()
        if self.kernels.lrnn_gpu_reduce(
            self.cell, self.storage, byref(what), c_void_p(out.data_ptr())
        ):
            raise RuntimeError(self.executor.message)
        return out


def poison(shape, dtype) -> Tensor:
    return torch.full(shape, float("nan"), dtype=dtype)


def run(
    call: testing.Call,
    library: executor.Executor | None = None,
    *,
    forward_plan: Plan | None = None,
    backward_plan: Plan | None = None,
    bytes_in_flight: int = 2 << 20,
    kernel: str | None = None,
) -> dict[str, Tensor]:
    """What testing.run gives, from the CUDA kernels: y, h_last and all gradients; "bits", too,
    where the kernel saves them.

    Plans are made as on a device unless given; the kernel is the generic one unless given.
    """
    runner = Runner(call, library or load(), kernel)
    B, T, C = runner.shape
    carry = carry_dtype(call.dtype)
    args = runner.arguments()
    y, h_last = poison((B, T, runner.width), call.dtype), poison((B, runner.width), carry)
    args.y, args.h_last = runner.stream(y), runner.stream(h_last)
    bits = (
        torch.full((B, -(-T // 32) + 1, C), -1, dtype=torch.int32)
        if runner.cell == b"bmru"
        else None
    )
    args.bits = runner.stream(bits)
    runner.launch(False, args, forward_plan or runner.plan(False, bytes_in_flight))
    result = {"y": y, "h_last": h_last}
    if bits is not None:
        result["bits"] = bits

    args = runner.arguments()
    plan = backward_plan or runner.plan(True, bytes_in_flight)
    if bits is None:
        args.states = runner.stream(y)
    else:
        args.saved_bits = runner.stream(bits)
    dy = (
        call.dy
        if call.dy is not None
        else torch.zeros(runner.width, dtype=call.dtype).expand(B, T, -1)
    )
    args.dy, args.dh_last = runner.stream(dy), runner.stream(call.dh_last)
    dinputs = [poison(x.shape, call.dtype) for x in call.inputs]
    dh0 = poison((B, runner.width), carry)
    args.dinputs, args.dh0 = runner.streams(dinputs), runner.stream(dh0)
    slots, row = B * plan.chunks(T) * plan.groups, runner.planes * C
    dparams = torch.zeros(slots, len(call.params), row, dtype=torch.float64)
    dreset = (
        torch.zeros(slots, row, dtype=torch.float64)
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
        result["d_" + name] = runner.reduce(dparams[:, i], p, slots, runner.planes == 2)
    if call.h0 is not None:
        result["d_h0"] = dh0
    if call.h_reset is not None:
        result["d_h_reset"] = (
            torch.zeros_like(call.h_reset)
            if dreset is None
            else runner.reduce(dreset, call.h_reset, slots, runner.scalars == 2)
        )
    return result


def errors(call: testing.Call, result: dict[str, Tensor]) -> list[testing.Error]:
    """Those that are larger than allowed."""
    expected = testing.run(call.double(), "reference")
    return [
        e
        for e in testing.compare(call, {name: result[name] for name in expected}, expected)
        if not e.ok
    ]
