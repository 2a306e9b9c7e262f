"""What a call would run, and why, without running it."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass

from ..backends.choose import BACKENDS
from ..cell import Cell, Kernel
from ..options import boolean
from . import arguments, distributed
from .run import Call, prepare, strided

READS = {
    "bits": "one bit per element is saved for the backward pass",
    "y": "the backward pass reads y",
    "states": "the backward pass reads saved states",
    "nothing": "the backward pass needs no states",
}

ENGINES = {
    "affine": "affine scan",
    "latch": "last write wins",
    "step": "step by step",
    "matrix": "matrix products and a fused row kernel, step by step",
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
                f"  forward   {self.threads} thread(s), tasks of {self.channels_per_task} "
                f"channels x {self.steps_per_task} steps",
                "  stores    "
                f"{'bypass the caches' if self.past_caches else 'go through the caches'}",
            ]
        if self.layout:
            lines.append(f"  forward   {self.layout}")
        if self.copied:
            lines.append(f"  copied    {', '.join(self.copied)}: the channel stride is not 1")
        return "\n".join(lines)


def explain_call(row: Cell, *args, **kwargs) -> Explanation:
    """What a row's public function would run with these arguments."""
    try:
        bound = inspect.signature(row.function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{row.function.__name__}: {error}") from None
    bound.apply_defaults()
    return describe(*_prepared(row, bound.arguments))


def _prepared(row: Cell, given: dict) -> tuple[Cell, Call]:
    """The row, which shapes may decide, and the checked call that a public function would run."""
    names = ("reset", "reverse", "process_group", "backend")
    reset, reverse, group, backend = (given.pop(name) for name in names)
    boolean("reverse", reverse)
    if group is not None:
        distributed.check(row, group, backend)
    several, first = len(row.states) > 1, given.get(row.inputs[0])
    arguments.refuse(row.function.__name__, row, given.pop("unknown", {}))
    h0, h_reset = given.pop("state" if several else "h0"), given.pop("h_reset")
    if row.arguments is not None:
        row, inputs, params, options = row.arguments(**given)
    else:
        inputs, params = ([given.pop(name) for name in names] for names in (row.inputs, row.params))
        options = row.check(**given)
    if several:
        h0 = arguments.joined("state", h0, first, row, shared=False)
        h_reset = arguments.joined("h_reset", h_reset, first, row, shared=True)
    strided(row, inputs, params, h0, reset, h_reset)
    return row, prepare(row, inputs, params, options, h0, reset, h_reset, backend)


def describe(row: Cell, call: Call) -> Explanation:
    """The explanation of a checked call."""
    kernel, choice, _, inputs, params, options, _, _ = call
    if choice.backend == "reference" or inputs[0].is_meta:
        return Explanation(row.name, choice.backend, choice.reason)
    numbers = row.numbers(options)
    copied = tuple(
        name
        for name, x in zip(row.inputs, inputs, strict=False)
        if x.shape[-1] > 1 and x.stride(-1) != 1
    )
    plan = BACKENDS[choice.backend].plan(kernel, inputs, params, numbers)
    engine = f"{ENGINES[kernel.engine]}: {_reads(kernel, numbers)}"
    return Explanation(
        row.name, choice.backend, choice.reason, kernel.name, engine, **asdict(plan), copied=copied
    )


def _reads(kernel: Kernel, numbers: list[float]) -> str:
    if kernel.checkpoints and numbers[0]:
        return f"the backward pass runs {int(numbers[0])} steps at a time again, from saved states"
    return READS[kernel.saves]
