"""A small library to build, and Python in a process of its own: what the tests of building
share."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from lrnn_kernels.backends.build import toolchain
from lrnn_kernels.backends.build.libraries import Library, Unit


def write(folder: Path, answer: str = "42") -> Path:
    """Sources of a library: a file, and two headers, one of which only a macro names."""
    (folder / "inner").mkdir(parents=True, exist_ok=True)
    (folder / "inner" / "answer.h").write_text(f"#define ANSWER {answer}\n")
    (folder / "one.cpp").write_text(
        '#include "inner/answer.h"\nextern "C" int one() { return ANSWER; }\n'
    )
    (folder / "two.cpp").write_text('#include LRNN_FILE\nextern "C" int two() { return 2; }\n')
    (folder / "macro.h").write_text("// named by a macro\n")
    return folder


def library(folder: Path, *flags: str) -> Library:
    flags = ("-fPIC", "-O1", *flags)
    units = (
        Unit("here", "one.cpp", flags, "one"),
        Unit("here", "two.cpp", (*flags, '-DLRNN_FILE="macro.h"'), "two", ("macro.h",)),
    )
    return Library("answers", toolchain.find_compiler(), units, (), {"here": folder})


def answer(path: Path) -> int:
    return ctypes.CDLL(str(path)).one()


def run(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """Runs Python in cwd, whose package is the one imported."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "LRNN_ISA", "LRNN_BUILD_ISAS", "LRNN_CUDA")
    }
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
