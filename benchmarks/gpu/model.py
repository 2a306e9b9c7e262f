"""python -m benchmarks gpu model: the share of a copy's bandwidth that the CUDA kernels should
reach on an H100, or another Hopper GPU, from what they compile to.

A prediction to hold measurements against, not a measurement. It takes the kernels' registers and
shared memory from results/gpu_resources/, their layout from their own plan (csrc/cuda/plan.cpp),
and assumes of the device (device.py) and of the code

- so many bytes a second for a copy, read plus written, which no kernel exceeds; LATENCY from a load
    to its data on a busy device;
- that a thread has the loads of one tile in flight while it works on another, and that stores wait
  for nobody (Little's law: loads arrive at bytes in flight by LATENCY);
- that a step of an affine cell takes STEP of a thread's time, twice if its tile is composed first,
  and a meeting of a block's groups takes MEETING; that a step of a step cell takes CHAIN forward,
  and backward half of it, which computes one function in three, unless nothing but y is saved, when
  it computes all; that a unit adjoint besides takes a quarter of CHAIN;
- that a step of a cell with matrices, of float32, takes CHAIN, MEETING of its threads' sums,
  PRODUCT of a cycle for every product that a multiprocessor takes (128 of a cycle, and a third of
  that for loads and sums), and, where several blocks hold the matrices, EXCHANGE: the way of a
  store and a load through L2, and the half of another load that came too early; MEETING and
  EXCHANGE once more where it has late terms;
- LAUNCH for every kernel in a CUDA graph; as many blocks on a multiprocessor as registers, shared
    memory and threads allow; whole waves;
- that of what the summaries of chunks have read two thirds of L2's bytes are still there when the
  chunks are run, and come at CACHE_READ bytes a second, CACHE_LATENCY after their prefetch: all
  else, the last reading of an input and outputs, is marked as the first to be evicted. Two thirds:
  each half of an H100's serves the multiprocessors beside it, so that a chunk which the other half
  reads the second time may be held twice. Public measurements of H100s read about 5.5 TB/s from L2,
  some 150 ns after asking; the rest is a margin, for the far half and a busy device;
- that the summaries of cells which drop their state at some steps, the BMRU and first-quadrant BMRU
  with eps = 0, read all of a chunk, as where it never is dropped: they read from a chunk's end to
  where all channels have dropped what was before, which may be a few steps;
- that a lane of one channel of a step cell finds its rows in L2, whither it has fetched them
    kStepsAhead.

It knows of no other use of caches: a shape that fits into L2 whole may do better. Nor does
it count instructions: where lanes are few, a step that computes much, as the BRC's, may take longer
than CHAIN.
"""

from __future__ import annotations

import functools
import re
from ctypes import byref, c_int64
from dataclasses import dataclass

import torch

from lrnn_kernels.backends.build import libraries
from lrnn_kernels.cell import Cell, Kernel
from lrnn_kernels.cells import CELLS
from lrnn_kernels.testing.draw import Draw, anything

from ..measure.traffic import Op
from ..resources import cuda
from .device import H100, LATENCY, Device
from .plan import (
    MatrixLayout,
    MatrixProblem,
    Plan,
    Problem,
    StepPlan,
    StepProblem,
    plans,
)

STEP, MEETING, CHAIN, LAUNCH = 4.6e-9, 200e-9, 45e-9, 2e-6
PRODUCT, EXCHANGE = 4 / 3 / 128 / 1.755e9, 500e-9
REGISTERS, SHARED, THREADS, BLOCKS = 65536, 227 << 10, 2048, 32
CACHE_READ, CACHE_LATENCY = 5.5e12, 300e-9
ARCHITECTURE = "sm_90"
ACCESS = 16


@dataclass
class Prediction:
    """Seconds of a pass, the copy's share of them, and what bounds it."""

    seconds: float
    share: float
    bound: str


@functools.cache
def structs() -> dict[str, str]:
    """The struct of every line of csrc/cells/list.h by the kernel's name, as the tables of
    resources write it."""
    return {cell.name: re.sub(r"\b\w+::", "", cell.struct) for cell in libraries.cells()}


