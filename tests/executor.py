"""CUDA sources on the CPU: compiled for the executor in cuda_on_cpu/, with or without a sanitizer, and called through ctypes."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from lrnn_kernels import build

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "tests" / "cuda_on_cpu"
CUDA = ROOT / "csrc" / "cuda"

#: The sources of the kernels, and what launches them.
KERNELS = [*sorted(CUDA.glob("*.cu")), CUDA / "kernels.cpp", CUDA / "plan.cpp"]
SOURCES = [*KERNELS, HERE / "bridge.cpp"]
#: The same with torch's operators in front of them.
OPERATORS = [*SOURCES, CUDA / "ops_cuda.cpp", CUDA / "ops_nbrc.cpp", ROOT / "csrc" / "cell_table.cpp", HERE / "device.cpp"]

_EXCLUDED = "pointer-overflow,null,alignment"

#: Flags per sanitizer; "" is none. What a sanitizer finds ends the program.
SANITIZERS = {
    "": ["-O2"],
    # -O1 compiles four times longer, and the excluded checks double the time: null is seen by the address sanitizer as well, alignment by
    # the executor's own accesses.
    "address": ["-O0", "-g1", "-fsanitize=address,undefined", f"-fno-sanitize={_EXCLUDED}", "-fno-sanitize-recover=all"],
    "thread": ["-O0", "-g1", "-fsanitize=thread"],
}


def cache_folder() -> Path:
    return Path(os.environ.get("LRNN_CACHE") or Path(tempfile.gettempdir()) / "lrnn_kernels_tests") / "executor"


def compile_library(sources: list[Path], sanitizer: str = "", flags: tuple[str, ...] = (), link: str = "") -> Path:
    """Compiles sources and the executor into a shared library, once per content."""
    read = sorted([*ROOT.glob("csrc/**/*.h"), *CUDA.glob("*"), *HERE.rglob("*"), *sources, Path(__file__)])
    digest = hashlib.sha256(" ".join([sanitizer, *flags, link, *(p.name for p in sources)]).encode())
    for path in read:
        if path.is_file():
            digest.update(path.read_bytes())
    cache = cache_folder()
    library = cache / f"{digest.hexdigest()[:16]}.so"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:  # parallel test processes compile it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            _ninja(library, sources, sanitizer, flags, link, cache / f"objects-{digest.hexdigest()[:16]}")
    return library


def compile_operators() -> Path:
    """The kernels, and the operators for CPU tensors on the executor, torch.ops.lrnn_on_executor."""
    torch_root = Path(torch.__file__).parent
    return compile_library(
        OPERATORS, flags=(build.TARGET, f"-isystem {torch_root / 'include'}"), link=f"-L{torch_root / 'lib'} -ltorch_cpu -lc10"
    )


def _ninja(library: Path, sources: list[Path], sanitizer: str, flags: tuple[str, ...], link: str, workdir: Path) -> None:
    """The executor itself is never instrumented: it moves between stacks, and tells ThreadSanitizer so by hand."""
    workdir.mkdir(parents=True, exist_ok=True)
    sanitize = " ".join(SANITIZERS[sanitizer])
    common = f"-std=c++20 -fPIC -Wall -Werror -Wno-psabi -Wno-unknown-pragmas -Wno-tsan -DLRNN_ISA=gpu -I{HERE / 'include'}"
    lines = [
        f"rule cc\n  command = {build.find_compiler()} {common} $extra -x c++ -c $in -o $out",
        f"rule link\n  command = {build.find_compiler()} -shared $in -o $out {link} -lpthread {'' if not sanitizer else sanitize}",
        f"build executor.o: cc {HERE / 'executor.cpp'}\n  extra = -O2",
    ]
    objects = [f"{i}_{source.stem}.o" for i, source in enumerate(sources)]
    extra = " ".join([sanitize, *flags])
    lines += [f"build {name}: cc {source}\n  extra = {extra}" for name, source in zip(objects, sources, strict=True)]
    fresh = library.with_suffix(f".{os.getpid()}")
    lines.append(f"build {fresh}: link {' '.join(objects)} executor.o")
    (workdir / "build.ninja").write_text("\n".join(lines) + "\n")
    done = subprocess.run([build.find_ninja(), "-C", str(workdir)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"compiling for the executor failed:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    fresh.rename(library)


class Executor:
    """A compiled library; how many blocks it runs at a time, and in which order the threads of a block."""

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
    """Runs a Python script, given the path of a library compiled with a sanitizer, whose own must be loaded before all others."""
    name = {"address": "libasan.so", "thread": "libtsan.so"}[sanitizer]
    found = subprocess.run([build.find_compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0",
    }
    # The sanitizer's map of the address space does not know every random layout of newer kernels.
    fixed = ["setarch", platform.machine(), "--addr-no-randomize"]
    return subprocess.run(
        [*fixed, sys.executable, "-c", script, str(library)], env=environment, capture_output=True, text=True, check=False
    )
