"""How many instructions every CPU kernel runs for an element.

Unlike a time, a count depends on nothing but the code: neither on the load of a machine, nor on its
threads, its caches or its frequency. cpu.cpp runs the kernels of lines of csrc/cells/list.h and
csrc/neurons/list.h, as they are shipped for an instruction set, and the processor counts. A kernel
is run over few steps and over more; the difference, by its elements, is written to
results/cpu_instructions/LINE.csv: what begins and ends a task drops out.

A count is not a time: a division takes as long as ten additions, and loads from memory longer. But
what becomes slower without memory mostly runs more instructions, and this shows it.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import dataclasses
import functools
import itertools
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from lrnn_kernels.backends.build import libraries, toolchain
from lrnn_kernels.backends.build.cache import by_content
from lrnn_kernels.backends.build.libraries import Unit

HERE = Path(__file__).resolve().parent
TABLES = HERE.parent / "results" / "cpu_instructions"

#: The instruction sets that tables are of: of all processors since 2015 or so, and the widest.
ISAS = ("avx2", "avx512_bf16")

#: csrc/args.h, in its order; the types that are counted. Those left out run the code of these with
#: other loads and stores (float16), or with half the lanes (float64).
STORAGES = (
    "float32",
    "float64",
    "bfloat16",
    "float16",
    "complex64",
    "complex128",
    "float32_split",
    "float64_split",
    "bfloat16_split",
    "float16_split",
)
COUNTED = ("float32", "bfloat16", "complex64", "float32_split", "bfloat16_split")

#: cpu.cpp, in its order.
PASSES = (
    "forward",
    "inference",
    "backward",
    "backward_again",
    "summarize_forward",
    "summarize_backward",
    "driven_forward",
    "driven_backward",
)

#: Steps of the two runs, and channels of a row: one whose loops unroll, and one that takes them as
#: they are. As few as there may be, for the processor takes microseconds to count one instruction:
#: a whole word of saved bits, two intervals between saved states.
STEPS = (1, 33)
CHANNELS = (16, 64)
#: Of a matrix cell.
MATRIX_STEPS, MATRIX_BATCH, MATRIX_CHANNELS = (1, 3), 8, (32,)
#: Of a neuron.
NEURON_STEPS = (4, 20)

COLUMNS = ("isa", "pass", "storage", "channels", "instructions")

#: How far a count may be from the table's, as a factor. The same compiler makes the same code of
#: the same source, so a count is exact: one instruction more for each register of a row is 4 % of
#: the shortest loop, a few more for each row are less than this. Of fewer, too, the table is to
#: know: else they could come back unseen.
TOLERANCE = 1.03
#: Another compiler orders and unrolls in its own way. Code that it does not keep in registers, or
#: not in wide ones, runs twice as many instructions and more. Of fewer nothing is said.
OF_ANOTHER_COMPILER = 1.5

#: A line of one of the lists.
Line = libraries.Cell | libraries.Neuron


@dataclasses.dataclass
class Table:
    """Counts of one line, and by instruction set the compiler of what was counted."""

    compilers: dict[str, str] = dataclasses.field(default_factory=dict)
    rows: list[dict[str, str]] = dataclasses.field(default_factory=list)


def lines() -> list[Line]:
    """All that are compiled: recurrences, then neurons."""
    return [*libraries.cells(), *libraries.neurons()]


def missing() -> str | None:
    """Why nothing can be counted here, or None."""
    if platform.machine() not in ("x86_64", "AMD64") or not sys.platform.startswith("linux"):
        return "this machine has no x86-64 processor with Linux, which counting takes"
    if toolchain.find_compiler() is None:
        return "there is no C++ compiler"
    return None if runnable() else f"this machine's processor runs none of {', '.join(ISAS)}"


def runnable() -> list[str]:
    """Those of ISAS that this processor runs, worst first."""
    known = list(toolchain.X86_ISAS)
    return [isa for isa in ISAS if known.index(isa) <= known.index(toolchain.host_isa())]


def compiler() -> str:
    """Which compiler this is, whatever name it was called by."""
    first = toolchain.find_compiler().version.split("\n", 1)[0]
    return re.sub(r"^\S*(?:c|g)\+\+\S*(?= \()", "GCC", first)


@functools.cache
def library(isa: str) -> ctypes.CDLL:
    """The operators' library for one instruction set without torch's part, and cpu.cpp. Its objects
    are those of the operators, which are compiled anyway."""
    whole = libraries.operators([isa], toolchain.find_compiler(), Path(torch.__file__).parent)
    units = tuple(unit for unit in whole.units if not unit.source.startswith("torch/"))
    ours = Unit("resources", "cpu.cpp", ("-std=c++20", "-O1", "-fPIC"), "counting")
    counting = dataclasses.replace(
        whole,
        name=f"instructions-{isa}",
        units=(*units, ours),
        link=("-Wl,-Bsymbolic", "-lpthread"),  # not the operators' own kernels in this process
        folders={**whole.folders, "resources": HERE},
    )
    loaded = ctypes.CDLL(str(by_content(counting)))
    loaded.lrnn_isa.restype = ctypes.c_char_p
    for function in ("cell", "neuron", "loop"):
        getattr(loaded, f"lrnn_{function}_instructions").restype = ctypes.c_int64
    with _environment(LRNN_ISA=isa):  # which the library reads once
        assert loaded.lrnn_isa() == isa.encode(), loaded.lrnn_isa()
    return loaded


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(line: Line, isa: str) -> list[dict[str, str]]:
    """The rows of one line's kernels for one instruction set."""
    if isinstance(line, libraries.Cell):
        return _measure_cell(line, isa)
    return _measure_neuron(line, isa)


