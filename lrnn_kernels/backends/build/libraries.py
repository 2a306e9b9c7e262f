"""What each library consists of: files, flags, and what it is linked with. Its digest covers
this file."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from . import sources
from .toolchain import X86_ISAS, Compiler, is_x86

#: The oldest torch whose stable ABI the operators ask for: 2.11.
TARGET = "-DTORCH_TARGET_VERSION=0x020b000000000000"

#: Products fuse into sums. Loops that are not vectorized by hand are left alone: looking for them
#: takes long.
KERNEL_FLAGS = ("-fno-tree-vectorize", "-ffp-contract=fast")

#: Instructions are scheduled before registers are assigned, which interleaves the two registers
#: that an engine works on together. GCC on x86 does not do it by itself, and clang does not know
#: the flags.
GCC_KERNEL_FLAGS = ("-fschedule-insns", "-fsched-pressure")

#: Every operation rounds, so that noise is the same numbers everywhere; GCC vectorizes its loops,
#: to which a square root that may set errno is a call.
NOISE_FLAGS = ("-ffp-contract=off", "-fno-math-errno")

CLANG_LACKS = (*GCC_KERNEL_FLAGS, "-Wno-maybe-uninitialized")

CXX_FLAGS = ("-std=c++20", "-O3", "-fPIC", "-g0", "-Wall", "-Wno-psabi")
NVCC_FLAGS = (
    "-std=c++20",
    "-O3",
    "-DLRNN_ISA=gpu",
    "-Xcompiler=-fPIC,-fvisibility-inlines-hidden,-Wno-psabi",
)

COMMON = (
    "cells/index.cpp",
    "watch.cpp",
    *(f"cpu/{part}.cpp" for part in ("kernels", "memory", "plan", "populations", "run")),
    *(f"torch/cpu{part}.cpp" for part in ("", "_matrix", "_population", "_step")),
    *(f"torch/{part}.cpp" for part in ("operator", "outputs")),
)
#: Compiled for every instruction set, once for all recurrences; and once for all neurons.
PRODUCTS, NOISE = "cpu/products.cpp", "cpu/noise.cpp"
CUDA_COMMON = (
    "cells/index.cpp",
    *(f"cuda/{part}.cpp" for part in ("kernels", "plan", "populations")),
    *(f"torch/{part}.cpp" for part in ("cuda", "cuda_matrix", "cuda_population", "device")),
)
FIXED_POINT_COMMON = ("fixed_point/bindings.cpp", "fixed_point/run.cpp", "watch.cpp")
FIXED_POINT_KERNELS = ("fixed_point/kernels.cpp",)

#: The fixed-point network's file in the package; another Python does not load it.
FIXED_POINT_FILE = "_fixed_point" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")

_LINE = re.compile(r"^ *X\((\w+), *(\w+), *(\w+), *([^)]+)\)", re.M)
_NEURON = re.compile(r"^ *X\((\w+), *(\w+)\)", re.M)


@dataclass(frozen=True)
class Cell:
    """A line of csrc/cells/list.h."""

    name: str
    header: str
    engine: str
    struct: str

    @property
    def flags(self) -> tuple[str, ...]:
        """How a kernel file is told which line it is compiled for."""
        return (
            f"-DLRNN_CELL={self.name}",
            f"-DLRNN_HEADER={self.header}",
            f"-DLRNN_ENGINE={self.engine}",
            f"-DLRNN_STRUCT={self.struct}",
        )


def cells(csrc: Path | None = None) -> list[Cell]:
    """The recurrences that are compiled, as csrc/cells/list.h says."""
    return [
        Cell(*line)
        for line in _LINE.findall(((csrc or sources.csrc()) / "cells" / "list.h").read_text())
    ]


@dataclass(frozen=True)
class Neuron:
    """A line of csrc/neurons/list.h."""

    name: str
    struct: str

    @property
    def flags(self) -> tuple[str, ...]:
        return (f"-DLRNN_NEURON={self.name}", f"-DLRNN_STRUCT={self.struct}")


def neurons(csrc: Path | None = None) -> list[Neuron]:
    """The neurons that are compiled, as csrc/neurons/list.h says."""
    return [
        Neuron(*line)
        for line in _NEURON.findall(((csrc or sources.csrc()) / "neurons" / "list.h").read_text())
    ]


@dataclass(frozen=True)
class Unit:
    """One file to compile: its place, as (a name in Library.folders, path), its flags, and the
    headers it includes through macros."""

    folder: str
    source: str
    flags: tuple[str, ...]
    label: str
    also: tuple[str, ...] = ()
    cost: int = 1  # the slowest are compiled first


@dataclass(frozen=True)
class Library:
    """A shared library. Flags name folders by the words of ``folders``: where a build links them
    to, so that no path, whatever characters it has, is part of a command."""

    name: str
    compiler: Compiler
    units: tuple[Unit, ...]
    link: tuple[str, ...]
    folders: dict[str, Path] = field(default_factory=lambda: {"csrc": sources.csrc()})
    include: tuple[str, ...] = ()  # folders with headers of ours
    others: str = ""  # versions of what is included besides

    def files(self, unit: Unit) -> list[Path]:
        root = self.folders[unit.folder]
        include = tuple(self.folders[name] for name in self.include)
        return sources.reached(
            root / unit.source, include, tuple(root / name for name in unit.also)
        )

    def content(self, unit: Unit) -> str:
        """A digest of all that an object depends on."""
        words = [
            unit.source,
            *self.compiler.command[1:],
            self.compiler.version,
            *unit.flags,
            self.others,
        ]
        return sources.digest(words, self.files(unit), self.folders[unit.folder])


def _has_complex(cell: Cell) -> bool:
    """Whether a recurrence has kernels for complex numbers, which take longest to compile."""
    return "kNumbers" in (sources.csrc() / "cells" / f"{cell.header}.h").read_text()


def _for(compiler: Compiler, *flags: str) -> tuple[str, ...]:
    return tuple(flag for flag in flags if not (compiler.is_clang and flag in CLANG_LACKS))


def _defines(isas: list[str]) -> tuple[str, ...]:
    return tuple(f"-DLRNN_HAVE_{isa.upper()}" for isa in isas)


def _march(isa: str) -> tuple[str, ...]:
    return (f"-DLRNN_ISA={isa}", *(X86_ISAS[isa] if is_x86() else ()))


def population_units(isa: str, compiler: Compiler) -> list[Unit]:
    """The kernels of populations of neurons for one instruction set. They are scheduled as they are
    written: GCC's scheduling costs a fifth of their speed where registers are 16."""
    flags = (*_for(compiler, *CXX_FLAGS), "-fvisibility-inlines-hidden", *_march(isa))
    noise = (*flags, *NOISE_FLAGS)
    # GCC 12 warns of its own header's undefined registers.
    kernel = (
        *flags,
        *_for(compiler, *KERNEL_FLAGS, "-Wno-maybe-uninitialized"),
        "-Wno-uninitialized",
    )
    return [
        Unit("csrc", NOISE, noise, f"noise ({isa})", cost=2),
        *(
            Unit(
                "csrc",
                "cpu/population.cpp",
                (*kernel, *neuron.flags),
                f"{neuron.name} ({isa})",
                (f"neurons/{neuron.name}.h",),
                cost=4,
            )
            for neuron in neurons()
        ),
    ]


