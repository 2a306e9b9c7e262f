"""Compilers, and the instruction sets and GPUs that they compile for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import environment

#: Instruction sets a kernel is compiled for on x86-64, in the order of csrc/isa.h, worst first:
#: name -> compiler flags.
X86_ISAS = {
    "baseline": ["-march=x86-64"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "avx512_bf16": ["-march=x86-64-v4", "-mavx512bf16", "-mprefer-vector-width=512"],
}

#: GPUs that machine code is made for: A100, H100 and H200, B200. Others run the last one's PTX if
#: they are newer.
CUDA_ARCHITECTURES = ["80", "90", "100"]


@dataclass(frozen=True)
class Compiler:
    """A compiler: the words that its command line begins with, and what it says of itself."""

    command: tuple[str, ...]
    version: str

    @property
    def is_clang(self) -> bool:
        """Under whatever name: some of GCC's flags are errors to it."""
        return "clang" in self.version


def _compiler(command: list[str]) -> Compiler:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return Compiler(tuple(command), done.stdout)


def _named(variable: str, what: str) -> list[str] | None:
    """The command that a variable names, its program found; None if it names none. Raises
    ValueError where there is no such program."""
    command = environment.command(variable)
    if not command:
        return None
    program = shutil.which(os.path.expanduser(command[0]))
    if program is None:
        raise environment.refuse(variable, f"name {what}", " ".join(command))
    return [os.path.abspath(program), *command[1:]]


def find_compiler() -> Compiler | None:
    """The C++ compiler: $CXX, else the first of c++, g++, clang++ on PATH."""
    command = _named("CXX", "a C++ compiler")
    if command is None:
        program = next(
            (found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None
        )
        command = [os.path.abspath(program)] if program else None
    return _compiler(command) if command else None


def find_nvcc() -> Compiler | None:
    """The CUDA compiler: $CUDACXX, else $CUDA_HOME's, else nvcc on PATH, else the newest of
    /usr/local/cuda*."""
    command = _named("CUDACXX", "a CUDA compiler")
    home = environment.path("CUDA_HOME")
    if command is None and home is not None:
        program = shutil.which(str(home / "bin" / "nvcc"))
        if program is None:
            raise environment.refuse("CUDA_HOME", "name a folder with bin/nvcc", str(home))
        command = [program]
    if command is None:
        places = [
            "nvcc",
            *sorted(map(str, Path("/usr/local").glob("cuda*/bin/nvcc")), reverse=True),
        ]
        program = next((found for place in places if (found := shutil.which(place))), None)
        command = [os.path.abspath(program)] if program else None
    return _compiler(command) if command else None


def is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def host_isa() -> str:
    """The best instruction set of X86_ISAS that this processor runs."""
    try:
        flags = set(
            Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()
        )
    except (OSError, IndexError):
        return "baseline"
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
        return "avx512_bf16" if "avx512_bf16" in flags else "avx512"
    return "avx2" if {"avx2", "bmi2", "fma", "f16c"} <= flags else "baseline"


def wanted_isa() -> str | None:
    """The instruction set that LRNN_ISA names; raises ValueError if this processor does not run
    it."""
    wanted = os.environ.get("LRNN_ISA")  # as it is: C++ reads it, too
    runs = list(X86_ISAS)[: list(X86_ISAS).index(host_isa()) + 1]
    if wanted and wanted not in runs:
        raise environment.refuse(
            "LRNN_ISA", f"name what this processor runs, of {', '.join(runs)}", wanted
        )
    return wanted or None


def isas_to_build(portable: bool) -> list[str]:
    """All instruction sets for a portable build, else what this machine needs; LRNN_BUILD_ISAS
    overrides."""
    if not is_x86():
        return ["baseline"]
    wanted = environment.several("LRNN_BUILD_ISAS", X86_ISAS)
    if wanted is not None:
        return wanted
    return list(X86_ISAS) if portable else [wanted_isa() or host_isa()]


def cuda_architectures() -> list[str]:
    return environment.cuda_architectures(CUDA_ARCHITECTURES)
