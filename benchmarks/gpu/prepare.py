"""Compiled kernels in a folder of their own: made on one machine, with or without a GPU, taken on
another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .workers import ROOT

#: What GPUs of the Hopper generation run.
ARCHITECTURES = "90"
#: A library in a cache: its kind, digest, machine and what it is compiled for; see
#: lrnn_kernels/backends/build/cache.py.
NAME = re.compile(r"(kernels|kernels-cuda)-([0-9a-f]{16})-(\w+?)-(.+)\.so")


def prepare(folder: Path) -> int:
    """Compiles what a proof needs into a folder; 1 if that cannot be.

    LRNN_CUDA_ARCHITECTURES says for which GPUs, Hopper by default, and LRNN_BUILD_ISAS for which
    processors, this one by default ("all": any).
    """
    began, objects = time.monotonic(), folder / "objects"
    is_new = not objects.exists()
    environment = {"LRNN_CUDA_ARCHITECTURES": ARCHITECTURES, **os.environ}
    environment |= {"LRNN_CACHE": str(folder.absolute()), "LRNN_CUDA": "1"}
    command = [sys.executable, "-m", "lrnn_kernels", "build"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        return 1
    if is_new:  # a folder that is carried holds what is loaded, and no more
        shutil.rmtree(objects, ignore_errors=True)
    found = libraries(folder)
    size = sum(path.stat().st_size for path in found) / 2**20
    print(f"{folder}: {size:.0f} MiB, in {time.monotonic() - began:.0f} s")
    print("\n".join(f"  {path.name}" for path in found))
    print(f"Take it with python -m benchmarks gpu --library {folder}")
    return 0


def libraries(folder: Path) -> list[Path]:
    """The libraries in a folder, the newest last."""
    found = [path for path in folder.glob("*.so") if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def take(folder: Path) -> dict[str, str]:
    """The environment in which the kernels of a prepared folder are found. Raises ValueError where
    it has none.

    They are copied to a folder that is this user's alone: kernels are loaded from no other, and a
    folder that was carried here may be anybody's.
    """
    found = libraries(folder) if folder.is_dir() else []
    if not any(path.name.startswith("kernels-cuda-") for path in found):
        raise ValueError(
            f"--library must name a folder that python -m benchmarks gpu prepare made, got {folder}"
        )
    mine = Path(tempfile.mkdtemp(prefix="lrnn-prepared-"))
    for path in folder.iterdir():
        if path.suffix in (".so", ".hash"):
            shutil.copyfile(path, mine / path.name)
    environment = {"LRNN_CACHE": str(mine)}
    for path in found:
        kind, _, _, targets = NAME.fullmatch(path.name).groups()
        if kind == "kernels-cuda":
            names = re.findall(r"sm_(\d+[a-z]?(?:-virtual)?)", targets)
            environment["LRNN_CUDA_ARCHITECTURES"] = ",".join(names)
        else:
            environment["LRNN_BUILD_ISAS"] = targets.replace("-", ",")
    return environment