def operators(isas: list[str], compiler: Compiler, torch_root: Path) -> Library:
    """The torch operators for the CPU."""
    # Rows are arrays of which a call uses the first C channels: GCC warns that the rest may be
    # uninitialized.
    flags = _for(compiler, *CXX_FLAGS, "-fvisibility-inlines-hidden", "-Wno-maybe-uninitialized")
    common = (*flags, TARGET, "-isystem", "torch/include", *_defines(isas))
    units = [
        Unit(
            "csrc",
            source,
            common,
            Path(source).stem,
            cost=3 if source.startswith("torch/cpu") else 1,
        )
        for source in COMMON
    ]
    for isa in isas:
        # Its loops are written as they are to run: scheduled anew, they lack registers.
        product = (*flags, *_for(compiler, *KERNEL_FLAGS), *_march(isa))
        units.append(Unit("csrc", PRODUCTS, product, f"products ({isa})", cost=2))
        for cell in cells():
            kernel = (
                *flags,
                *_for(compiler, *KERNEL_FLAGS, *GCC_KERNEL_FLAGS),
                *_march(isa),
                *cell.flags,
            )
            also = (f"cells/{cell.header}.h", f"cpu/engines/{cell.engine}.h")
            cost = 3 if cell.engine == "matrix" else 9 if _has_complex(cell) else 5
            units.append(Unit("csrc", "cpu/kernel.cpp", kernel, f"{cell.name} ({isa})", also, cost))
        units += population_units(isa, compiler)
    link = ("-Ltorch/lib", "-ltorch_cpu", "-lc10", "-lpthread")
    return Library(
        "kernels",
        compiler,
        tuple(units),
        link,
        {"csrc": sources.csrc(), "torch": torch_root},
        others=_torch(torch_root),
    )


