"""The tables of what Triton's kernels compile to, those of recurrences and of neurons: compared
with what they are now, and written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path

import triton as compiler

from lrnn_kernels.cells import KERNELS

from . import populations, triton


def check() -> int:
    """Compiles a part of the kernels and compares it with the tables; 1 on a spill or a
    difference."""
    failed = count = 0
    lacking = []
    for path, variants in (
        (triton.table_path(), triton.some),
        (populations.table_path(), populations.some),
    ):
        table = triton.known(path)
        lacking += [] if table else [path.name]
        for variant in variants():
            row, before = triton.compiled(*variant), table.get(triton.key_of(*variant))
            differs = f"DIFFERS from {before}" if table and row != before else ""
            wrong = "SPILLS" if row.scratch else differs
            print(row, wrong or "ok", flush=True)
            count, failed = count + 1, failed + bool(wrong)
    against = f"no {', '.join(lacking)}: only spills were looked for" if lacking else "by tables"
    print(f"{count} kernels, {failed} failed (triton {compiler.__version__}, {against})")
    return 1 if failed else 0


def write_tables(kernels: list[str], everything: bool = False) -> int:
    """Compiles the variants of these kernels and what their table lacks, or what both lack where
    none is named, and writes it; 1 if one spills."""
    from lrnn_kernels.triton_kernels.neurons import NEURONS

    failed = 0
    for path, variants, kinds in (
        (triton.table_path(), triton.every, KERNELS),
        (populations.table_path(), populations.every, NEURONS),
    ):
        if not kernels or set(kernels) & set(kinds):
            failed = max(failed, _write(path, variants(), kernels, everything))
    return failed


def _write(path: Path, variants: Iterator[tuple], kernels: list[str], everything: bool) -> int:
    table = {} if everything else triton.known(path)
    rows, new = [], 0
    for variant in variants:
        row = table.get(triton.key_of(*variant))
        if row is None or triton.kernel_of(variant[0]) in kernels:
            row, new = triton.compiled(*variant), new + 1
            if row.scratch:
                print(row, "SPILLS", flush=True)
        rows.append(row)
    head = [field.name for field in fields(triton.Row)]
    lines = ["\t".join(map(str, line)) for line in [head, *(astuple(row) for row in rows)]]
    path.write_text("\n".join(lines) + "\n")
    spills = sum(bool(row.scratch) for row in rows)
    print(f"{path.name}: {len(rows)} kernels, {new} compiled, {spills} spill")
    return 1 if spills else 0
