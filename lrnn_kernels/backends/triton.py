"""Whether the Triton kernels can run, and why not; imports triton and registers their operators
when that is first asked.

On a torch that knows a GPU, or with the interpreter asked for, they are registered as the package
is imported: torch.compile cannot do it while it traces.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ..cell import Kernel
from .contract import Plan
from .operators import NAMESPACE_TRITON

NAMESPACE = NAMESPACE_TRITON

_INTERPRETER = (
    "Triton runs CPU tensors only in its interpreter, for tests: set "
    "TRITON_INTERPRET=1 before the first import of lrnn_kernels"
)

_failure: str | None = (
    None  # why the kernels cannot be loaded; "" once they are, None while nobody has asked
)
_operators: ModuleType | None = None  # triton_kernels.operators, once it is loaded


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def missing(device: str) -> str:
    """Why tensors on this type of device cannot run in Triton; "" if they can."""
    if device == "cpu" and not interpreted():
        return _INTERPRETER
    if device not in ("cpu", "cuda", "meta"):
        return f"the Triton kernels run CUDA and HIP tensors, got tensors on {device!r}"
    return failure() if _failure is None else _failure


def serves(kernel: Kernel) -> bool:
    """Whether there is a Triton kernel of this name; asked after ``missing``."""
    return kernel.name in _operators.CELLS


def too_wide(kernel: Kernel, channels: int) -> str:
    """They take any number of channels."""
    return ""


def plan(kernel: Kernel, inputs: list[Tensor], params: list[Tensor], numbers: list[float]) -> Plan:
    """The channels and steps of a program of a forward pass."""
    channels, steps = _operators.plan(kernel.name, inputs, params)
    isa = f"Triton {importlib.metadata.version('triton')}"
    return Plan(
        isa,
        channels_per_task=channels,
        steps_per_task=steps,
        layout=f"programs of {channels} channels x {steps} steps",
    )


def load() -> None:
    """What importing the package does: on a torch that knows a GPU, or in the interpreter,
    operators are registered."""
    if importlib.util.find_spec("triton") and (
        torch.version.cuda or torch.version.hip or interpreted()
    ):
        failure()


def failure() -> str:
    """Imports the kernels and registers their operators, once; returns why that failed, or ""."""
    global _failure
    if _failure is None:
        _failure = _register()
    return _failure


def _register() -> str:
    global _operators
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install triton)"
    try:
        _find_kernels()
        from ..triton_kernels import operators

        operators.register()
    except (ImportError, RuntimeError, OSError) as error:
        return f"the Triton kernels could not be loaded: {error}"
    _operators = operators
    return ""


def _find_kernels() -> None:
    """Makes lrnn_kernels.triton_kernels importable in a checkout, where it lies beside this
    package instead of inside."""
    package = Path(__file__).resolve().parents[1]
    name, beside = f"{package.name}.triton_kernels", package.parent / "triton_kernels"
    if importlib.util.find_spec(name) is None and beside.is_dir():
        spec = importlib.util.spec_from_file_location(
            name, beside / "__init__.py", submodule_search_locations=[str(beside)]
        )
        kernels = importlib.util.module_from_spec(spec)
        sys.modules[name] = kernels
        spec.loader.exec_module(kernels)
