"""What the Triton kernels compile to on GPUs that need not be there: registers, spills, shared
memory, width of memory accesses.

Written into results/triton-VERSION.tsv. The launches are those of a real call, described from
tensors on the CPU, so that what is compiled here is what a GPU would run, but for the alignment of
sizes that a caller chooses (here all are multiples of 16).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS as ROWS
from lrnn_kernels.cells import KERNELS

RESULTS = Path(__file__).parents[1] / "results"
TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
#: One row and options for each kernel, and for each that is compiled for options, "KERNEL, WHAT".
#: The Triton kernels have no matrix products.
CELLS: dict[str, tuple[str, Mapping[str, Any]]] = {
    name: (row.name, options)
    for row in reversed(ROWS.values())  # of rows that share a kernel the first stays
    if not row.matrices
    for name, options in row.compiled.items()
}

#: The cell of kernels that are the same for all cells.
ANY = "any"
#: Kernels with complex numbers.
COMPLEX = tuple(
    dict.fromkeys(
        row.kernels[0].name for row in ROWS.values() if any(d.is_complex for d in row.dtypes)
    )
)
#: Those that take them in two planes, with a row that does.
SPLIT = {row.kernels[0].name: row.name for row in ROWS.values() if row.dtypes[0].is_complex}
#: Storage: cells (None: all), dtype, split storage, with states and resets or without.
STORAGE = {
    "float32, no states": (None, torch.float32, False, False),
    "float32": (None, torch.float32, False, True),
    "float64": (None, torch.float64, False, True),
    "bfloat16": (None, torch.bfloat16, False, True),
    "float16": (None, torch.float16, False, True),
    "complex64, no states": (COMPLEX, torch.complex64, False, False),
    "complex64": (COMPLEX, torch.complex64, False, True),
    "complex128": (COMPLEX, torch.complex128, False, True),
    "float32 split": (tuple(SPLIT), torch.float32, True, True),
    "bfloat16 split": (tuple(SPLIT), torch.bfloat16, True, True),
}


def kernel_of(cell: str) -> str:
    """The kernel of a variant, "src" of "src, checkpoints"."""
    return cell.split(",")[0]


def is_alike(cell: str) -> bool:
    """Whether a cell's kernels differ from another's by a few operations: they are compiled in
    float32 only, for no type makes a difference between them."""
    return kernel_of(cell) != cell


@dataclass(frozen=True)
class Row:
    """One kernel as compiled for one target."""

    cell: str
    storage: str
    kernel: str
    target: str
    registers: int  # vector registers of a thread
    scratch: int  # bytes of a thread's registers that spill to memory
    scalar_spills: int  # scalar registers kept in vector registers (AMD)
    shared: int  # bytes of a program
    load: int  # bytes of the widest load of a thread
    store: int

    @property
    def key(self) -> tuple[str, ...]:
        return self.cell, self.storage, self.kernel, self.target


class Driver:
    """Stands for a GPU that is not there: enough of one to compile for."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> str:
        return str(self.target)  # compiled kernels are kept by device

    def get_current_stream(self, device) -> int:
        return 0


def launches(cell: str, storage: str) -> Iterator:
    """Every launch of a variant."""
    _, dtype, split, states = STORAGE[storage]
    name, options = CELLS[cell]
    name = SPLIT[cell] if split else name
    kernel = ROWS[name].kernel
    reset = states and kernel(options, True) is kernel(options, False)  # the latch has none
    call = testing.random_call(
        name,
        2,
        128,
        256,
        dtype=dtype,
        options=options,
        split=split,
        h0=states,
        reset=reset,
        reverse=states,
    )
    yield from launches_of(call)


def launches_of(call: testing.Call) -> Iterator:
    """Every launch of a call, which is cut in time where its engine can, forward and backward."""
    from lrnn_kernels.triton_kernels.launch import make_call

    numbers = call.entry.numbers(call.options)
    arguments = (
        list(call.inputs),
        list(call.params),
        numbers,
        call.h0,
        call.reset,
        call.h_reset,
        call.reverse,
    )
    described = make_call(call.kernel.name, *arguments, processors=0, chunks=4)
    (y, _, saved), forward = described.forward(True)
    yield from forward
    backward = described.backward(saved if saved.numel() else y, call.dy, call.dh_last).launches
    yield from (one for one in backward if one.kernel.fn.__name__ != "carries")


