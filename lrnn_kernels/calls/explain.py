"""``explain``: which backend and kernel a call would run, and why, without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..backends import choose, cpu, triton
from ..registry import CELLS, Cell

READS = {
    "bits": "one bit per element is saved for the backward pass",
    "y": "the backward pass reads y",
    "states": "the backward pass reads saved states",
    "nothing": "the backward pass needs no states",
}


@dataclass(frozen=True)
class Explanation:
    """What a call would run. Plan fields are None on backends that have no plan."""

    op: str
    backend: str
    reason: str
    kernel: str | None = None
    engine: str | None = None
    isa: str | None = None
    threads: int | None = None
    channels_per_task: int | None = None
    steps_per_task: int | None = None  # below T: the sequence is split in time
    past_caches: bool | None = None
    layout: str | None = None  # of a launch on a GPU
    copied: tuple[str, ...] = ()  # inputs without unit channel stride

    def __str__(self) -> str:
        lines = [f"{self.op}: backend {self.backend!r}, because {self.reason}"]
        if self.kernel:
            lines.append(f"  kernel    {self.kernel} ({self.isa}); {self.engine}")
        if self.threads:
            lines += [
                f"  forward   {self.threads} thread(s), tasks of {self.channels_per_task} channels x {self.steps_per_task} steps",
                f"  stores    {'bypass the caches' if self.past_caches else 'go through the caches'}",
            ]
        if self.layout:
            lines.append(f"  forward   {self.layout}")
        if self.copied:
            lines.append(f"  copied    {', '.join(self.copied)}: the channel stride is not 1")
        return "\n".join(lines)


def explain_call(
    kernel: str, cell: Cell, inputs: list[Tensor], params: list[Tensor], numbers: list[float], choice: choose.Choice
) -> Explanation:
    """The explanation of a checked call."""
    if choice.backend == "reference" or inputs[0].is_meta:
        return Explanation(cell.name, choice.backend, choice.reason)
    copied = tuple(name for name, x in zip(cell.inputs, inputs, strict=False) if x.shape[-1] > 1 and x.stride(-1) != 1)
    engine = _engine(cell, cell.saves(kernel), numbers)
    if choice.backend == "triton":
        version, channels, steps = triton.plan(kernel, inputs, params)
        plan = {"channels_per_task": channels, "steps_per_task": steps, "layout": f"programs of {channels} channels x {steps} steps"}
        return Explanation(cell.name, choice.backend, choice.reason, kernel, engine, f"Triton {version}", **plan, copied=copied)
    if choice.backend == "cuda":
        plan = _cuda_plan(kernel, cell, inputs, params, numbers)
        return Explanation(cell.name, choice.backend, choice.reason, kernel, engine, "CUDA", **plan, copied=copied)
    isa = cpu.extension().library.lrnn_isa().decode()
    if cell.matrices:
        return Explanation(cell.name, choice.backend, choice.reason, kernel, engine, isa, copied=copied)
    threads, block, chunk, past_caches = torch.ops.lrnn_kernels.plan(kernel, inputs, params, False, numbers)
    plan = {"threads": threads, "channels_per_task": block, "steps_per_task": chunk, "past_caches": bool(past_caches)}
    return Explanation(cell.name, choice.backend, choice.reason, kernel, engine, isa, **plan, copied=copied)


def _engine(cell: Cell, saves: str, numbers: list[float]) -> str:
    interval = int(numbers[0]) if saves == "states" and numbers else 0
    reads = f"the backward pass runs {interval} steps at a time again, from saved states" if interval else READS[saves]
    if cell.matrices:
        return f"matrix products and a fused row kernel, step by step: {reads}"
    return f"{'last write wins' if saves == 'bits' else 'step by step' if cell.sequential else 'affine scan'}: {reads}"


def _cuda_plan(kernel: str, cell: Cell, inputs: list[Tensor], params: list[Tensor], numbers: list[float]) -> dict:
    operators = getattr(torch.ops, choose.OPERATORS["cuda"])
    if cell.matrices:
        blocks, groups, elements = operators.plan(kernel, inputs, params, False, numbers)
        return {"layout": f"{groups} group(s) of {blocks} block(s) that share the channels of {elements} batch element(s) at a time"}
    lanes, groups, chunk, blocks = operators.plan(kernel, inputs, params, False, numbers)
    layout = f"{blocks} block(s) of {lanes} lanes x {groups} threads that share a lane's steps, in chunks of {chunk} steps"
    return {"steps_per_task": chunk, "layout": layout}


def explain(op: str, *args, backend: str = "auto", **kwargs) -> Explanation:
    """What ``lrnn_kernels.<op>(*args, backend=backend, **kwargs)`` would run, and why; nothing is computed.

        print(lrnn_kernels.explain("bmru", c, beta, alpha))

    Raises ValueError for an unknown op, and whatever the call itself would raise.
    """
    from .. import affine, step

    functions = {name: getattr(family, name) for family in (affine, step) for name in CELLS if hasattr(family, name)}
    function = functions.get(op)
    if function is None:
        raise ValueError(f"op must be one of {', '.join(functions)}, got {op!r}")
    return function(*args, backend=choose.Ask(backend), **kwargs)
