"""python -m benchmarks.gpu_model: the share of a copy's bandwidth that the CUDA kernels should reach on an H100, from what they compile to.

A prediction to hold measurements against, not a measurement. It takes the kernels' registers and shared memory from
results/gpu_resources.csv, their layout from their own plan (csrc/cuda/plan.cpp), and assumes of the device and of the code

- COPY bytes a second for a copy, read plus written, which no kernel exceeds; LATENCY from a load to its data on a busy device;
- that a thread has the loads of one tile in flight while it works on another, and that stores wait for nobody (Little's law: loads
  arrive at bytes in flight by LATENCY);
- that a step of an affine cell takes STEP of a thread's time, twice if its tile is composed first, and a meeting of a block's
  groups takes MEETING; that a step of a step cell takes CHAIN forward and half of it backward, which computes one function in three;
- that a step of the nBRC, with matrices of float32, takes CHAIN, MEETING of its threads' sums, PRODUCT of a cycle for every product that
  a multiprocessor takes (128 of a cycle, and a third of that for loads and sums), and, where several blocks hold the matrices, EXCHANGE:
  the way of a store and a load through L2, and the half of another load that came too early;
- LAUNCH for every kernel in a CUDA graph; as many blocks on a multiprocessor as registers, shared memory and threads allow; whole waves.

It knows nothing of caches: a shape that fits into 50 MB of L2 may do better.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import subprocess
import sys
from ctypes import Structure, byref, c_int64
from dataclasses import dataclass
from pathlib import Path

import torch

from lrnn_kernels import build
from lrnn_kernels.registry import CELLS

from . import gpu_resources, report
from .traffic import OPS, Op

COPY, LATENCY, STEP, MEETING, CHAIN, LAUNCH = 3.0e12, 800e-9, 4.6e-9, 200e-9, 45e-9, 2e-6
PRODUCT, EXCHANGE = 4 / 3 / 128 / 1.755e9, 500e-9
MULTIPROCESSORS, REGISTERS, SHARED, THREADS, BLOCKS, L2 = 132, 65536, 227 << 10, 2048, 32, 50 << 20
ARCHITECTURE = "sm_90"
ACCESS = 16

SHAPES = ((8, 4096, 256), (32, 784, 256), (64, 4096, 256), (1, 65536, 64), (1, 65536, 256))
NBRC_SHAPES = ((8, 784, 64), (8, 784, 128), (8, 784, 256), (33, 784, 256), (64, 784, 256), (132, 784, 256), (528, 784, 256))
#: The structs that the table names, by operator.
STRUCTS = {
    "linear": "Linear",
    "linear_per_channel": "LinearPerChannel",
    "bmru": "Latch",
    "cmru": "Cmru<kPerChannel>",
    "cmru_per_step": "Cmru<kPerStep>",
    "fq_bmru": "FqBmru",
    "min_gru": "MinGru<false>",
}


class Gpu(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("bytes_in_flight", "multiprocessors", "cache_bytes")]


class Problem(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("lanes", "T", "steps", "bytes_loaded")]


class Plan(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("lanes", "groups", "chunk")]


class StepProblem(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("B", "T", "C", "channels", "workspace_bytes")]


class NbrcLayout(Structure):
    """csrc/cuda/kernels.h."""

    _fields_ = [(name, c_int64) for name in ("blocks", "groups", "elements")]


class StepPlan(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("channels", "threads", "blocks")]


H100 = Gpu(int(COPY * LATENCY), MULTIPROCESSORS, L2)


@dataclass
class Prediction:
    """Seconds of a pass, the copy's share of them, and what bounds it."""

    seconds: float
    share: float
    bound: str


@functools.cache
def plans() -> ctypes.CDLL:
    """plan.cpp, compiled once into the cache."""
    sources = [Path(__file__).with_name("gpu_plan.cpp"), build.source_dir() / "cuda" / "plan.cpp"]
    headers = [build.source_dir() / "cuda" / name for name in ("plan.h", "kernels.h")]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in [*sources, *headers])).hexdigest()[:16]

    def make(output: Path, _: Path) -> None:
        command = [build.find_compiler() or "c++", "-std=c++20", "-O1", "-fPIC", "-shared", *map(str, sources), "-o", str(output)]
        subprocess.run(command, check=True)

    return ctypes.CDLL(str(build.from_cache("gpu-plan", key, ["host"], "a second", make)))


def tile_steps(accesses: int, numbers: int) -> int:
    """steps_for of csrc/cuda/affine.cuh."""
    steps = 1 if accesses > 5 else 2 if accesses > 2 else 4 if accesses > 1 else 8
    return steps // 2 if numbers > 8 and steps > 1 else steps


def accesses(op: Op, backward: bool) -> int:
    """The streams that a tile has room for."""
    return (op.backward if backward else op.forward)[0]


