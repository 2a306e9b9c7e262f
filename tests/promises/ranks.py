"""Processes that share sequences: what each of them runs for tests/promises/test_distributed.py.

All cases of a number of ranks run in the same processes, one after another, and each rank writes
what it found to a file.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.conftest import FEATURES, VARIANTS

T = 41
#: Where the ranks' pieces begin and end: uneven, one without a step, one of a single step.
CUTS = {2: (0, 13, T), 3: (0, 20, 20, T), 4: (0, 1, 17, 33, T)}

AFFINE = [(cell, options) for cell, options in VARIANTS if not CELLS[cell].sequential]
#: (row, options, number of FEATURES, dtype): every cell with every kind of start, reset and
#: direction, in one type or another.
CASES = [
    (cell, options, number, CELLS[cell].dtypes[(index + number) % len(CELLS[cell].dtypes)])
    for (index, (cell, options)), number in itertools.product(
        enumerate(AFFINE), range(len(FEATURES))
    )
]


def call_of(case) -> testing.Call:
    cell, options, number, dtype = case
    h0, reset, h_reset, reverse, per_batch = FEATURES[number]
    states = {"h0": h0, "reset": reset, "h_reset": h_reset, "reverse": reverse}
    packed = number % 2 == 1 and len(CELLS[cell].inputs) > 1
    split = dtype.is_complex and number % 3 == 0 and cell == "lru"
    dtype = torch.float64 if split and dtype == torch.complex128 else dtype
    dtype = torch.float32 if split and dtype == torch.complex64 else dtype
    return testing.random_call(
        cell,
        2,
        T,
        5,
        dtype=dtype,
        options=options,
        packed=packed,
        split=split,
        per_batch=per_batch,
        seed=number,
        **states,
    )


def piece_of(call: testing.Call, rank: int, ranks: int) -> testing.Call:
    """What a rank has of a call: the gradients of the last state are shared out."""
    part = slice(CUTS[ranks][rank], CUTS[ranks][rank + 1])
    return replace(
        call,
        inputs=tuple(x[:, part] for x in call.inputs),
        dy=call.dy[:, part],
        dh_last=call.dh_last / ranks,
        reset=None if call.reset is None else call.reset[:, part],
    )


def summed(x: Tensor, group: Any) -> Tensor:
    """The sum over all ranks."""
    flat = torch.view_as_real(x).contiguous() if x.is_complex() else x.contiguous()
    dist.all_reduce(flat, group=group)
    return torch.view_as_complex(flat) if x.is_complex() else flat


def results(case, group: Any) -> dict[str, Tensor]:
    """As ``testing.run`` of the whole: gradients that the ranks add are added, y and the gradients
    of streams are of this rank's piece."""
    call = call_of(case)
    piece = piece_of(call, dist.get_rank(group), dist.get_world_size(group))
    found = testing.run(piece, "cpu", process_group=group)
    streams = ("packed",) if call.packed else call.entry.inputs
    own = {"y", "h_last", *(f"d_{name}" for name in streams)}
    return {name: x if name in own else summed(x, group) for name, x in found.items()}


def run_cases(rank: int, folder: str) -> None:
    """One of four processes, which are members of groups of two, three and four."""
    join(rank, 4, folder)
    for members in ([1, 3], [0, 2, 3], [0, 1, 2, 3]):
        group = dist.new_group(members)
        if rank in members:
            found = [results(case, group) for case in CASES]
            torch.save(found, f"{folder}/{len(members)}-{members.index(rank)}.pt")
    dist.destroy_process_group()


def join(rank: int, ranks: int, folder: str, seconds: float = 60) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=seconds),
    )


def run_faults(rank: int, folder: str) -> None:
    """One of three processes that meet what goes wrong; each writes what it was told."""
    join(rank, 3, folder)
    said = {}
    world, hasty = dist.group.WORLD, dist.new_group(timeout=timedelta(seconds=2))

    def meet(name: str, group, C: int = 5, op=lrnn_kernels.min_gru) -> None:
        try:
            op(torch.rand(2, 4, C), torch.rand(2, 4, C), process_group=group)
        except (RuntimeError, ValueError) as error:
            said[name] = f"{type(error).__name__}: {error}"

    meet("shape", world, C=6 if rank == 1 else 5)
    meet("operator", world, op=lrnn_kernels.linear_scan if rank == 1 else lrnn_kernels.min_gru)
    meet("nothing", world)
    if rank != 1:  # a rank that does not make the call
        meet("late", hasty)
    dist.barrier()
    k, v = (torch.rand(2, 4, 5, requires_grad=True) for _ in range(2))
    y, _ = lrnn_kernels.min_gru(k, v, process_group=world)
    if rank == 1:  # a rank that ends
        os._exit(0)
    try:
        y.sum().backward()
    except RuntimeError as error:
        said["ended"] = f"{type(error).__name__}: {error}"
    torch.save(said, f"{folder}/{rank}.pt")
