"""What a library runs on and beside, in words: system, processor, GPUs, compilers, packages. For
``python -m lrnn_kernels info``; nothing here fails for what a machine lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .backends.build import environment, toolchain

#: Variables beside this package's own that decide what is compiled and how it runs.
VARIABLES = (
    "CXX",
    "CUDACXX",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "MAX_JOBS",
    "OMP_NUM_THREADS",
    "TRITON_INTERPRET",
    "XDG_CACHE_HOME",
)


def revision(checkout: Path) -> str:
    """The commit of a checkout, and whether files differ from it; "" where there is none."""
    if not (checkout / ".git").exists():
        return ""
    said = _said("git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*")
    return said.replace("-dirty", " with changes")


def python() -> str:
    kind = f"{platform.python_implementation()} {platform.python_version()}"
    where = ", in a virtual environment" if sys.prefix != sys.base_prefix else ""
    return f"{kind}, {platform.python_compiler()}{where}"


def system() -> str:
    """Kernel, C library and distribution."""
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    return ", ".join(filter(None, (kernel, " ".join(platform.libc_ver()), name)))


def processor() -> str:
    """Its name, the cores that this process may use, and the best instruction set of ours that it
    runs."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    name = found[1].strip() if found else platform.processor() or platform.machine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {usable} of {os.cpu_count()} cores, {toolchain.host_isa()}"


def driver() -> str:
    """The NVIDIA driver's version, or what else is known of it."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return "no NVIDIA driver"
    found = re.search(r"Module\D*([\d.]+)", text)
    return f"driver {found[1]}" if found else text.splitlines()[0]


def compiler() -> str:
    return _of_compiler(toolchain.find_compiler)


def nvcc() -> str:
    return _of_compiler(toolchain.find_nvcc)


def _of_compiler(find) -> str:
    try:
        found = find()
    except (OSError, ValueError) as error:
        return f"none: {error}"
    if found is None:
        return "none"
    lines = found.version.strip().splitlines()
    release = [line for line in lines if "release" in line] or lines  # nvcc's first is its name
    return f"{release[0] if release else 'says nothing'} ({' '.join(found.command)})"


def packages(*names: str) -> str:
    return ", ".join(f"{name} {version(name) or 'missing'}" for name in names)


def version(package: str) -> str:
    """Of an installed package; "" where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def extras(package: str = "lrnn-kernels") -> str:
    """Which of a package's extras are there, and what the others lack."""
    try:
        about = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return "not known: the package is not installed, only imported"
    wanted = list(_wanted(about.get_all("Requires-Dist") or []))
    there, lacking = [], []
    for extra in about.get_all("Provides-Extra") or []:
        missing = [name for name in _of_extra(extra, wanted, package) if not version(name)]
        if missing:
            lacking.append(f"{extra} ({', '.join(missing)})")
        else:
            there.append(extra)
    return f"{', '.join(there) or 'none'}; lacking: {', '.join(lacking) or 'none'}"


def _wanted(requirements: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(extra, package, that package's extras) of what extras require."""
    for text in requirements:
        found = re.match(r"([\w.-]+)(?:\[([^\]]*)\])?", text)
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", text)
        if found and extra:
            yield extra[1], found[1], re.findall(r"[\w-]+", found[2] or "")


def _of_extra(extra: str, wanted: list[tuple[str, str, list[str]]], package: str) -> list[str]:
    """The packages of an extra, those of extras that it names among them."""
    found = []
    for name, other, further in wanted:
        if name == extra and other == package:
            found += [one for inner in further for one in _of_extra(inner, wanted, package)]
        elif name == extra:
            found.append(other)
    return list(dict.fromkeys(found))


#: How many libraries of a cache are told one by one.
_SHOWN = 8


def cache() -> list[str]:
    """Where compiled libraries are kept, and which are the newest."""
    try:
        folder = environment.cache()
    except (RuntimeError, ValueError) as error:
        return [f"none: {error}"]
    if not folder.is_dir():
        return [f"{folder}: nothing yet"]
    libraries = sorted(folder.glob("*.so"), key=_time, reverse=True)
    objects = list((folder / "objects").glob("*.o"))
    size = sum(_bytes(path) for path in [*libraries, *objects]) / 2**20
    said = f"{folder}: {len(libraries)} libraries, {len(objects)} objects, {size:.0f} MiB"
    older = len(libraries) - _SHOWN
    told = [path.name for path in libraries[:_SHOWN]]
    return [said, *told, *([f"and {older} older ones"] if older > 0 else [])]


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # another process deleted it
        return 0


def variables() -> str:
    """Those that are set, of this package and of what it uses."""
    found = sorted(name for name in os.environ if name.startswith("LRNN_") or name in VARIABLES)
    return ", ".join(f"{name}={os.environ[name]!r}" for name in found) or "none set"


def without_home(text: str) -> str:
    """The same, the home folder as ~: what is shown to others need not name its owner."""
    home = os.path.expanduser("~").rstrip("/")
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if home else text


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
