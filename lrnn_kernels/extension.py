"""Finds, and where needed compiles, the library of C++ kernels, and loads its operators into torch.

An installed library is used if it was built from the sources at hand; otherwise the sources are compiled once into a cache
(``LRNN_CACHE``, by default ``~/.cache/lrnn_kernels``). Without a compiler the package warns once and runs the reference.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from . import build, transforms

INSTALLED = Path(__file__).with_name("_kernels.so")


@dataclass(frozen=True)
class Extension:
    """The state of the C++ library: the loaded library, or why there is none."""

    library: ctypes.CDLL | None
    path: Path | None
    reason: str  # how it came to be, or what went wrong


def load() -> Extension:
    """Finds or compiles the library and registers its operators; runs once, when the package is imported."""
    try:
        path, reason = _find_or_build()
        torch.ops.load_library(str(path))
    except (OSError, RuntimeError) as error:
        warnings.warn(f"lrnn_kernels runs the slow reference only: {error}", RuntimeWarning, stacklevel=2)
        return Extension(None, None, str(error))
    transforms.register()
    return Extension(_declare(ctypes.CDLL(str(path))), path, reason)


def _find_or_build() -> tuple[Path, str]:
    digest = build.source_hash()
    stamp = INSTALLED.with_suffix(".hash")
    if INSTALLED.exists() and stamp.exists() and stamp.read_text() == digest:
        return INSTALLED, "built at install time"
    compiler = build.find_compiler()
    if compiler is None:
        raise RuntimeError("no C++ compiler was found (set CXX, or install g++ or clang++), and no compiled kernels are installed")
    isas = build.isas_to_build(portable=False)
    cache = Path(os.environ.get("LRNN_CACHE") or Path.home() / ".cache" / "lrnn_kernels")
    library = cache / f"kernels-{digest}-{'-'.join(isas)}.so"
    if library.exists():
        return library, "compiled on first import"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:  # another process may be compiling the same
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            print("lrnn_kernels: compiling the kernels, once for this version; about a minute ...", file=sys.stderr, flush=True)
            fresh = library.with_suffix(f".{os.getpid()}")
            workdir = cache / ("objects-" + "-".join(isas))
            build.build(fresh, workdir, isas=isas, compiler=compiler, torch_root=Path(torch.__file__).parent)
            fresh.rename(library)
    return library, "compiled on first import"


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.lrnn_isa.restype = ctypes.c_char_p
    library.lrnn_pool_set_limit.argtypes = [ctypes.c_int64]
    return library


extension = load()
available = extension.library is not None
reason = extension.reason
