"""Finds, and where needed compiles, the library of C++ kernels, and loads its operators into torch.

Importing the package loads the library if one that fits the sources at hand is installed or in the
cache (``LRNN_CACHE``, by default ``~/.cache/lrnn_kernels``); else it is compiled when an operator
first runs on the CPU, or by ``python -m lrnn_kernels build``. Tracing, exporting and running on
fake tensors need no compiled kernel. Without a compiler the package warns once and runs the
reference.
"""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..cell import Kernel
from . import interrupts, operators, tracing
from .build import cache, environment, toolchain
from .contract import Plan
from .operators import NAMESPACE

INSTALLED = Path(__file__).parents[1] / "_kernels.so"


@dataclass(frozen=True)
class Extension:
    """The state of the C++ library: the loaded library, or why there is none."""

    library: ctypes.CDLL | None
    path: Path | None
    reason: str  # how it came to be, or what went wrong


#: The library, or why it cannot be had; None while it is neither loaded nor known to be missing.
_extension: Extension | None = None
#: Whether its operators run: what every call asks first.
available = False
#: Operators of the same names that load the library when one of them is called: by a compiled
#: graph, say, whose tracing needed none.
_loaders: torch.library.Library | None = None


def ready() -> bool:
    """Whether the operators run, after compiling the library if that is what it takes."""
    return extension().library is not None


def promised() -> bool:
    """Whether the operators will run when they are called, as far as can be said without
    compiling anything."""
    if _extension is not None:
        return _extension.library is not None
    try:
        return toolchain.find_compiler() is not None
    except ValueError:
        return False


def extension() -> Extension:
    """The library, loaded, and compiled if it must be; or why it cannot be had."""
    global _extension, available
    if _extension is None:
        try:
            _extension = _load(compile=True)
        except (OSError, RuntimeError) as error:
            warnings.warn(
                f"lrnn_kernels runs the slow reference only: {error}", RuntimeWarning, stacklevel=3
            )
            _extension = Extension(None, None, str(error))
        available = _extension.library is not None
    return _extension


def _load(compile: bool) -> Extension:
    global _loaders
    path, reason = cache.operators(INSTALLED, Path(torch.__file__).parent, compile)
    if _loaders is not None:  # the library's own take their place
        _loaders._destroy()
        _loaders = None
    torch.ops.load_library(str(path))
    library = _declare(ctypes.CDLL(str(path)))
    cache.check_isa(path, library.lrnn_isa().decode())
    interrupts.watch(library)
    return Extension(library, path, reason)


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.lrnn_isa.restype = ctypes.c_char_p
    library.lrnn_pool_set_limit.argtypes = [ctypes.c_int64]
    library.lrnn_pool_empty.restype = ctypes.c_int64
    return library


def _loading(name: str, *args):
    """An operator that is called before its library is there."""
    if not ready():
        raise RuntimeError(f"{NAMESPACE}::{name} has no kernel: {extension().reason}")
    return getattr(getattr(torch.ops, NAMESPACE), name)(*args)


def load() -> None:
    """What importing the package does: the library is loaded if it is there; until it is,
    operators load it when they are called."""
    global _extension, available, _loaders
    # The C++ reads the variable by itself; here, a wrong value is refused.
    environment.pool_megabytes()
    _loaders = torch.library.Library(NAMESPACE, "IMPL", "CPU")
    for name in operators.names():
        _loaders.impl(name, partial(_loading, name))
    try:
        _extension = _load(compile=False)
    except cache.NotCompiled:
        return
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"lrnn_kernels runs the slow reference only: {error}", RuntimeWarning, stacklevel=2
        )
        _extension = Extension(None, None, str(error))
    available = _extension.library is not None


def missing(device: str) -> str:
    """Why tensors on this type of device cannot run in the C++ kernels; "" if they can. Compiles
    them, if that is what it takes, but for tensors without data and while tracing."""
    if device not in ("cpu", "meta"):
        return f"the CPU kernels run CPU tensors, got tensors on {device!r}"
    if device == "meta" or torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return "" if _promised() else extension().reason
    return "" if ready() else extension().reason


@tracing.constant
def _promised() -> bool:
    return promised()


def serves(kernel: Kernel) -> bool:
    """Every kernel is compiled for the CPU."""
    return True


def too_wide(kernel: Kernel, channels: int) -> str:
    """They take any number of channels."""
    return ""


def plan(kernel: Kernel, inputs: list[Tensor], params: list[Tensor], numbers: list[float]) -> Plan:
    """How a forward pass would run: threads, and what each does at a time; products of matrices
    have no plan."""
    isa = extension().library.lrnn_isa().decode()
    if kernel.engine == "matrix":
        return Plan(isa)
    threads, block, chunk, past_caches = torch.ops.lrnn_kernels.plan(
        kernel.name, inputs, params, False, numbers
    )
    return Plan(isa, threads, block, chunk, bool(past_caches))
