"""What is installed works: wheels with and without compiled kernels, every instruction set, and
machines without a compiler."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from benchmarks.cpu import install
from lrnn_kernels import __version__
from lrnn_kernels.backends import cpu
from lrnn_kernels.backends.build import cache, libraries, toolchain
from lrnn_kernels.backends.build.compiling import compile_library
from tests import ROOT

SHIPPED = [
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "NOTICE",
    "csrc",
    "lrnn_kernels",
    "triton_kernels",
]
#: What a source distribution has beside it.
BESIDE = [
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "MANIFEST.in",
    "SECURITY.md",
    "benchmarks",
    "docs",
    "tests",
]
ISAS = list(toolchain.X86_ISAS) if toolchain.is_x86() else ["baseline"]
RUNNABLE = ISAS[: ISAS.index(toolchain.host_isa()) + 1] if toolchain.is_x86() else ISAS


def _run(arguments: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs this Python in cwd, so that the package found there is the one imported."""
    ours = ("PYTHONPATH", "LRNN_ISA", "LRNN_BUILD_ISAS", "LRNN_CUDA")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def _copied(target: Path, names: list[str]) -> Path:
    """Parts of this checkout in a folder of their own, without what was compiled there."""
    target.mkdir(parents=True)
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                target / name,
                ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.hash", "out"),
            )
        else:
            shutil.copy(ROOT / name, target)
    return target


def _wheel(target: Path, source: Path | None = None, **environment: str) -> Path:
    """Builds a wheel of this checkout, or of a source, against the torch that runs the tests, and
    unpacks it into target."""
    source = source or _copied(target / "source", SHIPPED)
    pip = ["-m", "pip", "wheel", str(source), "--no-build-isolation", "--no-deps", "-q"]
    _run([*pip, "-w", str(target)], target, **environment)
    (wheel,) = target.glob("*.whl")
    unpacked = target / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    return wheel


@pytest.fixture(scope="session")
def portable(request) -> Path:
    """The unpacked wheel with kernels for every instruction set; kept between runs while the
    sources stay the same."""
    target = Path(request.config.cache.mkdir("wheel")) / libraries.digest("kernels")
    if not (target / "done").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _wheel(target)
        (target / "done").touch()
    return target


def test_a_compiled_wheel_fits_every_python(portable):
    (wheel,) = portable.glob("*.whl")
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    done = _run(
        ["-m", "lrnn_kernels", "info"], portable / "unpacked", LRNN_CACHE=str(portable / "unused")
    )
    assert (
        done.stdout.count("built at install time") == 2
    )  # the operators and the fixed-point network
    assert not (portable / "unused").exists()


def test_the_fixed_point_network_of_another_python_is_left_alone(portable, tmp_path):
    """It does not fit, so that one that does is compiled."""
    shutil.copytree(portable / "unpacked", tmp_path / "unpacked")
    for path in (tmp_path / "unpacked" / "lrnn_kernels").glob("_fixed_point.*"):
        path.rename(path.with_name("_fixed_point.cpython-27-other" + path.suffix))
    script = (
        "from lrnn_kernels.fixed_point import library; print(library.load()[2], "
        "library.compiled().isa())"
    )
    done = _run(
        ["-c", script],
        tmp_path / "unpacked",
        LRNN_CACHE=str(tmp_path / "cache"),
        LRNN_BUILD_ISAS="baseline",
    )
    assert done.stdout == "compiled on first use baseline\n"


@pytest.mark.parametrize("isa", RUNNABLE)
def test_every_instruction_set_passes_the_check(portable, isa):
    """What the portable build runs on an older processor, run here."""
    assert (
        f"{isa}, of"
        in _run(["-m", "lrnn_kernels", "info"], portable / "unpacked", LRNN_ISA=isa).stdout
    )
    checked = _run(["-m", "lrnn_kernels", "check"], portable / "unpacked", LRNN_ISA=isa).stdout
    assert "0 failed" in checked
    assert "compared bit for bit, 0 differ" in checked