@functools.cache
def _step_inputs(row: Cell) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """One step of random inputs (C,) and parameters, in float64 or complex128."""
    channels = 64
    draw = Draw(torch.Generator().manual_seed(0), 64, 1, channels, row.dtypes[0].is_complex)
    streams, params = (row.draw or anything)(draw, row)
    return [x[:, 0] for x in streams], params


def map_reads(op: Op) -> int:
    """Streams that a chunk's map depends on backward: dy, and those that the factor of the state
    is made of, which are found by the cell's own step. Forward it is all."""
    inputs, params = _step_inputs(op.row)
    zero, one = torch.zeros_like(inputs[0]), torch.ones_like(inputs[0])

    def factor(streams: list[torch.Tensor]) -> torch.Tensor:
        (high, low) = (
            op.row.step((h,), *streams, *params, **op.all_options)[1] for h in (one, zero)
        )
        return high - low

    first = factor(inputs)
    changed = [
        factor([x.roll(1, 0) if i == j else x for j, x in enumerate(inputs)])
        for i in range(len(inputs))
    ]
    return 1 + sum(not torch.allclose(first, other) for other in changed)


def carried(op: Op) -> int:
    """Adjoints that a step cell carries from step to step: of the states before a step that the
    states after it have a derivative by."""
    inputs, params = _step_inputs(op.row)
    before = [torch.full_like(inputs[0], 0.1, requires_grad=True) for _ in op.row.states]
    after, _ = op.row.step(tuple(before), *inputs, *params, **op.all_options)
    found = torch.autograd.grad(sum(x.sum() for x in after), before, allow_unused=True)
    return sum(x is not None and bool(x.any()) for x in found)


def accesses(op: Op, backward: bool) -> int:
    """The streams that a tile has room for."""
    return (op.backward if backward else op.forward)[0]


