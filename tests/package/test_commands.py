"""``python -m lrnn_kernels``: the check finds what is wrong, the information is true."""

import email
import os
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import lrnn_kernels
from lrnn_kernels import machine, testing
from lrnn_kernels.__main__ import main
from lrnn_kernels.backends import cpu
from lrnn_kernels.backends.build import environment, toolchain
from lrnn_kernels.calls import autograd
from lrnn_kernels.cells import CELLS, KERNELS
from lrnn_kernels.testing import check


def test_info(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in (
        lrnn_kernels.__version__,
        cpu.extension().reason,
        torch.__version__,
        "backend cpu",
        "backend reference",
        "output pool",
    ):
        assert word in text
    assert str(Path.home()) not in text


def test_info_tells_what_an_issue_needs(capsys, monkeypatch, tmp_path):
    """Versions, machine, compilers, packages, variables and what the cache holds."""
    (tmp_path / "kernels-of-old.so").touch()
    monkeypatch.setattr(environment, "cache", lambda: tmp_path)
    monkeypatch.setenv("LRNN_POOL_MB", "77")
    monkeypatch.setenv("SECRET_OF_OTHERS", "hidden")
    assert main(["info"]) == 0
    said = dict(re.findall(r"^(\S.*?)  +(.*)$", text := capsys.readouterr().out, re.M))
    assert platform.python_version() in said["Python"]
    assert platform.release() in said["system"]
    assert platform.libc_ver()[1] in said["system"]
    assert f"numpy {np.__version__}" in said["packages"]
    assert toolchain.host_isa() in said["processor"]
    assert toolchain.find_compiler().command[0] in said["C++ compiler"]
    assert "LRNN_POOL_MB='77'" in said["variables"]
    assert "hidden" not in text
    assert said["cache"].endswith("1 libraries, 0 objects, 0 MiB")
    assert "kernels-of-old.so" in text
    assert {"package", "CUDA", "CUDA compiler", "extras", "torch"} <= said.keys()


def test_of_a_full_cache_the_newest_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "cache", lambda: tmp_path)
    for age in range(20):
        (tmp_path / f"kernels-{age}.so").touch()
        os.utime(tmp_path / f"kernels-{age}.so", (10**9 - age,) * 2)
    first, *told, last = machine.cache()
    assert "20 libraries" in first
    assert told == [f"kernels-{age}.so" for age in range(8)]
    assert last == "and 12 older ones"