EDGES = """
import torch
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.promises import edge_cases

for cell, options in edge_cases.variants():
    for dtype in CELLS[cell].dtypes:
        case = edge_cases.planted(cell, options, dtype, reset=True)
        found = edge_cases.differences(case, lambda call: testing.run(call, "cpu"))
        assert not found, (cell, options, dtype, *found)
"""


@pytest.mark.parametrize("isa", RUNNABLE)
def test_numbers_at_the_edge_on_every_instruction_set(portable, isa):
    """Infinity, NaN and others, as in test_edge_values.py: each set has conversions, clamps and
    powers of two of its own."""
    _run(
        ["-c", f"import sys; sys.path.append({str(ROOT)!r})\n{EDGES}"],
        portable / "unpacked",
        LRNN_ISA=isa,
    )


def test_instruction_sets_are_those_asked_for(monkeypatch):
    monkeypatch.delenv("LRNN_BUILD_ISAS", raising=False)
    monkeypatch.setenv("LRNN_ISA", ISAS[0])
    assert toolchain.isas_to_build(portable=False) == ISAS[:1]
    assert toolchain.isas_to_build(portable=True) == ISAS


@pytest.mark.skipif(
    not toolchain.is_x86(), reason="this machine's processors have one instruction set only"
)
@pytest.mark.parametrize(
    ("variable", "value"), [("LRNN_ISA", "sse9"), ("LRNN_BUILD_ISAS", "avx2,sse9")]
)
def test_an_unknown_instruction_set_is_an_error(monkeypatch, variable, value):
    monkeypatch.delenv("LRNN_BUILD_ISAS", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        ValueError, match=f"the environment variable {variable} must .*baseline.*, got '{value}'"
    ):
        toolchain.isas_to_build(portable=False)


def test_a_library_without_kernels_for_this_processor_is_not_used(monkeypatch):
    """As one that was compiled for a better processor: here, one that does not know what
    LRNN_ISA names."""
    path = cpu.extension().path
    schema = str(torch.ops.lrnn_kernels.linear.default._schema).removeprefix(
        "lrnn_kernels::"
    )  # a library implements, and defines none
    script = f"""
import ctypes, torch
library = torch.library.Library("lrnn_kernels", "FRAGMENT")
library.define({schema!r})
torch.ops.load_library({str(path)!r})
isa = ctypes.CDLL({str(path)!r}).lrnn_isa
isa.restype = ctypes.c_char_p
print(isa().decode())
x = torch.ones(1, 2, 3)
try:
    torch.ops.lrnn_kernels.linear([x, x], [], [], None, None, None, False, False)
except RuntimeError as error:
    print(error)
"""
    isa, error = _run(["-c", script], ROOT, LRNN_ISA="sse9").stdout.split("\n", 1)
    assert "linear: no CPU kernel for this dtype, or none for this processor" in error
    monkeypatch.delenv("LRNN_ISA", raising=False)
    with pytest.raises(RuntimeError, match=f"{path.name} has no kernels for this processor"):
        cache.check_isa(path, isa)