def resident_blocks(registers: int, shared: int, threads: int) -> int:
    """Blocks that a multiprocessor holds at a time."""
    per_warp = -(-registers * 32 // 256) * 256
    limits = [REGISTERS // (per_warp * -(-threads // 32)), THREADS // threads, BLOCKS]
    return max(1, min(limits + ([SHARED // (shared + 1024)] if shared else [])))


def predict(
    op: Op,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    backward: bool,
    may_cut: bool = True,
    device: Device = H100,
) -> Prediction:
    """What the kernels of an operator should take for a shape; of a step cell also where its
    backward pass might not be cut in time."""
    total = shape[0] * shape[1] * shape[2] * op.bytes_per_element(dtype, backward)
    if op.row.sequential:
        seconds, bound = _step(op, shape, dtype, backward, total, may_cut, device)
    else:
        seconds, bound = _affine(op, shape, dtype, backward, total, device)
    return Prediction(seconds, total / device.copy / seconds, bound)


def _in_chunks(
    total: float,
    read: float,
    first: float,
    rest: dict[str, float],
    chunks: int,
    enter: float,
    device: Device,
) -> tuple[float, str]:
    """Two passes: the first takes so long and reads so many bytes, which the second reads again
    among a total that it moves."""
    again = (total - min(read, device.cached)) / device.copy
    rest = {"memory": max(again, total / CACHE_READ), **rest}
    bound = max(rest, key=rest.__getitem__)
    seconds = 2 * LAUNCH + max(first, read / device.copy) + enter + rest[bound]
    return seconds, f"{bound}, in {chunks} chunks"


def _affine(
    op: Op, shape, dtype: torch.dtype, backward: bool, total: float, device: Device
) -> tuple[float, str]:
    B, T, C = shape
    channels = ACCESS // op.itemsize(dtype)
    reads = accesses(op, backward)
    steps = plans().lrnn_affine_tile(reads, channels * (2 if op.complex else 1))
    problem, plan = Problem(B * -(-C // channels), T, steps, steps * reads * ACCESS), Plan()
    plans().lrnn_plan(byref(problem), byref(device.plan), byref(plan))
    chunks, threads = max(1, -(-T // plan.chunk)), plan.lanes * plan.groups
    blocks = -(-problem.lanes // plan.lanes) * chunks
    at_once = (
        resident_blocks(*_resources(op.kernel, dtype, op.complex, backward), threads)
        * device.multiprocessors
    )
    waves, active = -(-blocks // at_once), min(blocks, at_once)
    loaded = B * T * C * reads * op.itemsize(dtype)
    by_latency = loaded * LATENCY / (active * threads * steps * reads * ACCESS)
    serial = plan.chunk / plan.groups * STEP * (2 if plan.groups > 1 else 1)
    serial = waves * (
        serial + (plan.chunk / (plan.groups * steps) * MEETING if plan.groups > 1 else 0)
    )
    parts = {"memory": total / device.copy, "latency": by_latency, "steps": serial}
    bound = max(parts, key=parts.__getitem__)
    if chunks == 1:
        return LAUNCH + parts[bound], bound
    read_for_maps = map_reads(op) if backward else reads
    read = loaded * read_for_maps / reads
    first = max(
        read * LATENCY / (active * threads * steps * read_for_maps * ACCESS),
        plan.chunk / plan.groups * STEP,
    )
    enter = -(-(chunks - 1) // plan.groups) * (CACHE_LATENCY + MEETING)
    if read == loaded <= device.cached:  # nothing that the second pass reads is new
        by_latency *= CACHE_LATENCY / LATENCY
    rest = {"latency": by_latency, "steps": serial}
    return _in_chunks(total, read, first, rest, chunks, enter, device)


def _step(
    op: Op,
    shape,
    dtype: torch.dtype,
    backward: bool,
    total: float,
    may_cut: bool,
    device: Device,
) -> tuple[float, str]:
    B, T, C = shape
    kernel = op.kernel
    carry_bytes = max(dtype.itemsize, 4)
    again = backward and op.interval > 0
    problem, plan = (
        StepProblem(B, T, C, ACCESS // carry_bytes, 0, may_cut and backward and not again),
        StepPlan(),
    )
    plans().lrnn_step_plan(byref(problem), byref(device.plan), byref(plan))
    narrow, chunks = plan.channels == 1, max(1, -(-T // plan.chunk))
    direction = (
        "step_forward" if not backward else "step_backward_again" if again else "step_backward"
    )
    name = f"{direction}{'_chunks' if chunks > 1 else ''}"
    at_once = resident_blocks(
        *_row(f"{name}<{structs()[kernel.name]}, Real<{_storage(dtype)}, {plan.channels}>>"),
        plan.threads,
    )
    waves = -(-plan.blocks * chunks // (at_once * device.multiprocessors))

    # A tile's loads are on their way while the tile before is computed. Rows that were brought into
    # L2 before need not come from DRAM.
    streams = len(op.row.inputs) + (
        1 + max(1, op.saved if not again else kernel.states) if backward else 0
    )
    tile = plans().lrnn_step_tile(int(streams), plan.channels, carry_bytes)
    load = (CACHE_LATENCY if narrow else LATENCY) / tile
    step = CHAIN * (0.5 if backward and kernel.saves == "states" else 1)
    parts = {"the chain of a step": waves * plan.chunk * step, "latency": waves * plan.chunk * load}
    if again:  # and forward once more
        parts = {
            "the chain of a step": waves * T * (step + CHAIN),
            "latency": waves * T * (load + CACHE_LATENCY / (8 if narrow else 4)),
        }
    if chunks == 1:
        parts["memory"] = total / device.copy
        bound = max(parts, key=parts.__getitem__)
        return LAUNCH + parts[bound], bound
    read = B * T * C * (op.backward[0] * dtype.itemsize + op.saved * carry_bytes)
    first = waves * plan.chunk * max(load, step + CHAIN * carried(op) / 4)
    maps_at_once = 4 if carried(op) > 1 else 16
    enter = -(-(chunks - 1) // maps_at_once) * CACHE_LATENCY
    return _in_chunks(total, read, first, parts, chunks, enter, device)


def _storage(dtype: torch.dtype) -> str:
    return {2: "__nv_bfloat16, float", 4: "float, float", 8: "double, double"}[dtype.itemsize]


#: The kernels of cells with matrices by name, with the row and the options that reach them.
MATRIX_KERNELS = {
    name: (row, options)
    for row in CELLS.values()
    if row.matrices
    for name, options in row.compiled.items()
}


@functools.cache
def late_terms(name: str) -> int:
    """Blocks of a cell's matrices that multiply something else than the state: of one step, the
    gradient of a block is an outer product with what it multiplied."""
    row, options = MATRIX_KERNELS[name]
    channels = 8
    draw = Draw(torch.Generator().manual_seed(0), 1, 1, channels, False)
    streams, params = (row.draw or anything)(draw, row)
    matrices = [w.requires_grad_() for w in params if w.dim() == 2]
    states = [draw.normal((1, channels)) for _ in row.states]
    after, _ = row.step(tuple(states), *(x[:, 0] for x in streams), *params, **options)
    gradients = torch.autograd.grad(sum(x.sum() for x in after), matrices)
    blocks = torch.cat(gradients).split(channels)
    return sum(torch.linalg.matrix_rank(torch.cat([g, states[0]])) > 1 for g in blocks)


def predict_matrix(
    name: str, shape: tuple[int, int, int], device: Device = H100
) -> tuple[MatrixLayout, float]:
    """How a call of a kernel of a cell with matrices, of float32, lies over the device, and the
    seconds of a pass, either way."""
    B, T, C = shape
    terms, late = sum(_kernel(name).blocks), late_terms(name)
    problem, layout = MatrixProblem(B, C, terms, max(terms - late, late), 4), MatrixLayout()
    plans().lrnn_matrix_layout(byref(problem), byref(device.plan), byref(layout))
    width = plans().lrnn_matrix_width(c_int64(C))
    products = layout.elements * terms * width * plans().lrnn_matrix_slice(terms, width, 4)
    rounds = 2 if late else 1
    step = CHAIN + MEETING * rounds + PRODUCT * products
    if layout.blocks > 1:
        step += EXCHANGE * rounds
        return layout, LAUNCH + T * step * -(-B // (layout.groups * layout.elements))
    return layout, LAUNCH + T * step * -(-B // device.multiprocessors)


def _kernel(name: str) -> Kernel:
    """Of a cell with matrices."""
    (kernel,) = (k for k in MATRIX_KERNELS[name][0].kernels if k.name == name)
    return kernel


def _resources(
    kernel: Kernel, dtype: torch.dtype, complex: bool, backward: bool
) -> tuple[int, int]:
    """Registers and shared memory of an affine kernel, from the table."""
    storage = _storage(dtype)
    io = (
        f"ComplexValues<{storage}, {'true' if dtype.itemsize == 2 else 'false'}"
        if complex
        else f"Real<{storage}"
    )
    direction = "Backward" if backward else "Forward"
    # The latch engine's passes are those of the affine engine's kernels, with others' cells.
    latch = kernel.engine == "latch"
    struct = structs()[kernel.generic.name if latch else kernel.name]
    name = f"affine<{'Latch' if latch else ''}{direction}, {struct}, {io}"
    return _row(name)


def is_measured(op: Op) -> bool:
    """Whether the tables say what an operator's kernels take of a GPU: those of a new cell do once
    python -m benchmarks.resources has measured it."""
    names = {kernel.name for kernel in CELLS[op.cell].kernels}
    return all(cuda.digest_of(line) for line in libraries.cells() if line.name in names)


@functools.cache
def _row(name: str) -> tuple[int, int]:
    """Registers and shared memory of the kernel whose name begins so."""
    rows = [
        row
        for row in cuda.read()
        if row["kernel"].startswith(name) and row["architecture"] == ARCHITECTURE
    ]
    if not rows:
        raise LookupError(f"{cuda.TABLES.name} has no kernel {name} for {ARCHITECTURE}")
    return int(rows[0]["registers"]), int(rows[0]["shared_bytes"])
