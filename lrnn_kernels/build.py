"""Compiles csrc/ into two shared libraries, at install time (setup.py) or on first use (find_or_build).

The torch operators use only torch's stable ABI: built once against any torch >= 2.11 they load into every later one. The fixed-point
network is a Python extension that needs no torch, and fits one Python. Kernels include no torch and no Python header and are
compiled once per instruction set; the processor picks at run time.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

#: Instruction sets a kernel is compiled for on x86-64, worst first: name -> compiler flags.
X86_ISAS = {"baseline": ["-march=x86-64"], "avx2": ["-march=x86-64-v3"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}

#: Translation units with kernels, compiled once per instruction set.
KERNELS = ["bmru", "brc", "cmru", "fq_bmru", "hysteresis", "linear", "min_gru", "nbrc", "src", "src_spikes"]
COMMON = ["ops.cpp", "memory.cpp", "cpu/kernels.cpp", "cpu/ops_cpu.cpp", "cpu/ops_nbrc.cpp", "cpu/plan.cpp", "cpu/run.cpp"]

#: The fixed-point network: kernels, and the rest.
FIXED_POINT_KERNELS = ["fixed_point/kernels.cpp"]
FIXED_POINT_COMMON = ["fixed_point/bindings.cpp", "fixed_point/run.cpp"]

#: Its file name in the package; another Python does not load it.
FIXED_POINT_FILE = "_fixed_point" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")

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
    """Compiles and links the torch operators into output, keeping objects in workdir; raises RuntimeError with the compiler's words."""
    # Rows are arrays of which a call uses the first C channels: GCC warns that the rest may be uninitialized.
    flags = "-fvisibility-inlines-hidden -Wno-maybe-uninitialized"
    units = _units(COMMON, [f"cpu/{kernel}.cpp" for kernel in KERNELS], isas, f"{TARGET} -I{torch_root / 'include'}", KERNEL_FLAGS)
    _ninja(output, workdir, compiler, flags, units, f"-L{torch_root / 'lib'} -ltorch_cpu -lc10 -lpthread")


def build_fixed_point(output: Path, workdir: Path, *, isas: list[str], compiler: str) -> None:
    """Compiles and links the fixed-point network for the running Python; raises RuntimeError as build does."""
    if missing := fixed_point_needs():
        raise RuntimeError(f"compiling lrnn_kernels.fixed_point needs {missing}")
    includes = f"-I{_pybind11_include()} -I{_python_include()}"
    units = _units(FIXED_POINT_COMMON, FIXED_POINT_KERNELS, isas, includes, "")
    _ninja(output, workdir, compiler, "-fvisibility=hidden", units, "-lpthread")


def fixed_point_needs() -> str:
    """What is missing here to compile the fixed-point network, besides a compiler; empty if nothing is."""
    if importlib.util.find_spec("pybind11") is None:
        return "pybind11: pip install pybind11"
    return "" if (_python_include() / "Python.h").exists() else f"Python.h, which {_python_include()} lacks"


def _pybind11_include() -> Path:
    return Path(importlib.util.find_spec("pybind11").origin).parent / "include"


def _python_include() -> Path:
    return Path(sysconfig.get_path("include"))


def _units(common: list[str], kernels: list[str], isas: list[str], includes: str, kernel_flags: str) -> list[tuple[str, str, str]]:
    """What to compile, as (source, object, flags): common files once, kernels once per instruction set."""
    have = " ".join(f"-DLRNN_HAVE_{isa.upper()}" for isa in isas)
    units = [(source, source.replace("/", "_").removesuffix(".cpp"), f"{have} {includes}") for source in common]
    for isa in isas:
        march = " ".join(X86_ISAS[isa]) if is_x86() else ""
        units += [(source, f"{Path(source).stem}_{isa}", f"-DLRNN_ISA={isa} {kernel_flags} {march}") for source in kernels]
    return units


def _ninja(output: Path, workdir: Path, compiler: str, flags: str, units: list[tuple[str, str, str]], libraries: str) -> None:
    csrc = source_dir()
    workdir.mkdir(parents=True, exist_ok=True)
    lines = [
        f"cxx = {compiler}",
        f"flags = -std=c++20 -O3 -fPIC -g0 -Wall -Wno-psabi {flags}",
        "rule cc\n  command = $cxx $flags $extra -MMD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n  description = $out",
        f"rule link\n  command = $cxx -shared $in -o $out {libraries}\n  description = $out",
    ]
    lines += [f"build {name}.o: cc {csrc / source}\n  extra = {extra}" for source, name, extra in units]
    lines.append(f"build {output}: link {' '.join(f'{name}.o' for _, name, _ in units)}")
    (workdir / "build.ninja").write_text("\n".join(lines) + "\n")
    done = subprocess.run([find_ninja(), "-C", str(workdir)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"compiling lrnn_kernels failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def find_or_build(installed: Path, name: str, build: Callable[..., None]) -> tuple[Path, str]:
    """The library: the installed one if it was built from the sources at hand, else one compiled into the cache, once.

    Args:
        installed: where an installed one would lie, its digest beside it.
        name: of the file in the cache, to which digest and instruction sets are added.
        build: build(output, workdir, isas=, compiler=).

    Returns its path and how it came to be; raises RuntimeError where it cannot be built.
    """
    digest = source_hash()
    stamp = installed.with_suffix(".hash")
    if installed.exists() and stamp.exists() and stamp.read_text() == digest:
        return installed, "built at install time"
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError("no C++ compiler was found (set CXX, or install g++ or clang++), and no compiled kernels are installed")
    isas = isas_to_build(portable=False)
    cache = Path(os.environ.get("LRNN_CACHE") or Path.home() / ".cache" / "lrnn_kernels")
    library = cache / f"{name}-{digest}-{'-'.join(isas)}.so"
    if library.exists():
        return library, "compiled on first use"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:  # another process may be compiling the same
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            print(f"lrnn_kernels: compiling {name}, once for this version; about a minute ...", file=sys.stderr, flush=True)
            fresh = library.with_suffix(f".{os.getpid()}")
            build(fresh, cache / f"objects-{name}-{'-'.join(isas)}", isas=isas, compiler=compiler)
            fresh.rename(library)
    return library, "compiled on first use"


def find_ninja() -> str:
    try:
        import ninja

        return str(Path(ninja.BIN_DIR) / "ninja")
    except ImportError:
        if found := shutil.which("ninja"):
            return found
    raise RuntimeError("compiling lrnn_kernels needs ninja: pip install ninja")