def _measure_cell(line: libraries.Cell, isa: str) -> list[dict[str, str]]:
    matrix = line.engine == "matrix"
    batch, steps = (MATRIX_BATCH, MATRIX_STEPS) if matrix else (1, STEPS)
    rows = []
    for way, storage in itertools.product(PASSES, COUNTED):
        for channels in MATRIX_CHANNELS if matrix else CHANNELS:
            sizes = [(batch, T, channels) for T in steps]
            counts = [_count_cell(isa, line.name, storage, way, size) for size in sizes]
            if None not in counts:
                elements = batch * (steps[1] - steps[0]) * channels
                rows.append(_row(isa, way, storage, channels, counts, elements))
    return rows


def _count_cell(
    isa: str, cell: str, storage: str, way: str, size: tuple[int, int, int]
) -> int | None:
    """Instructions of a pass over (B, T, C); None where there is no such pass."""
    numbers = (STORAGES.index(storage), PASSES.index(way), *map(ctypes.c_int64, size))
    count = library(isa).lrnn_cell_instructions(cell.encode(), *numbers)
    return count if count >= 0 else None


def _measure_neuron(line: libraries.Neuron, isa: str) -> list[dict[str, str]]:
    rows = []
    for storage, written in (("float32", False), ("float64", False), ("float64", True)):
        neurons = ctypes.c_int64()
        words = (line.name.encode(), storage == "float64", written)
        counts = [
            library(isa).lrnn_neuron_instructions(
                *words, ctypes.c_int64(steps), ctypes.byref(neurons)
            )
            for steps in NEURON_STEPS
        ]
        elements = neurons.value * (NEURON_STEPS[1] - NEURON_STEPS[0])
        way = "as_written" if written else "standard"
        rows.append(_row(isa, way, storage, neurons.value, counts, elements))
    return rows


def _row(
    isa: str, way: str, storage: str, channels: int, counts: list[int], elements: int
) -> dict[str, str]:
    return {
        "isa": isa,
        "pass": way,
        "storage": storage,
        "channels": str(channels),
        "instructions": f"{(counts[1] - counts[0]) / elements:.3f}",
    }


def table_of(line: Line) -> Path:
    return TABLES / f"{line.name}.csv"


def read(line: Line) -> Table:
    """A line's checked-in table, empty if it has not been measured."""
    table = Table()
    if table_of(line).exists():
        text = table_of(line).read_text().splitlines()
        table.compilers = dict(words[2:].split(": ", 1) for words in text if words.startswith("#"))
        table.rows = list(csv.DictReader(words for words in text if not words.startswith("#")))
    return table


def write(line: Line, table: Table) -> None:
    TABLES.mkdir(parents=True, exist_ok=True)
    with table_of(line).open("w", newline="") as file:
        file.writelines(f"# {isa}: {table.compilers[isa]}\n" for isa in sorted(table.compilers))
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(table.rows, key=lambda row: ISAS.index(row["isa"])))


def differences(line: Line, isa: str, found: list[dict[str, str]]) -> list[str]:
    """Where what was counted is not what a line's table says, a sentence each."""
    table = read(line)
    if isa not in table.compilers:
        return [f"{line.name} {isa}: not measured yet"]
    before = {_name(row): row["instructions"] for row in table.rows if row["isa"] == isa}
    now = {_name(row): row["instructions"] for row in found}
    same = table.compilers[isa] == compiler()
    most = TOLERANCE if same else OF_ANOTHER_COMPILER
    least = 1 / TOLERANCE if same else 0
    told = []
    for name in before.keys() | now.keys():
        if name not in before or name not in now:
            told.append((name, f"only in the {'table' if name in before else 'code'}"))
            continue
        was, count = float(before[name]), float(now[name])
        if not least <= count / was <= most:
            told.append((name, f"{before[name]} before, {now[name]} now, {count / was - 1:+.0%}"))
    whose = "" if same else f" (before: {table.compilers[isa]})"
    return [f"{line.name} {isa} {name}: {text}{whose}" for name, text in sorted(told)]


def _name(row: dict[str, str]) -> str:
    return f"{row['pass']} {row['storage']} C={row['channels']}"


def check(names: list[str]) -> int:
    """Counts anew and compares with the tables; 1 where they differ."""
    told = []
    for line in lines():
        if line.name in names:
            for isa in runnable():
                told += differences(line, isa, measure(line, isa))
    print("\n".join(told) or "all counts are those of the tables")
    return 1 if told else 0


def write_tables(names: list[str]) -> int:
    """Counts anew and keeps it. Instruction sets that this processor lacks keep what they had."""
    for line in lines():
        if line.name not in names:
            continue
        table, told = read(line), []
        for isa in runnable():
            found = measure(line, isa)
            told += differences(line, isa, found)
            table.rows = [row for row in table.rows if row["isa"] != isa] + found
            table.compilers[isa] = compiler()
        write(line, table)
        print("\n".join([line.name, *(f"  {text}" for text in told)]), flush=True)
    for path in set(TABLES.glob("*.csv")) - {table_of(line) for line in lines()}:
        path.unlink()  # of a line that is no more
    if lacking := sorted(set(ISAS) - set(runnable())):
        print(f"not measured, since this processor does not run it: {', '.join(lacking)}")
    return 0
