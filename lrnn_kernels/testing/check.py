"""Checks every operator on every backend of this machine against the float64 reference: ``python -m
lrnn_kernels check``.

A user runs it to know that kernels compiled on their machine are right; benchmarks run it before
they report a speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from .. import testing
from ..backends import triton
from ..cells import CELLS
from . import Call, Error

#: Shapes of a check: every lane tail and two words of saved bits; whole registers; several pieces
#: in time, on three threads; two channel blocks.
_TAILS = {"B": 2, "T": 35, "C": 39}
_WHOLE = {"B": 3, "T": 33, "C": 32}
_SPLIT = {"B": 1, "T": 385, "C": 512}
_BLOCKS = {"B": 1, "T": 3, "C": 1030}
#: Steps enough for a GPU to cut the backward pass of a cell that is sequential forward.
_LONG = {"B": 1, "T": 1100, "C": 3}


@dataclass(frozen=True)
class Row:
    """The worst errors of one kernel on one backend in one dtype, and the call that made them."""

    op: str
    kernel: str
    backend: str
    dtype: torch.dtype
    value: Error
    gradient: Error
    #: Whether the forward pass equals the sequential loop bit for bit; None where that is not
    #: promised.
    bits: bool | None
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.value.ok and self.gradient.ok and self.bits is not False


@dataclass(frozen=True)
class Report:
    """All rows, and the backends that this machine cannot run, with the reason."""

    rows: list[Row]
    missing: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def __str__(self) -> str:
        return table(self)


def run_check(
    *,
    backends: list[str] | None = None,
    cells: list[str] | None = None,
    progress: Callable[[Row], None] | None = None,
) -> Report:
    """Compares values and all gradients of every cell, option, layout and dtype with the float64
    reference.

    Args:
        backends: those to check; by default every one that runs here. A named one that cannot run
            raises RuntimeError.
        cells: names of ``cells.CELLS``; all by default. Others raise ValueError.
        progress: called with each row as it is ready.
    """
    if unknown := set(cells or ()) - set(CELLS):
        raise ValueError(
            f"cells must be among {', '.join(CELLS)}, got {', '.join(sorted(unknown))}"
        )
    known = testing.backends()
    for name in backends or []:
        if known.get(name, "no such backend"):
            raise RuntimeError(
                f"backend {name!r} cannot be checked: {known.get(name, 'no such backend')}"
            )
    wanted = backends or [name for name, missing in known.items() if not missing]
    rows, unserved = [], {}
    for cell in cells or CELLS:
        # One reference serves every backend.
        cases = [*calls(cell), *(long_calls(cell) if set(wanted) - {"cpu"} else ())]
        checked = [(call, testing.run(call.double(), "reference")) for call in cases]
        for backend in wanted:
            served = [
                (call, expected)
                for call, expected in checked
                if testing.serves(backend, call.kernel, call.channels)
            ]
            if len(served) < len(checked):
                unserved[f"{backend}, {cell}"] = (
                    "this backend has no kernel for it, or none so wide"
                )
            for row in rows_of(cell, backend, served):
                rows.append(row)
                if progress is not None:
                    progress(row)
    return Report(
        rows, {name: why for name, why in known.items() if why and not backends} | unserved
    )


def calls(cell: str) -> Iterator[Call]:
    """The calls that reach every kernel of a cell, and its loops' every tail."""
    entry = CELLS[cell]
    for number, dtype in enumerate(entry.dtypes):
        for options in testing.variants(cell):
            common: dict[str, Any] = {"dtype": dtype, "options": options, "seed": number}
            yield testing.random_call(cell, **_TAILS, **common)
            yield testing.random_call(
                cell,
                **_TAILS,
                **common,
                reverse=True,
                reset=True,
                h_reset="per_batch",
                per_batch=True,
                packed=len(entry.inputs) > 1,
            )
            if dtype in (torch.float32, torch.complex64):
                yield testing.random_call(cell, **_WHOLE, **common, h0=False, reset=True)
                yield testing.random_call(cell, **_SPLIT, **common, reverse=True)
                yield testing.random_call(cell, **_BLOCKS, **common)
    if entry.dtypes[0].is_complex:  # complex values stored as two real halves
        for dtype in (torch.float32, torch.float64):
            yield testing.random_call(cell, **_TAILS, dtype=dtype, split=True)
            yield testing.random_call(
                cell, **_WHOLE, dtype=dtype, split=True, reset=True, reverse=True
            )


