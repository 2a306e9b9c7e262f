"""Compiles csrc/ into shared libraries, at install time (setup.py) or on first use (find_or_build).

The torch operators use only torch's stable ABI: built once against any torch >= 2.11 they load into every later one. The fixed-point
network is a Python extension that needs no torch, and fits one Python. Kernels include no torch and no Python header and are
compiled once per instruction set; the processor picks at run time. The CUDA operators are a library of their own, which nvcc makes: it
loads beside any torch, with or without CUDA.
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
from functools import partial
from pathlib import Path

#: Instruction sets a kernel is compiled for on x86-64, in the order of csrc/isa.h, worst first: name -> compiler flags.
X86_ISAS = {
    "baseline": ["-march=x86-64"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "avx512_bf16": ["-march=x86-64-v4", "-mavx512bf16", "-mprefer-vector-width=512"],
}

#: Translation units with kernels, compiled once per instruction set.
KERNELS = ["bmru", "brc", "cmru", "fq_bmru", "hysteresis", "linear", "min_gru", "nbrc", "src", "src_spikes"]
COMMON = ["ops.cpp", "cell_table.cpp", "memory.cpp", "watch.cpp"]
COMMON += [f"cpu/{part}.cpp" for part in ("kernels", "operator", "ops_cpu", "ops_nbrc", "outputs", "plan", "run")]

#: The fixed-point network: kernels, and the rest.
FIXED_POINT_KERNELS = ["fixed_point/kernels.cpp"]
FIXED_POINT_COMMON = ["fixed_point/bindings.cpp", "fixed_point/run.cpp", "watch.cpp"]

#: The CUDA operators: kernels, which are all *.cu files there, and the rest.
CUDA_COMMON = ["cell_table.cpp", *(f"cuda/{part}.cpp" for part in ("device", "kernels", "ops_cuda", "ops_nbrc", "plan"))]

#: GPUs that machine code is made for: A100, H100 and H200, B200. Others run the last one's PTX if they are newer.
CUDA_ARCHITECTURES = ["80", "90", "100"]

#: Its file name in the package; another Python does not load it.
FIXED_POINT_FILE = "_fixed_point" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")

#: Products fuse into sums.
KERNEL_FLAGS = "-ffp-contract=fast"

#: Instructions are scheduled before registers are assigned, which interleaves the two registers that an engine works on together (the
#: minGRU in cache gains 1.3 times; GCC on x86 does not do it by itself, and clang does not know the flags).
GCC_KERNEL_FLAGS = "-fschedule-insns -fsched-pressure"

#: The oldest torch whose stable ABI the library asks for: 2.11.
TARGET = "-DTORCH_TARGET_VERSION=0x020b000000000000"


def source_dir() -> Path:
    """csrc/, next to this file in an installed package, beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    return here / "csrc" if (here / "csrc").is_dir() else here.parent / "csrc"


def source_hash() -> str:
    """A digest of every C++ source but CUDA's, and of this file: two libraries with equal digests have equal kernels."""
    return _digest(lambda path: path.suffix in (".h", ".cpp") and path.parent.name != "cuda")


def cuda_source_hash() -> str:
    """The same for the CUDA operators."""
    kinds = (".h", ".cpp", ".cu", ".cuh")
    return _digest(lambda path: path.suffix in kinds and (path.parent.name != "cpu" or path.name == "args.h"))


def _digest(counts: Callable[[Path], bool]) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    root = source_dir()
    for path in sorted(p for p in root.rglob("*") if counts(p)):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, else the first of c++, g++, clang++ on PATH."""
    wanted = os.environ.get("CXX")
    return next((found for name in ([wanted] if wanted else ["c++", "g++", "clang++"]) if (found := shutil.which(name))), None)


def is_clang(compiler: str) -> bool:
    """Whether a C++ compiler is clang, under whatever name: some of GCC's flags are errors to it."""
    return "clang" in subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout


