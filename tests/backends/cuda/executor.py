"""CUDA sources on the CPU: compiled for the executor in on_cpu/, with or without a
sanitizer, and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from lrnn_kernels.backends.build.cache import by_content
from lrnn_kernels.backends.build.libraries import TARGET, Library, Unit, cells, neurons
from lrnn_kernels.backends.build.toolchain import find_compiler, host_isa
from tests import ROOT

HERE = ROOT / "tests" / "backends" / "cuda" / "on_cpu"
CSRC = ROOT / "csrc"

_EXCLUDED = "pointer-overflow,null,alignment"

#: Flags per sanitizer; "" is none. What a sanitizer finds ends the program.
SANITIZERS = {
    "": ["-O2"],
    # -O1 compiles four times longer, and the excluded checks double the time: null is seen by the
    # address sanitizer as well, alignment by the executor's own accesses.
    "address": [
        "-O0",
        "-g1",
        "-fsanitize=address,undefined",
        f"-fno-sanitize={_EXCLUDED}",
        "-fno-sanitize-recover=all",
    ],
    "thread": ["-O0", "-g1", "-fsanitize=thread"],
}


#: Where sources and headers are found, by the words that commands name them with.
FOLDERS = {
    "csrc": CSRC,
    "executor": HERE,
    "include": HERE / "include",
    "torch": Path(torch.__file__).parent,
}


def kernels() -> list[Unit]:
    """The kernels of every cell, and what launches them."""
    units = [
        Unit(
            "csrc",
            "cuda/kernel.cu",
            c.flags,
            c.name,
            (f"cells/{c.header}.h", f"cuda/engines/{c.engine}_launch.cuh"),
            5,
        )
        for c in cells()
    ]
    return [
        *units,
        *(Unit("csrc", f"cuda/{part}.cpp", (), part) for part in ("kernels", "plan")),
        source("bridge.cpp"),
    ]


def populations(folder: str = "csrc", csrc: Path = CSRC) -> list[Unit]:
    """The kernels of every neuron, and what launches them; from a copy of csrc/, too. Products fuse
    into sums wherever they may, as nvcc lets them."""
    fuses = ("-ffp-contract=fast", *(("-mfma",) if host_isa() != "baseline" else ()))
    flags = (*fuses, "-include", "include/estimates.h")
    estimates = str(HERE / "include" / "estimates.h")
    return [
        *(
            Unit(
                folder,
                "cuda/population.cu",
                (*flags, *neuron.flags),
                neuron.name,
                (f"neurons/{neuron.name}.h", estimates),
                3,
            )
            for neuron in neurons(csrc)
        ),
        Unit(folder, "cuda/populations.cpp", (), "populations"),
    ]


def operators() -> list[Unit]:
    """Kernels, with torch's operators in front of them."""
    flags = (TARGET, "-isystem", "torch/include")
    units = [
        Unit("csrc", name, flags, name)
        for name in (
            "torch/cuda.cpp",
            "torch/cuda_matrix.cpp",
            "torch/cuda_population.cpp",
            "cells/index.cpp",
        )
    ]
    return [*kernels(), *populations(), *units, Unit("executor", "device.cpp", flags, "device")]


def source(name: str, *flags: str) -> Unit:
    """One of the executor's own."""
    return Unit("executor", name, flags, name)


def compile_library(
    units: list[Unit],
    sanitizer: str = "",
    link: tuple[str, ...] = (),
    folders: dict[str, Path] | None = None,
    include: tuple[str, ...] = (),
) -> Path:
    """Compiles units and the executor into a shared library: once per content, object by object.

    The executor itself is never instrumented: it moves between stacks, and tells ThreadSanitizer so
    by hand.
    """
    common = (
        "-std=c++20",
        "-fPIC",
        "-Wall",
        "-Werror",
        "-Wno-psabi",
        "-Wno-unknown-pragmas",
        "-Wno-tsan",
        "-DLRNN_ISA=gpu",
    )
    common += ("-Iinclude", *(f"-I{name}" for name in include))
    sanitize = tuple(SANITIZERS[sanitizer])
    whole = [replace(unit, flags=(*common, *sanitize, *unit.flags, "-x", "c++")) for unit in units]
    whole.append(replace(source("executor.cpp"), flags=(*common, "-O2")))
    libraries = (*link, "-lpthread", *(sanitize if sanitizer else ()))
    library = Library(
        "executor",
        find_compiler(),
        tuple(whole),
        libraries,
        {**FOLDERS, **(folders or {})},
        ("include", *include),
    )
    return by_content(library)


def compile_operators() -> Path:
    """The kernels, and the operators for CPU tensors on the executor,
    torch.ops.lrnn_on_executor."""
    return compile_library(operators(), link=("-Ltorch/lib", "-ltorch_cpu", "-lc10"))


class Executor:
    """A compiled library; how many blocks it runs at a time, and in which order the threads of a
    block."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.cuda_on_cpu_message.restype = ctypes.c_char_p
        self.configure(resident=4, seed=0)

    def configure(self, *, resident: int, seed: int) -> None:
        self.library.cuda_on_cpu_configure(resident, seed)

    @property
    def message(self) -> str:
        """Why the last launch failed."""
        return self.library.cuda_on_cpu_message().decode()


def sanitized(sanitizer: str, script: str, library: Path) -> subprocess.CompletedProcess:
    """Runs a Python script, given the path of a library compiled with a sanitizer, whose own
    must be loaded before all others."""
    name = {"address": "libasan.so", "thread": "libtsan.so"}[sanitizer]
    found = subprocess.run(
        [*find_compiler().command, f"-print-file-name={name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0",
    }
    # The sanitizer's map of the address space does not know every random layout of newer kernels.
    fixed = ["setarch", platform.machine(), "--addr-no-randomize"]
    return subprocess.run(
        [*fixed, sys.executable, "-c", script, str(library)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
