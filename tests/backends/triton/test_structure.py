"""How the Triton kernels are built: short parameter lists, one place a cell, nothing compiled
for a length."""

import ast
import math
import re
from collections import Counter

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.backends.build import libraries
from lrnn_kernels.neurons import MODELS
from tests import ROOT
from tests.backends.triton.cases import SERVED, narrowest
from tests.conftest import over

KERNELS = ROOT / "triton_kernels"
FILES = sorted(KERNELS.rglob("*.py"))
TREES = {path.relative_to(KERNELS).as_posix(): ast.parse(path.read_text()) for path in FILES}
CELL_FILES = sorted(
    path.stem for path in (KERNELS / "cells").glob("*.py") if path.stem != "__init__"
)

pytest.importorskip("triton", reason="triton is not installed: pip install triton")

#: In a process of their own, which compiles and does not interpret.
compiled = pytest.mark.in_child(TRITON_INTERPRET="0")


@pytest.fixture
def a_gpu(tmp_path, monkeypatch):
    """Triton compiles for a GPU that is not there; nothing of it is kept."""
    import triton

    from benchmarks.resources import triton as triton_resources

    assert not triton_backend.failure()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    driver = triton_resources.Driver(triton_resources.TARGETS["sm_90"])
    triton.runtime.driver.set_active(driver)
    return driver


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
    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels.cells import CELLS

    assert set(CELLS) == set(declared)


def test_a_neuron_is_one_file_under_the_name_of_its_model():
    """With the sizes that its model has; there is one of every model."""
    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels.neurons import NEURONS

    files = {path.stem for path in (KERNELS / "neurons").glob("*.py")} - {"__init__"}
    assert files == NEURONS.keys() == MODELS.keys() == {row.name for row in libraries.neurons()}
    for name, model in MODELS.items():
        tau = model.calcium.tau if model.calcium else math.inf
        sizes = len(model.channels), len(model.states), tau
        assert NEURONS[name][1:] == sizes, name


def test_no_cell_and_no_neuron_is_asked_for_by_name():
    """Outside of their own files there is neither an operator's name nor a model's: they declare
    what engines must know."""
    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels.cells import CELLS
    from lrnn_kernels.triton_kernels.neurons import NEURONS

    names = {*CELLS, *NEURONS}
    named = {
        (file, node.value)
        for file, tree in TREES.items()
        if not file.startswith(("cells/", "neurons/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    assert not named
    attributes = {
        (file, node.attr)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    assert not [file for file, name in attributes if name == "startswith"]


def _leaves(x) -> list:
    return [y for part in x for y in _leaves(part)] if isinstance(x, (tuple, list)) else [x]


#: A stride is known by whether it is a multiple of 16, and that of resets is T.
LENGTHS = {
    False: ((1, 129), (2, 160), (17, 161), (16, 1024)),
    True: ((1, 144), (2, 160), (17, 176), (16, 1024)),
}


@compiled
@pytest.mark.parametrize("reset", LENGTHS)
@over(("cell", "options"), SERVED)
def test_nothing_is_compiled_for_a_length(cell, options, reset, a_gpu):
    """What Triton knows a compiled kernel by is the same for every B, T, interval and number of
    pieces; the cells' numbers are double; and functions are known by their source."""
    import triton

    from benchmarks.resources import triton as triton_resources

    device, seen = a_gpu.get_current_device(), {}
    for B, T in LENGTHS[reset]:
        call = testing.random_call(
            cell, B, T, 64, dtype=narrowest(cell), options=options, reset=reset
        )
        for one in triton_resources.launches_of(call):
            _, key, *_ = one.kernel.device_caches[device][-1](*one.args, **one.constants)
            assert not {"fp32", "fp16", "bf16"} & {x for x in _leaves(key) if isinstance(x, str)}
            records = [x for x in one.constants.values() if isinstance(x, tuple)]
            assert not [x for x in _leaves(records) if isinstance(x, triton.JITFunction)]
            seen.setdefault(one.kernel.fn.__name__, []).append(str(key))
    assert len(seen) >= 2
    for kernel, keys in seen.items():
        assert len(keys) >= len(LENGTHS[reset]), kernel
        assert len(set(keys)) == 1, kernel


#: Populations of other sizes, for none of which anything is compiled anew.
POPULATIONS = (
    {"B": 3, "slots": 0, "first_step": 0, "steps": 1, "record_every": 1, "every": 1},
    {"B": 33, "slots": 16, "first_step": 16, "steps": 17, "seed": 1, "dt": 0.5},
    {"B": 64, "slots": 1, "first_step": 1, "steps": 64, "seed": 2**64 - 1, "every": 16},
)


@compiled
@over("storage", ["float32, current", "float32, all", "float64, all"])
def test_no_population_is_compiled_anew(storage, a_gpu):
    """For other numbers of neurons, slots and steps, other intervals, seeds and time steps; numbers
    are double, but for the noise's sections, which are float32."""
    from benchmarks.resources import populations

    device, keys = a_gpu.get_current_device(), set()
    for sizes in POPULATIONS:
        dtype, has_all, _ = populations.STORAGE[storage]
        (one,) = populations.call("hh", dtype, has_all, **sizes).launches()
        _, key, *_ = one.kernel.device_caches[device][-1](*one.args, **one.constants)
        singles = [x for x in _leaves(key) if x == "fp32"]
        assert len(singles) == (6 if "all" in storage else 0)
        assert _leaves(key).count("fp64") == 7
        keys.add(str(key))
    assert len(keys) == 1


@compiled
def test_noise_is_not_contracted(a_gpu):
    """Nothing of it is fused, quotients and roots are rounded, nothing is flushed to zero; and
    the kernels would fuse some of it if they were not told to."""
    from benchmarks.resources import populations

    (alone,) = populations.call("hh", torch.float32, False).launches()
    (noisy,) = populations.call("hh", torch.float32, True, current=None).launches()

    def operations(one, **options) -> Counter:
        constants = {**one.constants, **options}
        text = one.kernel.warmup(*one.args, grid=one.grid, **constants).asm["ptx"]
        return Counter(re.findall(r"^\s+(?:@!?%p\d+ )?([a-z][\w.]+)\s", text, re.MULTILINE))

    without, with_noise = operations(alone), operations(noisy)
    assert with_noise["fma.rn.f32"] == without["fma.rn.f32"] > 0
    assert with_noise["mul.rn.f32"] > without["mul.rn.f32"] + 20
    assert with_noise["div.rn.f32"] == 2
    assert with_noise["sqrt.rn.f32"] == 1
    kinds = ("add", "sub", "mul", "div.rn", "sqrt")
    assert not [x for x in with_noise if x.startswith(kinds) and ".ftz" in x]
    fused = operations(noisy, enable_fp_fusion=True)
    assert fused["mul.rn.f32"] == 0 or fused["fma.rn.f32"] > with_noise["fma.rn.f32"]


@compiled
def test_the_tuner_sees_spills(a_gpu, monkeypatch):
    """The table's row compiles without; a tile and a turn that no register file holds do not."""
    from lrnn_kernels.triton_kernels.config import CONFIGS

    from benchmarks.gpu import tune

    key = ("affine", "double")
    compiler = tune.Compiler(a_gpu, lambda key: [tune.OPS["linear_scan"]])
    assert not compiler.spills(key, CONFIGS[key], "backward")
    monkeypatch.setitem(CONFIGS, key, CONFIGS[key]._replace(elements=8, backward=8))
    assert compiler.spills(key, CONFIGS[key], "backward")