def is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def host_isa() -> str:
    """The best instruction set of X86_ISAS that this processor runs."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    except (OSError, IndexError):
        return "baseline"
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
        return "avx512_bf16" if "avx512_bf16" in flags else "avx512"
    return "avx2" if {"avx2", "bmi2", "fma", "f16c"} <= flags else "baseline"


def wanted_isa() -> str | None:
    """The instruction set that LRNN_ISA names; raises ValueError if this processor does not run it."""
    wanted = os.environ.get("LRNN_ISA")
    runs = list(X86_ISAS)[: list(X86_ISAS).index(host_isa()) + 1]
    if wanted and wanted not in runs:
        raise ValueError(f"the environment variable LRNN_ISA must name what this processor runs, of {', '.join(runs)}, got {wanted!r}")
    return wanted or None


def isas_to_build(portable: bool) -> list[str]:
    """All instruction sets for a portable build, else what this machine needs; LRNN_BUILD_ISAS (comma-separated, or all) overrides."""
    if not is_x86():
        return ["baseline"]
    if wanted := os.environ.get("LRNN_BUILD_ISAS"):
        names = list(X86_ISAS) if wanted == "all" else wanted.split(",")
        if not X86_ISAS.keys() >= set(names):
            raise ValueError(f"the environment variable LRNN_BUILD_ISAS must be all or some of {','.join(X86_ISAS)}, got {wanted!r}")
        return [isa for isa in X86_ISAS if isa in names]
    return list(X86_ISAS) if portable else [wanted_isa() or host_isa()]


def check_isa(library: Path, isa: str) -> None:
    """Raises RuntimeError where a library, which has chosen this instruction set, has none to choose."""
    if isa != "none":
        return
    wanted = wanted_isa()
    missing = f"the instruction set {wanted!r}, which the environment variable LRNN_ISA names" if wanted else "this processor"
    raise RuntimeError(f"{library.name} has no kernels for {missing}")


def build(output: Path, workdir: Path, *, isas: list[str], compiler: str, torch_root: Path) -> None:
    """Compiles and links the torch operators into output, keeping objects in workdir; raises RuntimeError with the compiler's words."""
    flags, kernel_flags = "-fvisibility-inlines-hidden", KERNEL_FLAGS
    if not is_clang(compiler):
        # Rows are arrays of which a call uses the first C channels: GCC warns that the rest may be uninitialized.
        flags, kernel_flags = f"{flags} -Wno-maybe-uninitialized", f"{kernel_flags} {GCC_KERNEL_FLAGS}"
    units = _units(COMMON, [f"cpu/{kernel}.cpp" for kernel in KERNELS], isas, f"{TARGET} -I{torch_root / 'include'}", kernel_flags)
    _ninja(output, workdir, compiler, flags, units, f"-L{torch_root / 'lib'} -ltorch_cpu -lc10 -lpthread")


def build_fixed_point(output: Path, workdir: Path, *, isas: list[str], compiler: str) -> None:
    """Compiles and links the fixed-point network for the running Python; raises RuntimeError as build does."""
    if missing := fixed_point_needs():
        raise RuntimeError(f"compiling lrnn_kernels.fixed_point needs {missing}")
    includes = f"-I{_pybind11_include()} -I{_python_include()}"
    units = _units(FIXED_POINT_COMMON, FIXED_POINT_KERNELS, isas, includes, "")
    _ninja(output, workdir, compiler, "-fvisibility=hidden", units, "-lpthread")


def find_nvcc() -> str | None:
    """The CUDA compiler: $CUDACXX, else $CUDA_HOME's, else nvcc on PATH, else the newest of /usr/local/cuda*."""
    places = [os.environ.get("CUDACXX"), os.environ.get("CUDA_HOME") and os.path.join(os.environ["CUDA_HOME"], "bin", "nvcc"), "nvcc"]
    places += sorted(map(str, Path("/usr/local").glob("cuda*/bin/nvcc")), reverse=True)
    return next((found for place in places if place and (found := shutil.which(place))), None)


def cuda_mode() -> str:
    """What LRNN_CUDA asks for: "0", no CUDA operators; "1", they must be there; "auto", where torch has CUDA."""
    mode = os.environ.get("LRNN_CUDA") or "auto"
    if mode not in ("0", "1", "auto"):
        raise ValueError(f"the environment variable LRNN_CUDA must be 0, 1 or auto, got {mode!r}")
    return mode


def cuda_architectures() -> list[str]:
    """CUDA_ARCHITECTURES, or what LRNN_CUDA_ARCHITECTURES names (comma-separated: 90,100; 90-virtual is PTX alone)."""
    wanted = os.environ.get("LRNN_CUDA_ARCHITECTURES")
    return wanted.split(",") if wanted else CUDA_ARCHITECTURES