def long_calls(cell: str) -> Iterator[Call]:
    """A call of each step kernel of a cell whose backward pass a GPU cuts in time: the CPU has no
    such pass, and the reference takes long."""
    kernels = set()
    for options in testing.variants(cell):
        call = testing.random_call(cell, **_LONG, options=options, reset=True)
        if call.kernel.engine == "step" and call.kernel.name not in kernels:
            kernels.add(call.kernel.name)
            yield call


def rows_of(cell: str, backend: str, checked: list[tuple[Call, dict]]) -> Iterator[Row]:
    """Runs calls of a cell on a backend, each of which has its float64 result beside it: one row
    per kernel and dtype, in the order of first appearance."""
    groups: dict[tuple, list[tuple[Call, dict]]] = {}
    for call, expected in checked:
        groups.setdefault((call.kernel.name, call.dtype), []).append((call, expected))
    for (kernel, dtype), group in groups.items():
        values, gradients, bits, note = [], [], [], ""
        for call, expected in group:
            try:
                with testing.threads(max(3, torch.get_num_threads())):  # two would not split time
                    got = testing.run(call.to(testing.device_of(backend)), backend)
            except Exception as error:
                note = f"{type(error).__name__}: {error}".split("\n")[0]
                failed = Error("y", float("inf"), testing.tolerance("y", call), False)
                values, gradients = (
                    [*values, failed],
                    [*gradients, replace(failed, is_gradient=True)],
                )
                continue
            errors = testing.compare(call, got, expected)
            if backend == "triton" and triton.interpreted() and call.dtype == torch.bfloat16:
                # Triton's interpreter truncates where hardware rounds.
                errors = [replace(error, allowed=2 * error.allowed) for error in errors]
            values += [error for error in errors if not error.is_gradient]
            gradients += [error for error in errors if error.is_gradient]
            if exact(call):
                loop = testing.run(call, "reference", gradients=False)
                bits.append(all(testing.bits_equal(got[name].cpu(), x) for name, x in loop.items()))
        value, gradient = testing.worst(values), testing.worst(gradients)
        yield Row(cell, kernel, backend, dtype, value, gradient, all(bits) if bits else None, note)


def exact(call: Call) -> bool:
    """Whether the forward pass is promised to equal the sequential loop of its own dtype bit for
    bit."""
    return call.entry.exact(call.options, call.dy[0].numel() < _SPLIT["T"] * _SPLIT["C"])


_HEAD = (
    "op",
    "kernel",
    "backend",
    "dtype",
    "value error",
    "allowed",
    "gradient error",
    "allowed",
    "bits",
    "",
)


def cells_of(row: Row) -> tuple[str, ...]:
    """What a table says of a row."""
    bits = {None: "-", True: "equal", False: "DIFFER"}[row.bits]
    dtype = str(row.dtype).removeprefix("torch.")
    value, gradient = (f"{e.error:.1e} {e.name}" for e in (row.value, row.gradient))
    allowed = (f"{e.allowed:.1e}" for e in (row.value, row.gradient))
    verdict = "ok" if row.ok else f"FAIL {row.note}".rstrip()
    return (
        row.op,
        row.kernel,
        row.backend,
        dtype,
        value,
        next(allowed),
        gradient,
        next(allowed),
        bits,
        verdict,
    )


def table(report: Report) -> str:
    """The report as aligned text."""
    lines = [_HEAD, *map(cells_of, report.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text += [f"not checked: {name}: {why}" for name, why in report.missing.items()]
    failed = sum(not row.ok for row in report.rows)
    text.append(
        f"{len(report.rows)} checked, {failed} failed"
        if report.rows
        else "nothing was checked: no backend but the reference runs here; see above why"
    )
    return "\n".join(text)
