"""How the code reads: the formatters agree, files stay short, and the lists that name a cell
name every cell."""

import subprocess
import sys

import pytest

from tests import ROOT

CPP = sorted(
    p
    for folder in ("csrc", "tests")
    for p in (ROOT / folder).rglob("*")
    if p.suffix in (".h", ".cpp", ".cuh", ".cu")
)
PYTHON = sorted(
    p
    for folder in ("lrnn_kernels", "triton_kernels", "benchmarks", "tests")
    for p in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("arguments", [["check", "."], ["format", "--check", "."]], ids=" ".join)
def test_ruff(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_clang_format():
    # Not the program beside this Python, whose first line cannot name every folder.
    command = [sys.executable, "-c", "import clang_format; clang_format.clang_format()"]
    done = subprocess.run(
        [*command, "--dry-run", "--Werror", *CPP], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_stay_short():
    long = {
        str(p.relative_to(ROOT)): n
        for p in CPP + PYTHON
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
