"""``explain``: which backend and kernel a call would run, and why, without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import dispatch, extension
from .registry import CELLS, Cell

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
        if self.copied:
            lines.append(f"  copied    {', '.join(self.copied)}: the channel stride is not 1")
        return "\n".join(lines)


def explain_call(
    kernel: str, cell: Cell, inputs: list[Tensor], params: list[Tensor], numbers: list[float], choice: dispatch.Choice
) -> Explanation:
    """The explanation of a checked call."""
    if choice.backend != "cpu" or inputs[0].is_meta:
        return Explanation(cell.name, choice.backend, choice.reason)
    isa = extension.extension.library.lrnn_isa().decode()
    saves = cell.saves(kernel)
    copied = tuple(name for name, x in zip(cell.inputs, inputs, strict=False) if x.shape[-1] > 1 and x.stride(-1) != 1)
    if cell.matrices:
        engine = "a matrix product and a fused row kernel per step, the batch shared out over threads"
        return Explanation(cell.name, choice.backend, choice.reason, kernel, f"{engine}: {READS[saves]}", isa, copied=copied)
    threads, block, chunk, past_caches = torch.ops.lrnn_kernels.plan(kernel, inputs, params, False, numbers)
    interval = int(numbers[0]) if saves == "states" else 0
    reads = f"the backward pass runs {interval} steps at a time again, from saved states" if interval else READS[saves]
    engine = "last write wins" if saves == "bits" else "step by step" if cell.sequential else "affine scan"
    return Explanation(
        cell.name,
        choice.backend,
        choice.reason,
        kernel,
        f"{engine}: {reads}",
        isa,
        threads,
        block,
        chunk,
        bool(past_caches),
        copied,
    )


def explain(op: str, *args, backend: str = "auto", **kwargs) -> Explanation:
    """What ``lrnn_kernels.<op>(*args, backend=backend, **kwargs)`` would run, and why; nothing is computed.

        print(lrnn_kernels.explain("bmru", c, beta, alpha))

    Raises ValueError for an unknown op, and whatever the call itself would raise.
    """
    from . import affine, step

    functions = {name: getattr(family, name) for family in (affine, step) for name in CELLS if hasattr(family, name)}
    function = functions.get(op)
    if function is None:
        raise ValueError(f"op must be one of {', '.join(functions)}, got {op!r}")
    return function(*args, backend=dispatch.Ask(backend), **kwargs)