@pytest.mark.parametrize("version", ["clang version 22.1.8", "g++ (Debian 12.2.0-14) 12.2.0"])
def test_clang_gets_no_flags_that_are_errors_to_it(tmp_path, monkeypatch, version):
    compiler, log = tmp_path / "c++", tmp_path / "log"
    compiler.write_text(
        f"""#!/bin/sh
[ "$1" = --version ] && {{ echo '{version}'; exit; }}
echo "$@" >> {log}
while [ $# -gt 1 ]; do
  case "$1" in -o) : > "$2" ;; esac
  shift
done
"""
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    library = libraries.operators(["baseline"], toolchain.find_compiler(), tmp_path)
    compile_library(library, tmp_path / "kernels.so", tmp_path / "objects")
    given = log.read_text()
    assert "-DLRNN_CELL=linear " in given
    assert "-ffp-contract=fast" in given
    for flag in ("-fsched-pressure", "-Wno-maybe-uninitialized"):
        assert (flag in given) == ("clang" not in version)


def _kept(folder: Path) -> list[Path]:
    """The files that a folder of this checkout is made of: not what was made there."""
    return [
        path
        for path in folder.rglob("*.*")
        if path.suffix in (".py", ".h", ".cpp", ".cu", ".cuh", ".md", ".vhd", ".safetensors")
        and not {"out", "build"} & set(path.relative_to(folder).parts)
    ]


def _sources(target: Path) -> Path:
    """A source distribution of this checkout."""
    copy = _copied(target / "checkout", [*SHIPPED, *BESIDE])
    script = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    _run(["-c", script, str(target)], copy)
    (made,) = target.glob("*.tar.gz")
    return made


def test_a_source_distribution_holds_all_and_makes_a_pure_wheel(tmp_path):
    """Tests, documents and benchmarks beside the package. Without torch or a compiler at build
    time, the sources travel and are compiled on first use."""
    made = _sources(tmp_path)
    assert made.name == f"lrnn_kernels-{__version__}.tar.gz"
    with tarfile.open(made) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for name in [*SHIPPED, *BESIDE]:
        files = [ROOT / name] if (ROOT / name).is_file() else _kept(ROOT / name)
        missing = {str(path.relative_to(ROOT)) for path in files} - held
        assert not missing
    assert not [name for name in held if name.endswith((".so", ".hash", ".pyc"))]
    wheel = _wheel(tmp_path, made, LRNN_BUILD="0")
    assert wheel.name.endswith("-py3-none-any.whl")
    script = (
        "from lrnn_kernels.backends.build import libraries; print(*map(libraries.digest, "
        "('kernels', 'fixed_point', 'kernels-cuda')))"
    )
    done = _run(["-c", script], tmp_path / "unpacked")
    assert done.stdout.split() == [
        libraries.digest(name) for name in ("kernels", "fixed_point", "kernels-cuda")
    ]
    (tmp_path / "measured").mkdir()
    measured = install.measure(wheel, tmp_path / "measured", 1)
    assert measured["without_compiler"] == "reference"
    assert 0.5 < measured["mib"] < 5
    assert len(install.cells({**measured, "build_s": None})) == len(install.HEADER)
    installed = tmp_path / "unpacked" / "lrnn_kernels"
    for kind in ("*.py", "*.safetensors", "*.vhd", "py.typed"):
        expected = [path.relative_to(ROOT) for path in (ROOT / "triton_kernels").rglob(kind)]
        own = ROOT / "lrnn_kernels"
        expected += [path.relative_to(own) for path in own.rglob(kind)]
        assert expected
        assert sorted(expected) == sorted(
            path.relative_to(installed) for path in installed.rglob(kind)
        )


BUILT_IN_PLACE = """
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find(name, *rest)
sys.argv = ["setup.py", "-q", "build_ext", "--inplace"]
runpy.run_path("setup.py")
"""


def test_an_editable_installation_loads_what_it_built(tmp_path):
    """Where pip isolates the build, which then has no torch: the fixed-point network alone."""
    checkout = _copied(tmp_path / "checkout", SHIPPED)
    _run(["-c", BUILT_IN_PLACE], checkout, LRNN_BUILD_ISAS="baseline")
    script = "from lrnn_kernels.fixed_point import library; print(library.load()[2])"
    done = _run(["-c", script], checkout, LRNN_CACHE=str(tmp_path / "cache"))
    assert done.stdout == "built at install time\n"
    assert done.stderr == ""


def test_without_a_compiler_the_reference_runs_with_one_warning(tmp_path):
    script = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch, lrnn_kernels
    y, _ = lrnn_kernels.min_gru(torch.zeros(1, 3, 2), torch.ones(1, 3, 2))
ours = [w for w in caught if "lrnn_kernels" in str(w.message)]
assert len(ours) == 1 and "no C++ compiler" in str(ours[0].message), ours
torch.testing.assert_close(y[0, :, 0], torch.tensor([0.5, 0.75, 0.875]))
try:
    lrnn_kernels.min_gru(torch.zeros(1, 3, 2), torch.ones(1, 3, 2), backend="cpu")
except RuntimeError as error:
    assert "no C++ compiler" in str(error)
else:
    raise AssertionError("a named backend must run or raise")
"""
    _run(["-c", script], ROOT, PATH=str(tmp_path), CXX="", LRNN_CACHE=str(tmp_path / "cache"))
