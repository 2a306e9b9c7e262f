"""Whether the CUDA kernels can run, and why not: a library that is installed or cached is loaded as
the package is imported.

``LRNN_CUDA`` decides: 0 leaves them out; 1 demands them, also where no GPU is; auto (the default)
loads them where torch has CUDA. Where there is none it is compiled, once, when a call first asks
for it and a GPU is present (or 1 demands it), or by ``python -m lrnn_kernels build``.
"""

from __future__ import annotations

import contextlib
import ctypes
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..cell import Kernel
from . import operators
from .build import cache, environment
from .contract import Plan
from .operators import NAMESPACE

INSTALLED = Path(__file__).parents[1] / "_kernels_cuda.so"


@dataclass(frozen=True)
class State:
    """The library of CUDA operators and the kernels in it, or why there is none."""

    path: Path | None
    reason: str  # how it came to be, or what went wrong
    kernels: frozenset[str] = frozenset()
    matrix_limit: int = 0  # the most channels of a cell with matrices


#: What is known so far; None while nothing is loaded and nobody has asked.
state: State | None = None


def state_of(path: Path, reason: str) -> State:
    """Of a library that torch has loaded."""
    library = ctypes.CDLL(str(path))
    kernels = frozenset(
        name for name in operators.KERNELS if library.lrnn_gpu_serves(name.encode())
    )
    return State(path, reason, kernels, library.lrnn_gpu_matrix_limit())


def current() -> State:
    """The library, compiled if it must be; or why there is none."""
    global state
    if state is None:
        state = _load()
    return state


def missing(device: str) -> str:
    """Why tensors on this type of device cannot run in these kernels; "" if they can."""
    if current().path is None:
        return current().reason
    return (
        "" if device == "cuda" else f"the CUDA kernels run CUDA tensors, got tensors on {device!r}"
    )


def serves(kernel: Kernel) -> bool:
    """Whether there is a CUDA kernel of this name."""
    return kernel.name in current().kernels


def too_wide(kernel: Kernel, channels: int) -> str:
    """Why a kernel cannot take so many channels, or ""; only where matrices lie in registers is
    there a limit."""
    limit = current().matrix_limit
    return (
        f"its CUDA kernel holds up to {limit} channels, got {channels}"
        if kernel.engine == "matrix" and channels > limit
        else ""
    )


def plan(kernel: Kernel, inputs: list[Tensor], params: list[Tensor], numbers: list[float]) -> Plan:
    """How a forward pass would be launched."""
    found = getattr(torch.ops, NAMESPACE).plan(kernel.name, inputs, params, False, numbers)
    if kernel.engine == "matrix":
        blocks, groups, elements = found
        share = (
            f"{groups} group(s) of {blocks} block(s) that share the channels of {elements} "
            "batch element(s) at a time"
        )
        return Plan("CUDA", layout=share)
    lanes, groups, chunk, blocks = found
    layout = (
        f"{blocks} block(s) of {lanes} lanes x {groups} threads that share a lane's steps, "
        f"in chunks of {chunk} steps"
    )
    return Plan("CUDA", steps_per_task=chunk, layout=layout)


def load() -> None:
    """What importing the package does: a library that is there is loaded."""
    global state
    with contextlib.suppress(cache.NotCompiled):
        state = _load(compile=False)


def _load(compile: bool = True) -> State:
    """Raises NotCompiled where there is none and compile is False."""
    mode = environment.cuda()
    if mode == "0":
        return State(None, "switched off by LRNN_CUDA=0")
    if mode == "auto" and not torch.version.cuda:
        return State(None, f"torch {torch.__version__} has no CUDA")
    here = mode == "1" or torch.cuda.device_count() > 0
    try:
        path, reason = cache.cuda(INSTALLED, Path(torch.__file__).parent, compile=compile and here)
        torch.ops.load_library(str(path))
    except cache.NotCompiled as error:
        if compile:
            return State(None, "no GPU is here, and no compiled operators are installed")
        raise error
    except (OSError, RuntimeError) as error:
        if mode == "1":
            raise RuntimeError(f"LRNN_CUDA=1 asks for the CUDA operators, but: {error}") from error
        if here:
            warnings.warn(
                f"lrnn_kernels has no CUDA operators: {error}", RuntimeWarning, stacklevel=2
            )
        return State(None, str(error))
    return state_of(path, reason)