def test_the_revision_is_the_checkouts(tmp_path):
    def git(*arguments: str) -> str:
        settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path))
        return subprocess.run(
            ["git", *settings, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert machine.revision(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "one")
    git("tag", "not-a-revision")
    revision = git("rev-parse", "--short", "HEAD")
    assert machine.revision(tmp_path) == revision
    (tmp_path / "file").write_text("two")
    assert machine.revision(tmp_path) == f"{revision} with changes"


def test_extras_are_those_whose_packages_are_there(monkeypatch):
    about = email.message_from_string(
        "Provides-Extra: a\nProvides-Extra: b\nProvides-Extra: c\n"
        "Requires-Dist: torch>=2.11\n"
        'Requires-Dist: numpy; extra == "a"\n'
        'Requires-Dist: nowhere-to-be-found>=2; (python_version > "3") and extra == "b"\n'
        "Requires-Dist: ours[a,b]; extra == 'c'\n"
    )
    monkeypatch.setattr(machine.importlib.metadata, "metadata", lambda name: about)
    assert machine.extras("ours") == (
        "a; lacking: b (nowhere-to-be-found), c (nowhere-to-be-found)"
    )


def test_the_home_folder_is_not_shown(monkeypatch, tmp_path):
    home = str(tmp_path / "anna")
    monkeypatch.setenv("HOME", home)
    text = f"{home}/x, CXX='{home}', {home}bel, {home}.b"
    assert machine.without_home(text) == f"~/x, CXX='~', {home}bel, {home}.b"
    monkeypatch.setenv("HOME", "/")
    assert machine.without_home("/usr") == "/usr"


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["check", "--twice"]], ids=str)
def test_an_unknown_command_shows_the_usage(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("usage: python -m lrnn_kernels")
    assert not captured.out


def test_check_covers_every_kernel():
    """A kernel that the check does not reach would be trusted unseen."""

    reached = {(call.kernel.name, call.dtype) for cell in CELLS for call in check.calls(cell)}
    for kernel in KERNELS:
        dtypes = {dtype for k, dtype in reached if k == kernel}
        cells = [
            cell
            for cell in CELLS.values()
            for o in testing.variants(cell.name)
            if KERNELS[kernel] in (cell.kernel(o, False), cell.kernel(o, True))
        ]
        assert dtypes >= {dtype for cell in cells for dtype in cell.dtypes}


def test_check_passes_and_reports():
    seen = []
    report = check.run_check(cells=["min_gru"], progress=seen.append)
    assert report.ok
    assert seen == report.rows
    per_backend = len(CELLS["min_gru"].kernels) * len(CELLS["min_gru"].dtypes)
    assert len(report.rows) == per_backend * sum(
        not missing for missing in testing.backends().values()
    )
    assert "0 failed" in str(report)


def _wrong(name: str, change):
    """The compiled operators, with one tensor of a result changed."""
    real = getattr(autograd, name)

    def wrapped(*args, **kwargs):
        return change(list(real(*args, **kwargs)))

    return wrapped


DEFECTS = {
    "a sign in the gradient of an input": ("run_backward", lambda out: [-out[0], *out[1:]]),
    "a missing gradient of the initial state": (
        "run_backward",
        lambda out: [*out[:-2], torch.zeros_like(out[-2]), out[-1]],
    ),
    "a gradient a thousandth off": ("run_backward", lambda out: [out[0] * 1.001, *out[1:]]),
    "one wrong value in the last channel": (
        "run_forward",
        lambda out: [torch.cat([out[0][..., :-1], out[0][..., -1:] + 0.01], -1), *out[1:]],
    ),
    "a final state that was not written": (
        "run_forward",
        lambda out: [out[0], out[1] * float("nan"), out[2]],
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_check_finds_a_defect(defect, monkeypatch):
    """A check that cannot fail is none."""
    name, change = DEFECTS[defect]
    monkeypatch.setattr(autograd, name, _wrong(name, change))
    report = check.run_check(cells=["linear_scan_per_channel"], backends=["cpu"])
    wide = [
        row for row in report.rows if row.dtype not in testing.HALVES
    ]  # a thousandth is below the rounding of 16 bits
    assert wide
    assert all(not row.ok for row in wide)
    assert "FAIL" in str(report)


def test_check_finds_a_bit(monkeypatch):
    """A BMRU that is off by one bit passes every tolerance and fails the comparison of bits."""

    def change(out):
        return [out[0].nextafter(torch.full((), 9.0, dtype=out[0].dtype)), *out[1:]]

    monkeypatch.setattr(autograd, "run_forward", _wrong("run_forward", change))
    rows = [
        row
        for row in check.run_check(cells=["bmru"], backends=["cpu"]).rows
        if row.dtype == torch.float64
    ]
    assert rows
    assert all(row.value.ok and row.bits is False and not row.ok for row in rows)


def test_check_reports_an_exception(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the kernel is on fire")

    monkeypatch.setattr(autograd, "run_forward", broken)
    report = check.run_check(cells=["min_gru"], backends=["cpu"])
    assert not any(row.ok for row in report.rows)
    assert "RuntimeError: the kernel is on fire" in str(report)


def test_check_of_a_missing_backend_raises():
    with pytest.raises(RuntimeError, match="'nowhere' cannot be checked: no such backend"):
        check.run_check(backends=["nowhere"])


def test_a_check_of_nothing_is_no_success():
    assert not check.Report([], {}).ok


def test_check_of_some_cells(capsys):
    assert main(["check", "min_gru"]) == 0
    count = len(CELLS["min_gru"].kernels) * len(CELLS["min_gru"].dtypes)
    assert f"{count} checked, 0 failed" in capsys.readouterr().out


def test_check_of_an_unknown_cell_names_those_there_are(capsys):
    assert main(["check", "maxi_gru"]) == 1
    assert "min_gru" in capsys.readouterr().err
