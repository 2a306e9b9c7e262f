"""Compiles csrc/ into one shared library, at install time (setup.py) or on first import (extension.py).

The library uses only torch's stable ABI: built once against any torch >= 2.11 it loads into every later one. Kernels include no
torch header and are compiled once per instruction set; the processor picks at run time.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

#: Instruction sets a kernel is compiled for on x86-64, worst first: name -> compiler flags.
X86_ISAS = {"baseline": ["-march=x86-64"], "avx2": ["-march=x86-64-v3"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}

#: Translation units with kernels, compiled once per instruction set.
KERNELS = ["bmru", "cmru", "fq_bmru", "hysteresis", "linear", "min_gru"]
COMMON = ["ops.cpp", "memory.cpp", "cpu/kernels.cpp", "cpu/ops_cpu.cpp", "cpu/plan.cpp", "cpu/run.cpp"]

#: Products fuse into sums; and instructions are scheduled before registers are assigned, which interleaves the two registers that an
#: engine works on together (the minGRU in cache gains 1.3 times; GCC on x86 does not do it by itself).
KERNEL_FLAGS = "-ffp-contract=fast -fschedule-insns -fsched-pressure"

#: The oldest torch whose stable ABI the library asks for: 2.11.
TARGET = "-DTORCH_TARGET_VERSION=0x020b000000000000"


def source_dir() -> Path:
    """csrc/, next to this file in an installed package, beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    return here / "csrc" if (here / "csrc").is_dir() else here.parent / "csrc"


def source_hash() -> str:
    """A digest of every C++ source and of this file: two libraries with equal digests have equal kernels."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    root = source_dir()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".h", ".cpp")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, else the first of c++, g++, clang++ on PATH."""
    wanted = os.environ.get("CXX")
    return next((found for name in ([wanted] if wanted else ["c++", "g++", "clang++"]) if (found := shutil.which(name))), None)


def is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def host_isa() -> str:
    """The best instruction set of X86_ISAS that this processor runs."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    except (OSError, IndexError):
        return "baseline"
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
        return "avx512"
    return "avx2" if {"avx2", "bmi2", "fma", "f16c"} <= flags else "baseline"


def isas_to_build(portable: bool) -> list[str]:
    """All instruction sets for a portable build, else what this machine needs; LRNN_BUILD_ISAS (comma-separated) overrides."""
    if not is_x86():
        return ["baseline"]
    if wanted := os.environ.get("LRNN_BUILD_ISAS"):
        return list(X86_ISAS) if wanted == "all" else [isa for isa in X86_ISAS if isa in wanted.split(",")]
    return list(X86_ISAS) if portable else [host_isa()]


def build(output: Path, workdir: Path, *, isas: list[str], compiler: str, torch_root: Path) -> None:
    """Compiles and links output, keeping objects in workdir; raises RuntimeError with the compiler's words if that fails."""
    csrc = source_dir()
    workdir.mkdir(parents=True, exist_ok=True)
    # Rows are arrays of which a call uses the first C channels: GCC warns that the rest may be uninitialized.
    flags = ["-std=c++20", "-O3", "-fPIC", "-g0", "-fvisibility-inlines-hidden", "-Wall", "-Wno-psabi", "-Wno-maybe-uninitialized"]
    lines = [
        f"cxx = {compiler}",
        f"flags = {' '.join(flags)}",
        "rule cc\n  command = $cxx $flags $extra -MMD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n  description = $out",
        f"rule link\n  command = $cxx -shared $in -o $out -L{torch_root / 'lib'} -ltorch_cpu -lc10 -lpthread\n  description = $out",
    ]
    have = " ".join(f"-DLRNN_HAVE_{isa.upper()}" for isa in isas)
    objects = []

    def compile_one(source: str, name: str, extra: str) -> None:
        objects.append(f"{name}.o")
        lines.append(f"build {name}.o: cc {csrc / source}\n  extra = {extra}")

    for source in COMMON:
        compile_one(source, source.replace("/", "_").removesuffix(".cpp"), f"{have} {TARGET} -I{torch_root / 'include'}")
    for isa in isas:
        march = " ".join(X86_ISAS[isa]) if is_x86() else ""
        for kernel in KERNELS:
            compile_one(f"cpu/{kernel}.cpp", f"{kernel}_{isa}", f"-DLRNN_ISA={isa} {KERNEL_FLAGS} {march}")
    lines.append(f"build {output}: link {' '.join(objects)}")
    (workdir / "build.ninja").write_text("\n".join(lines) + "\n")
    done = subprocess.run([find_ninja(), "-C", str(workdir)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"compiling lrnn_kernels failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def find_ninja() -> str:
    try:
        import ninja

        return str(Path(ninja.BIN_DIR) / "ninja")
    except ImportError:
        if found := shutil.which("ninja"):
            return found
    raise RuntimeError("compiling lrnn_kernels needs ninja: pip install ninja")
