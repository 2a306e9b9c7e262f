"""Finds, and where needed compiles, the library of C++ kernels, and loads its operators into torch.

An installed library is used if it was built from the sources at hand; otherwise the sources are compiled once into a cache
(``LRNN_CACHE``, by default ``~/.cache/lrnn_kernels``). Without a compiler the package warns once and runs the reference.
"""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from . import build, interrupts, transforms, varying

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
        path, reason = build.find_or_build(INSTALLED, "kernels", partial(build.build, torch_root=Path(torch.__file__).parent))
        torch.ops.load_library(str(path))
        transforms.register()
        varying.register(transforms.NAMESPACE)
        library = _declare(ctypes.CDLL(str(path)))
        build.check_isa(path, library.lrnn_isa().decode())
        interrupts.watch(library)
    except (OSError, RuntimeError) as error:
        warnings.warn(f"lrnn_kernels runs the slow reference only: {error}", RuntimeWarning, stacklevel=2)
        return Extension(None, None, str(error))
    return Extension(library, path, reason)


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.lrnn_isa.restype = ctypes.c_char_p
    library.lrnn_pool_set_limit.argtypes = [ctypes.c_int64]
    library.lrnn_pool_empty.restype = ctypes.c_int64
    return library


extension = load()
available = extension.library is not None
reason = extension.reason
