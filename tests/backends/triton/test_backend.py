"""The Triton backend: its kernels compile for GPUs that need not be here, its errors say why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lrnn_kernels
from benchmarks.gpu import tune
from lrnn_kernels.backends import choose, cuda
from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.cells import KERNELS
from tests import ROOT
from tests.backends.triton.conftest import needs_triton


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    changed = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **changed},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_triton
def test_kernels_compile_without_spills(tmp_path):
    """A part of the kernels, for an NVIDIA and an AMD GPU; equal to the checked-in table where
    this version of triton has one."""
    done = _run(
        "-m",
        "benchmarks.resources",
        "--check",
        "--backend",
        "triton",
        TRITON_INTERPRET="0",
        TRITON_CACHE_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " 0 failed" in done.stdout


@needs_triton
def test_the_tuner_writes_the_table_as_it_stands():
    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels import config

    assert f"shortest\n{tune.text(config.CONFIGS)}\n}}\n" in Path(config.__file__).read_text()


def test_cpu_tensors_need_the_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(ValueError, match="set TRITON_INTERPRET=1 before the first import"):
        lrnn_kernels.min_gru(torch.ones(1, 2, 3), torch.ones(1, 2, 3), backend="triton")


@needs_triton
def test_auto_prefers_triton_on_a_gpu():
    choice = choose.choose("auto", torch.device("cuda"), KERNELS["linear"])
    assert choice.backend == "triton"
    assert "best backend for it here" in choice.reason


@needs_triton
def test_auto_prefers_cuda_to_triton(monkeypatch):
    kernels = cuda.State(Path("somewhere"), "for this test", frozenset({"linear", "nbrc"}), 256)
    monkeypatch.setattr(cuda, "state", kernels)
    assert choose.choose("auto", torch.device("cuda"), KERNELS["linear"]).backend == "cuda"
    assert choose.choose("auto", torch.device("cuda"), KERNELS["min_gru"]).backend == "triton"
    assert choose.choose("auto", torch.device("cuda"), KERNELS["nbrc"], 256).backend == "cuda"
    with pytest.warns(
        RuntimeWarning, match="holds up to 256 channels, got 257; the triton backend has no kernel"
    ):
        assert (
            choose.choose("auto", torch.device("cuda"), KERNELS["nbrc"], 257).backend == "reference"
        )


@needs_triton
def test_a_cell_without_a_triton_kernel_runs_the_reference_and_says_so():
    with pytest.warns(RuntimeWarning, match="the triton backend has no kernel 'nbrc' yet"):
        assert choose.choose("auto", torch.device("cuda"), KERNELS["nbrc"]).backend == "reference"
    with pytest.raises(NotImplementedError, match="the triton backend has no kernel 'nbrc' yet"):
        choose.choose("triton", torch.device("cuda"), KERNELS["nbrc"])


def test_without_triton(monkeypatch):
    """A GPU tensor then runs the reference, with a warning that says why."""
    monkeypatch.setattr(triton_backend, "_failure", "triton is not installed (pip install triton)")
    with pytest.warns(RuntimeWarning, match="triton is not installed"):
        assert choose.choose("auto", torch.device("cuda"), KERNELS["linear"]).backend == "reference"
    with pytest.raises(RuntimeError, match="triton is not installed"):
        choose.choose("triton", torch.device("cuda"), KERNELS["linear"])


def test_other_devices():
    with pytest.raises(RuntimeError, match="CUDA and HIP tensors, got tensors on 'xpu'"):
        choose.choose("triton", torch.device("xpu"), KERNELS["linear"])


@needs_triton
def test_plans():
    """Whole steps, no more pieces than steps, and nothing of B or T in the tile, which would
    compile anew."""
    assert not triton_backend.failure()
    from lrnn_kernels.triton_kernels.config import CONFIGS
    from lrnn_kernels.triton_kernels.plan import make_plan, tile

    for B in (0, 1, 7, 8, 32, 500):
        for T in (0, 1, 63, 784, 4096, 65536):
            for C in (1, 3, 16, 64, 130, 256, 4096):
                for key, config in CONFIGS.items():
                    whole = 32 if key[0] == "latch" else 1
                    for planes in (1, 2):
                        plan = make_plan(B, T, C, config, planes, 132, whole)
                        assert (plan.rows, plan.block) == tile(C, config.lanes(planes))
                        assert plan.rows * plan.block == config.lanes(planes)
                        assert plan.steps % max(config.forward, config.backward, whole) == 0
                        assert plan.chunks == 1 or plan.steps >= config.shortest > 0
                        assert (
                            (plan.chunks - 1) * plan.steps < max(T, 1) <= plan.chunks * plan.steps
                        )
                        assert make_plan(B, T, C, config, planes, 0, whole).chunks == 1
    config = CONFIGS["affine", "single"]
    assert make_plan(1, 65536, 64, config, 1, 132).chunks > 500
    assert make_plan(8, 4096, 256, config, 1, 132).chunks == 64
    assert make_plan(512, 4096, 1024, config, 1, 132).chunks == 1
    assert make_plan(1, 65536, 64, CONFIGS["step", "single"], 1, 132).chunks == 1