def build_cuda(output: Path, workdir: Path, *, torch_root: Path) -> None:
    """Compiles and links the CUDA operators; raises RuntimeError where there is no nvcc, or with its words."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise RuntimeError("no nvcc was found (set CUDACXX or CUDA_HOME, or install the CUDA toolkit)")
    csrc, architectures = source_dir(), cuda_architectures()
    numbers = [a.removesuffix("-virtual") for a in architectures]
    targets = [f"-gencode arch=compute_{a},code=sm_{a}" for a in architectures if not a.endswith("-virtual")]
    targets.append(f"-gencode arch=compute_{numbers[-1]},code=compute_{numbers[-1]}")
    flags = "-std=c++20 -O3 -DLRNN_ISA=gpu -Xcompiler=-fPIC,-fvisibility-inlines-hidden,-Wno-psabi"
    compile_kernel = f"{nvcc} {flags} {' '.join(targets)} -c $in -o $out -MD -MF $out.d"
    compile_rest = f"{nvcc} {flags} {TARGET} -isystem {torch_root / 'include'} -c $in -o $out -MD -MF $out.d"
    link = f"{nvcc} -shared -cudart static $in -o $out -L{torch_root / 'lib'} -ltorch_cpu -lc10 -ldl"
    lines = [
        f"rule kernel\n  command = {compile_kernel}\n  depfile = $out.d\n  deps = gcc\n  description = $out",
        f"rule rest\n  command = {compile_rest}\n  depfile = $out.d\n  deps = gcc\n  description = $out",
        f"rule link\n  command = {link}\n  description = $out",
    ]
    units = [("kernel", source) for source in sorted((csrc / "cuda").glob("*.cu"))] + [("rest", csrc / source) for source in CUDA_COMMON]
    lines += [f"build {source.name}.o: {rule} {source}" for rule, source in units]
    lines.append(f"build {output}: link {' '.join(f'{source.name}.o' for _, source in units)}")
    _run_ninja(workdir, lines)


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
    lines = [
        f"cxx = {compiler}",
        f"flags = -std=c++20 -O3 -fPIC -g0 -Wall -Wno-psabi {flags}",
        "rule cc\n  command = $cxx $flags $extra -MMD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n  description = $out",
        f"rule link\n  command = $cxx -shared $in -o $out {libraries}\n  description = $out",
    ]
    lines += [f"build {name}.o: cc {csrc / source}\n  extra = {extra}" for source, name, extra in units]
    lines.append(f"build {output}: link {' '.join(f'{name}.o' for _, name, _ in units)}")
    _run_ninja(workdir, lines)


def _run_ninja(workdir: Path, lines: list[str]) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "build.ninja").write_text("\n".join(lines) + "\n")
    done = subprocess.run([find_ninja(), "-C", str(workdir)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"compiling lrnn_kernels failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def find_or_build(installed: Path, name: str, build: Callable[..., None]) -> tuple[Path, str]:
    """A library for this processor: the installed one if it was built from the sources at hand, else one compiled into the cache, once.

    Args:
        installed: where an installed one would lie, its digest beside it.
        name: of the file in the cache, to which digest and instruction sets are added.
        build: build(output, workdir, isas=, compiler=).

    Returns its path and how it came to be; raises RuntimeError where it cannot be built, ValueError where LRNN_ISA names what cannot run.
    """
    digest = source_hash()
    wanted_isa()
    if is_built_from(installed, digest):
        return installed, "built at install time"
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError("no C++ compiler was found (set CXX, or install g++ or clang++), and no compiled kernels are installed")
    isas = isas_to_build(portable=False)
    return from_cache(name, digest, isas, "about a minute", partial(build, isas=isas, compiler=compiler)), "compiled on first use"


def is_built_from(library: Path, digest: str) -> bool:
    """Whether an installed library was built from sources with this digest."""
    stamp = library.with_suffix(".hash")
    return library.exists() and stamp.exists() and stamp.read_text() == digest


def from_cache(name: str, digest: str, targets: list[str], duration: str, build: Callable[[Path, Path], None]) -> Path:
    """A library in the cache, compiled by build(output, workdir) if it is not there."""
    cache = Path(os.environ.get("LRNN_CACHE") or Path.home() / ".cache" / "lrnn_kernels")
    library = cache / f"{name}-{digest}-{'-'.join(targets)}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:  # another process may be compiling the same
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            print(f"lrnn_kernels: compiling {name}, once for this version; {duration} ...", file=sys.stderr, flush=True)
            fresh = library.with_suffix(f".{os.getpid()}")
            build(fresh, cache / f"objects-{name}-{'-'.join(targets)}")
            fresh.rename(library)
    return library


def find_ninja() -> str:
    try:
        import ninja

        return str(Path(ninja.BIN_DIR) / "ninja")
    except ImportError:
        if found := shutil.which("ninja"):
            return found
    raise RuntimeError("compiling lrnn_kernels needs ninja: pip install ninja")