def resident_blocks(registers: int, shared: int, threads: int) -> int:
    """Blocks that a multiprocessor holds at a time."""
    per_warp = -(-registers * 32 // 256) * 256
    limits = [REGISTERS // (per_warp * -(-threads // 32)), THREADS // threads, BLOCKS]
    return max(1, min(limits + ([SHARED // (shared + 1024)] if shared else [])))


def predict(op: Op, shape: tuple[int, int, int], dtype: torch.dtype, backward: bool) -> Prediction:
    """What the kernels of an operator should take for a shape."""
    total = shape[0] * shape[1] * shape[2] * op.bytes_per_element(dtype, backward)
    cell = CELLS[op.cell]
    seconds, bound = (_step if cell.sequential else _affine)(op, shape, dtype, backward, total)
    return Prediction(seconds, total / COPY / seconds, bound)


def _affine(op: Op, shape, dtype: torch.dtype, backward: bool, total: float) -> tuple[float, str]:
    B, T, C = shape
    kernel = CELLS[op.cell].kernel({**CELLS[op.cell].options, **op.options}, False)
    channels = ACCESS // op.itemsize(dtype)
    reads = accesses(op, backward)
    steps = tile_steps(reads, channels * (2 if op.complex else 1))
    problem, plan = Problem(B * -(-C // channels), T, steps, steps * reads * ACCESS), Plan()
    plans().lrnn_plan(byref(problem), byref(H100), byref(plan))
    chunks, threads = max(1, -(-T // plan.chunk)), plan.lanes * plan.groups
    blocks = -(-problem.lanes // plan.lanes) * chunks
    at_once = resident_blocks(*_resources(STRUCTS[kernel], dtype, op.complex, backward), threads) * MULTIPROCESSORS
    waves, active = -(-blocks // at_once), min(blocks, at_once)
    loaded = B * T * C * reads * op.itemsize(dtype)
    by_latency = loaded * LATENCY / (active * threads * steps * reads * ACCESS)
    serial = plan.chunk / plan.groups * STEP * (2 if plan.groups > 1 else 1)
    serial = waves * (serial + (plan.chunk / (plan.groups * steps) * MEETING if plan.groups > 1 else 0))
    parts = {"memory": total / COPY, "latency": by_latency, "steps": serial}
    bound = max(parts, key=parts.__getitem__)
    if chunks == 1:
        return LAUNCH + parts[bound], bound
    first = max(loaded / COPY, by_latency, plan.chunk / plan.groups * STEP)  # the summaries read the inputs once more
    return 3 * LAUNCH + first + parts[bound], f"{bound}, in {chunks} chunks"


def _step(op: Op, shape, dtype: torch.dtype, backward: bool, total: float) -> tuple[float, str]:
    B, T, C = shape
    problem, plan = StepProblem(B, T, C, 4, 0), StepPlan()
    plans().lrnn_step_plan(byref(problem), byref(H100), byref(plan))
    chain = T * CHAIN * (0.5 if backward else 1.0)
    if backward and op.options.get("memory"):
        chain += T * CHAIN  # computed again
    resident = min(plan.blocks, MULTIPROCESSORS * (THREADS // plan.threads))
    chain *= -(-plan.blocks // resident)
    parts = {"memory": total / COPY, "the chain of a step": chain}
    bound = max(parts, key=parts.__getitem__)
    return LAUNCH + parts[bound], bound


def predict_nbrc(shape: tuple[int, int, int]) -> tuple[NbrcLayout, float]:
    """How a call of the nBRC with matrices of float32 lies over the device, and the seconds of a pass, either way."""
    B, T, C = shape
    layout = NbrcLayout()
    plans().lrnn_nbrc_layout(*map(c_int64, (128, 64, B, C)), byref(H100), byref(layout))
    held = next(width for width in (32, 64, 128, 256) if width >= C)  # the kernels' widths
    step = CHAIN + MEETING + PRODUCT * layout.elements * 2 * held * min(held, 64 if layout.blocks > 1 else held)
    if layout.blocks > 1:
        return layout, LAUNCH + T * (step + EXCHANGE) * -(-B // (layout.groups * layout.elements))
    return layout, LAUNCH + T * step * -(-B // MULTIPROCESSORS)


def _resources(struct: str, dtype: torch.dtype, complex: bool, backward: bool) -> tuple[int, int]:
    """Registers and shared memory of an affine kernel, from the table."""
    storage = {2: "__nv_bfloat16, float", 4: "float, float", 8: "double, double"}[dtype.itemsize]
    io = f"ComplexValues<{storage}, {'true' if dtype.itemsize == 2 else 'false'}" if complex else f"Real<{storage}"
    direction = "Backward" if backward else "Forward"
    latch = struct == "Latch"  # passes of its own
    name = f"affine<{'Latch' if latch else ''}{direction}, {'Hysteresis<kPerChannel>' if latch else struct}, {io}"
    rows = [row for row in gpu_resources.read()[1] if row["kernel"].startswith(name) and row["architecture"] == ARCHITECTURE]
    if not rows:
        raise LookupError(f"{gpu_resources.TABLE.name} has no kernel {name} for {ARCHITECTURE}")
    return int(rows[0]["registers"]), int(rows[0]["shared_bytes"])


def main() -> int:
    print(__doc__.split("\n\n", 1)[1])
    for dtype in (torch.float32, torch.bfloat16):
        for shape in SHAPES:
            rows = []
            for op in OPS.values():
                found = [predict(op, shape, dtype, backward) for backward in (False, True)]
                rows.append([op.name, *(text for p in found for text in (f"{p.seconds * 1e3:.3f}", f"{p.share:.2f}", p.bound))])
            title = f"{list(shape)}, {str(dtype).removeprefix('torch.')}: ms, share of the copy, bound by"
            print(report.table(["operator", "forward", "share", "by", "backward", "share", "by"], rows, title))
    rows = []
    for shape in NBRC_SHAPES:
        layout, seconds = predict_nbrc(shape)
        lies = f"{layout.groups} x {layout.blocks} blocks, {layout.elements} at a time"
        rows.append([str(list(shape)), lies, f"{seconds * 1e3:.2f}", f"{seconds / shape[1] * 1e6:.2f}"])
    print(report.table(["nbrc, float32", "groups", "ms, either way", "us a step"], rows, "the nBRC"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
