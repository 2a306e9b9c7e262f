"""What was measured on: everything that a number in results/ depends on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path

import torch

import lrnn_kernels
from lrnn_kernels.backends import cpu
from lrnn_kernels.backends.build import libraries, toolchain


def describe() -> dict:
    """Processor, caches, threads, versions and date, for the JSON."""
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "caches": caches(),
        "memory_gb": round(memory_bytes() / 1e9, 1),
        "isa": cpu.extension().library.lrnn_isa().decode() if cpu.ready() else None,
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "system": platform.platform(),
        "compiler": _compiler(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lrnn_kernels": lrnn_kernels.__version__,
        "sources": libraries.digest("kernels"),
        "packages": {
            name: version
            for name in ("numpy", "scipy", "numba", "scikit-learn", "jax", "brian2")
            if (version := _version(name))
        },
    }


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slug(machine: dict) -> str:
    """A file name: the date and the processor."""
    words = re.sub(
        r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores {machine['isa']}".lower()
    ).strip("-")
    return f"{machine['date'][:10]}-{words}"


def cpu_model() -> str:
    """The processor's name, with the family and model that virtual machines leave when they hide
    the rest of it."""
    about = dict(
        re.findall(
            r"^(model name|cpu family|model)\s*: (.*)$", _read("/proc/cpuinfo") or "", re.MULTILINE
        )
    )
    if "model name" not in about:
        return platform.processor() or platform.machine()
    name = about["model name"].strip()
    return (
        f"{name} (family {about['cpu family']} model {about['model']})" if len(about) == 3 else name
    )


def caches() -> dict[str, str]:
    """Size of each cache of the first core, "L2": "1024K"."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(index / part) for part in ("level", "type", "size"))
        if kind != "Instruction" and size:
            sizes[f"L{level}"] = size
    return sizes


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _compiler() -> str | None:
    compiler = toolchain.find_compiler()
    if compiler is None:
        return None
    return compiler.version.splitlines()[0]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
