"""A stranger's day: the guide to a new recurrence, followed to the letter in a copy of the tree."""

import os
import shutil
import subprocess
import sys

import pytest

from tests import ROOT

from .guide import edits

GUIDE = ROOT / "docs" / "adding_a_cell.md"
#: What the guide promises: files that are touched by hand.
FILES = {("An affine cell",): 6, ("A step cell", "Its layer"): 8, ("A cell with matrices",): 5}
IGNORED = shutil.ignore_patterns("__pycache__", ".[!c]*", "*.so", "*.hash", "results")


def test_as_few_files_as_it_says():
    found = edits(GUIDE.read_text())
    assert set(found) == {title for titles in FILES for title in titles}
    for titles, count in FILES.items():
        assert len({edit.path for title in titles for edit in found[title]}) == count


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository in which the guide has been followed."""
    root = tmp_path_factory.mktemp("stranger") / "lrnn-kernels"
    shutil.copytree(ROOT, root, ignore=IGNORED)
    (root / "benchmarks" / "results").symlink_to(ROOT / "benchmarks" / "results")
    for made in edits(GUIDE.read_text()).values():
        for edit in made:
            edit.apply(root)
    return root


#: What is installed in this Python for editing must not stand in for parts of the copy.
CUSTOMIZE = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if "Editable" not in getattr(f, "__name__", "")]
"""


def run(tree, *arguments: str) -> str:
    site = tree.parent / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(CUSTOMIZE)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{tree}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_the_code_reads_as_ours(tree):
    run(tree, "docs/tables.py")
    run(tree, "-m", "pytest", "tests/package/test_style.py", "tests/package/test_structure.py")


def test_nothing_else_waits_for_an_edit(tree):
    """But the tables of what kernels take of a GPU, which nvcc measures."""
    files = ["tests/package/test_benchmarks.py", "tests/package/test_readme.py"]
    files += [f"tests/backends/cuda/test_{name}.py" for name in ("plan", "resources")]
    files += ["tests/package/test_csrc.py", "tests/backends/triton/test_structure.py"]
    run(tree, "docs/tables.py")
    run(tree, "-m", "pytest", *files, "-k", "not the_table_is_of_these_sources")


def test_the_new_cells_pass_the_check(tree):
    assert " 0 failed" in run(tree, "-m", "lrnn_kernels", "check", "leaky", "ind_rnn", "elman")


@pytest.mark.parametrize("room", ["promises", "layers", "backends/cuda", "backends/triton"])
def test_the_new_cells_keep_every_promise(tree, room):
    """The tests pick them up by themselves, under their names."""
    chosen = "(leaky or ind_rnn or elman) and not resources"
    out = run(tree, "-m", "pytest", f"tests/{room}", "-k", chosen, "-p", "no:cacheprovider")
    assert " passed" in out
