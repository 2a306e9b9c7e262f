"""Every environment variable that this package reads: parsed here, and refused here, by name, where
it makes no sense.

An empty value is as good as none. Paths may be relative to the working folder or begin with ``~``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection
from pathlib import Path


def refuse(name: str, expected: str, got: str) -> ValueError:
    return ValueError(f"the environment variable {name} must {expected}, got {got!r}")


def text(name: str) -> str:
    """The value without white space around it."""
    return os.environ.get(name, "").strip()


def choice(name: str, allowed: Collection[str], default: str) -> str:
    value = text(name) or default
    if value not in allowed:
        raise refuse(name, f"be one of {', '.join(allowed)}", value)
    return value


def several(name: str, allowed: Collection[str]) -> list[str] | None:
    """Of a comma-separated list, in the order of what is allowed; "all" is all of them. None if
    the variable is not set."""
    value = text(name)
    names = [part.strip() for part in value.split(",")]
    if not value:
        return None
    if value == "all":
        return list(allowed)
    if not set(names) <= set(allowed):
        raise refuse(name, f"be all, or some of {','.join(allowed)}", value)
    return [one for one in allowed if one in names]


def path(name: str) -> Path | None:
    value = os.environ.get(name, "")
    return absolute(value) if value.strip() else None


def absolute(value: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(value)))


def command(name: str) -> list[str] | None:
    """A program and its leading arguments, as "ccache g++"."""
    value = text(name)
    if not value:
        return None
    try:
        return shlex.split(value)
    except ValueError as error:
        raise refuse(name, f"be a command as a shell would read it ({error})", value) from None


def build() -> bool:
    """LRNN_BUILD: whether an installation compiles."""
    return choice("LRNN_BUILD", ("0", "1"), "1") == "1"


def cuda() -> str:
    """LRNN_CUDA: "0", no CUDA operators; "1", they must be there; "auto", where torch has CUDA."""
    return choice("LRNN_CUDA", ("0", "1", "auto"), "auto")


def cuda_architectures(default: list[str]) -> list[str]:
    """LRNN_CUDA_ARCHITECTURES: GPUs to make code for (90,100); 90-virtual is PTX alone."""
    value = text("LRNN_CUDA_ARCHITECTURES")
    names = [part.strip() for part in value.split(",")] if value else default
    if not all(re.fullmatch(r"[1-9]\d+[a-z]?(-virtual)?", name) for name in names):
        raise refuse(
            "LRNN_CUDA_ARCHITECTURES", "list compute capabilities, as 90,100 or 90-virtual", value
        )
    return names


def cache() -> Path:
    """LRNN_CACHE: where compiled libraries are kept; else lrnn_kernels in $XDG_CACHE_HOME, else
    in ~/.cache."""
    wanted = path("LRNN_CACHE")
    if wanted is not None:
        if wanted.exists() and not wanted.is_dir():
            raise refuse("LRNN_CACHE", "name a folder", str(wanted))
        return wanted
    base = os.environ.get(
        "XDG_CACHE_HOME", ""
    )  # whose specification says that a relative one is to be ignored
    if os.path.isabs(base):
        return Path(base) / "lrnn_kernels"
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise RuntimeError(
            "no home folder is known; the environment variable LRNN_CACHE names a folder for "
            "compiled kernels"
        )
    return Path(home) / ".cache" / "lrnn_kernels"


def pool_megabytes() -> int | None:
    """LRNN_POOL_MB: how much memory outputs may keep, in MiB; None where it is not set."""
    value = os.environ.get("LRNN_POOL_MB")  # as it is: C++ reads it, too
    most = (2**63 - 1) >> 20
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 20 or int(value) > most:
        raise refuse("LRNN_POOL_MB", f"be an integer from 0 to {most}, in MiB", value)
    return int(value)


def max_jobs() -> int | None:
    """MAX_JOBS, as torch's own extensions take it: how many files to compile at a time."""
    value = text("MAX_JOBS")
    if value and not re.fullmatch(r"[1-9]\d{0,4}", value):
        raise refuse("MAX_JOBS", "be a whole number of at least 1", value)
    return int(value) if value else None


def of_compilers() -> dict[str, str]:
    """This environment for compilers that run in another folder: their lists of folders may be
    relative to ours."""
    lists = (
        "CPATH",
        "C_INCLUDE_PATH",
        "CPLUS_INCLUDE_PATH",
        "LIBRARY_PATH",
        "COMPILER_PATH",
        "GCC_EXEC_PREFIX",
        "TMPDIR",
    )
    changed = {name: os.environ[name] for name in lists if os.environ.get(name)}
    for name, value in changed.items():
        parts = value.split(os.pathsep) if name != "TMPDIR" else [value]
        # A trailing slash means something to GCC_EXEC_PREFIX, an empty part to the lists: the
        # folder that we are in.
        changed[name] = os.pathsep.join(os.path.join(os.getcwd(), part) for part in parts)
    return {**os.environ, **changed}
