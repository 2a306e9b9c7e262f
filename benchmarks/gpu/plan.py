"""The plans of the CUDA kernels, as csrc/cuda/plan.cpp makes them, through ctypes."""

from __future__ import annotations

import ctypes
import functools
from ctypes import Structure, c_bool, c_int64
from pathlib import Path

from lrnn_kernels.backends.build import sources, toolchain
from lrnn_kernels.backends.build.cache import by_content
from lrnn_kernels.backends.build.libraries import Library, Unit


class Gpu(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("bytes_in_flight", "multiprocessors", "cache_bytes")]


class Problem(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("lanes", "T", "steps", "bytes_loaded")]


class Plan(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("lanes", "groups", "chunk")]


class StepProblem(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [
        *((name, c_int64) for name in ("B", "T", "C", "channels", "workspace_bytes")),
        ("may_cut", c_bool),
    ]


class MatrixProblem(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("B", "C", "terms", "vectors", "number_bytes")]


class MatrixLayout(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("blocks", "groups", "elements")]


class StepPlan(Structure):
    """csrc/cuda/plan.h."""

    _fields_ = [(name, c_int64) for name in ("channels", "threads", "blocks", "chunk")]


@functools.cache
def plans() -> ctypes.CDLL:
    """plan.cpp, compiled once into the cache."""
    compiler = toolchain.find_compiler()
    if compiler is None:
        raise RuntimeError("the plan of a launch is C++, and no C++ compiler was found")
    flags = ("-std=c++20", "-O1", "-fPIC")
    units = (
        Unit("benchmarks", "plan.cpp", flags, "gpu_plan"),
        Unit("csrc", "cuda/plan.cpp", flags, "plan"),
    )
    folders = {"benchmarks": Path(__file__).parent, "csrc": sources.csrc()}
    return ctypes.CDLL(str(by_content(Library("gpu-plan", compiler, units, (), folders))))
