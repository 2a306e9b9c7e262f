"""How the Triton kernels are built: short parameter lists, one place a cell, nothing compiled
for a length."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "triton_kernels"
FILES = sorted(KERNELS.rglob("*.py"))
TREES = {path.relative_to(KERNELS).as_posix(): ast.parse(path.read_text()) for path in FILES}
CELL_FILES = sorted(
    path.stem for path in (KERNELS / "cells").glob("*.py") if path.stem != "__init__"
)

pytest.importorskip("triton", reason="triton is not installed: pip install triton")


def _jit_functions():
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and any(
                "triton.jit" in ast.unparse(d) for d in node.decorator_list
            ):
                yield file, node


def test_functions_have_few_parameters():
    counts = {f"{file}: {node.name}": len(node.args.args) for file, node in _jit_functions()}
    assert len(counts) > 50
    assert not {name: count for name, count in counts.items() if count > 20}


def test_a_cell_is_one_file_under_the_name_of_its_header():
    assert set(CELL_FILES) <= {path.stem for path in (ROOT / "csrc/cells").glob("*.h")}
    declared = {}
    for file in CELL_FILES:
        tables = [
            node.value
            for node in TREES[f"cells/{file}.py"].body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CELLS"
        ]
        assert len(tables) == 1, file
        declared |= {ast.literal_eval(key): file for key in tables[0].keys}
    from lrnn_kernels.backends import triton as triton_backend

    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels.cells import CELLS

    assert set(CELLS) == set(declared)


def test_no_cell_is_asked_for_by_name():
    """Outside of the cells' own files there is no operator's name: cells declare what engines
    must know."""
    from lrnn_kernels.backends import triton as triton_backend

    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels.cells import CELLS

    named = {
        (file, node.value)
        for file, tree in TREES.items()
        if not file.startswith("cells/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in CELLS
    }
    assert not named
    attributes = {
        (file, node.attr)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    assert not [file for file, name in attributes if name == "startswith"]


SPECIALIZED = """
import triton
from benchmarks.resources import triton as triton_resources
from lrnn_kernels import testing
from lrnn_kernels.backends import triton as triton_backend
assert not triton_backend.failure()
triton.runtime.driver.set_active(triton_resources.Driver(triton_resources.TARGETS["sm_90"]))

def leaves(x):
    return [y for part in x for y in leaves(part)] if isinstance(x, (tuple, list)) else [x]

def found(cell, B, T, reset):
    name, options = triton_resources.CELLS[cell]
    call = testing.random_call(name, B, T, 256, options=options, h0=True, reset=reset)
    for one in triton_resources.launches_of(call):
        binder = one.kernel.device_caches[triton.runtime.driver.active.get_current_device()][-1]
        yield one, binder(*one.args, **one.constants)[1]

# A stride is known by whether it is a multiple of 16, and that of resets is T.
LENGTHS = {
    False: ((1, 129), (2, 160), (17, 161), (16, 1024)),
    True: ((1, 144), (2, 160), (17, 176), (16, 1024)),
}
for cell in triton_resources.CELLS:
    for reset in (False, True)[: 1 if cell == "bmru" else 2]:  # which has none
        seen = {}
        for B, T in LENGTHS[reset]:
            for one, key in found(cell, B, T, reset):
                seen.setdefault(one.kernel.fn.__name__, []).append(str(key))
                floats = [x for x in leaves(key) if x in ("fp32", "fp16", "bf16")]
                assert not floats, (cell, one.kernel, floats)
                records = [x for x in one.constants.values() if isinstance(x, tuple)]
                functions = [x for x in leaves(records) if isinstance(x, triton.JITFunction)]
                assert not functions, (cell, one.kernel)
        for kernel, keys in seen.items():
            assert len(keys) >= 4 and len(set(keys)) == 1, (cell, kernel, set(keys))
    print(cell, len(seen))
"""


def test_nothing_is_compiled_for_a_length(tmp_path):
    """What Triton knows a compiled kernel by is the same for every B, T, interval and number of
    pieces; the cells' numbers are double; and functions are known by their source."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "TRITON_INTERPRET": "0",
        "TRITON_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SPECIALIZED],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "src, checkpoints 2" in done.stdout