def fixed_point(isas: list[str], compiler: Compiler) -> Library:
    """The fixed-point network, a module of this Python; raises RuntimeError where something else
    is missing."""
    if missing := fixed_point_needs():
        raise RuntimeError(f"compiling the fixed-point network needs {missing}")
    pybind11 = Path(importlib.util.find_spec("pybind11").origin).parent
    folders = {
        "csrc": sources.csrc(),
        "pybind11": pybind11 / "include",
        "python": _python_include(),
    }
    flags = (*CXX_FLAGS, "-fvisibility=hidden")
    common = (*flags, "-isystem", "pybind11", "-isystem", "python", *_defines(isas))
    units = [
        Unit("csrc", source, common, Path(source).stem, cost=5) for source in FIXED_POINT_COMMON
    ]
    for isa in isas:
        kernel = (*flags, *_march(isa))
        units += [
            Unit("csrc", source, kernel, f"{Path(source).stem} ({isa})", cost=5)
            for source in FIXED_POINT_KERNELS
        ]
    return Library(
        "fixed_point",
        compiler,
        tuple(units),
        ("-lpthread",),
        folders,
        others=f"{sysconfig.get_config_var('SOABI')} {pybind11}",
    )


def cuda(nvcc: Compiler, architectures: list[str], torch_root: Path) -> Library:
    """The CUDA operators."""
    numbers = [a.removesuffix("-virtual") for a in architectures]
    targets = [
        f"-gencode=arch=compute_{a},code=sm_{a}"
        for a in architectures
        if not a.endswith("-virtual")
    ]
    flags = (
        *NVCC_FLAGS,
        *targets,
        f"-gencode=arch=compute_{numbers[-1]},code=compute_{numbers[-1]}",
    )
    common = (*flags, TARGET, "-isystem", "torch/include")
    units = [Unit("csrc", source, common, Path(source).stem) for source in CUDA_COMMON]
    for cell in cells():
        also = (f"cells/{cell.header}.h", f"cuda/engines/{cell.engine}_launch.cuh")
        units.append(
            Unit("csrc", "cuda/kernel.cu", (*flags, *cell.flags), f"{cell.name} (CUDA)", also, 5)
        )
    for neuron in neurons():
        also = (f"neurons/{neuron.name}.h",)
        words = (*flags, *neuron.flags)
        units.append(Unit("csrc", "cuda/population.cu", words, f"{neuron.name} (CUDA)", also, 3))
    link = ("-cudart", "static", "-Ltorch/lib", "-ltorch_cpu", "-lc10", "-ldl")
    return Library(
        "kernels-cuda",
        nvcc,
        tuple(units),
        link,
        {"csrc": sources.csrc(), "torch": torch_root},
        others=_torch(torch_root),
    )


def fixed_point_needs() -> str:
    """What is missing here to compile the fixed-point network, besides a compiler; empty if
    nothing is."""
    if importlib.util.find_spec("pybind11") is None:
        return "pybind11: pip install pybind11"
    return (
        ""
        if (_python_include() / "Python.h").exists()
        else f"Python.h, which {_python_include()} lacks"
    )


def _python_include() -> Path:
    return Path(sysconfig.get_path("include"))


def _torch(root: Path) -> str:
    """Which torch's headers are included."""
    version = root / "version.py"
    return version.read_text() if version.exists() else ""


def digest(name: str) -> str:
    """Of all sources of a library, whatever it is compiled with and for: "kernels",
    "fixed_point" or "kernels-cuda"."""
    csrc = sources.csrc()
    ours = {
        "kernels": [
            *COMMON,
            PRODUCTS,
            "cpu/kernel.cpp",
            *(f"cells/{c.header}.h" for c in cells()),
            *(f"cpu/engines/{c.engine}.h" for c in cells()),
            NOISE,
            "cpu/population.cpp",
            *(f"neurons/{n.name}.h" for n in neurons()),
        ],
        "fixed_point": [*FIXED_POINT_COMMON, *FIXED_POINT_KERNELS],
        "kernels-cuda": [
            *CUDA_COMMON,
            "cuda/kernel.cu",
            *(f"cells/{c.header}.h" for c in cells()),
            *(f"cuda/engines/{c.engine}_launch.cuh" for c in cells()),
            "cuda/population.cu",
            *(f"neurons/{n.name}.h" for n in neurons()),
        ],
    }[name]
    files = {path for source in ours for path in sources.reached(csrc / source)}
    return sources.digest([Path(__file__).read_text(), repr(X86_ISAS)], files, csrc)