def key_of(cell: str, storage: str, one, target: str) -> tuple[str, ...]:
    """The key of a launch's row."""
    name = one.kernel.fn.__name__
    return ANY if name == "carries" else cell, storage, name, target


def compiled(cell: str, storage: str, one, target: str) -> Row:
    """Compiles a launch for a target."""
    return Row(*key_of(cell, storage, one, target), *usage(one, TARGETS[target]))


def usage(one, target: GPUTarget) -> tuple[int, ...]:
    """What a launch, compiled for a target, takes: the numbers of a Row."""
    triton.runtime.driver.set_active(Driver(target))
    nvidia = target.backend == "cuda"
    constants = {name: x for name, x in one.constants.items() if nvidia or name != "maxnreg"}
    return (_nvidia if nvidia else _amd)(one.kernel.warmup(*one.args, grid=one.grid, **constants))


def _nvidia(binary) -> tuple[int, ...]:
    import triton.backends.nvidia

    cuobjdump = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        text = subprocess.run(
            [cuobjdump, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    registers, stack, local = map(
        int, re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", text).groups()
    )

    def widest(what: str) -> int:
        found = re.findall(rf"\b{what}\.global\S*?(?:\.v(\d))?\.b(\d+)", binary.asm["ptx"])
        return max(int(count or 1) * int(bits) // 8 for count, bits in found)

    return registers, stack + local, 0, binary.metadata.shared, widest("ld"), widest("st")


def _amd(binary) -> tuple[int, ...]:
    text = binary.asm["amdgcn"]

    def number(name: str) -> int:
        return int(re.search(rf"\.{name}:\s*(\d+)", text).group(1))

    def widest(what: str) -> int:
        found = re.findall(
            rf"\b(?:global|buffer|flat)_{what}_(?:dword(?:x(\d))?|b(\d+)|ubyte|short|ushort)", text
        )
        return max((int(bits) // 8 if bits else 4 * int(count or 1)) for count, bits in found)

    spilled = number("private_segment_fixed_size")
    return (
        number("vgpr_count"),
        spilled,
        number("sgpr_spill_count"),
        binary.metadata.shared,
        widest("load"),
        widest("store"),
    )


def every() -> Iterator[tuple]:
    """All (cell, storage, launch, target)."""
    along = set()
    for storage, (cells, _, _, _) in STORAGE.items():
        for cell in cells or (
            CELLS if storage == "float32" else [cell for cell in CELLS if not is_alike(cell)]
        ):
            for one in launches(cell, storage):
                if one.kernel.fn.__name__ == "carries":
                    if storage in along:
                        continue
                    along.add(storage)
                for target in TARGETS:
                    yield cell, storage, one, target


def some() -> Iterator[tuple]:
    """A part that compiles in seconds: the largest kernel of every cell, from checkpoints too, and
    every kernel of the first cell of each engine."""
    firsts = {KERNELS[kernel_of(cell)].engine: cell for cell in reversed(CELLS)}.values()
    for cell in (cell for cell in CELLS if not is_alike(cell) or _again(cell)):
        for one in launches(cell, "float32"):
            if cell in firsts or one.kernel.fn.__name__ == "backward":
                yield cell, "float32", one, "sm_90"
            if one.kernel.fn.__name__ == "backward":
                yield cell, "float32", one, "gfx942"
    cell = COMPLEX[-1]
    for one in launches(cell, "complex64"):
        yield cell, "complex64", one, "sm_90"


def _again(cell: str) -> bool:
    """Whether a variant is one that saves the states before some steps only."""
    name, options = CELLS[cell]
    row = ROWS[name]
    return KERNELS[kernel_of(cell)].checkpoints and row.numbers(options)[0] > 0


def table_path() -> Path:
    return RESULTS / f"triton-{triton.__version__}.tsv"


def read_table(path: Path) -> dict[tuple[str, ...], Row]:
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    rows = [Row(*line[:4], *map(int, line[4:])) for line in lines]
    return {row.key: row for row in rows}


def known(path: Path) -> dict[tuple[str, ...], Row]:
    """The rows that a table holds; none where this version of Triton has no table."""
    return read_table(path) if path.exists() else {}
