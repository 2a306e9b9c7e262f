"""The library of CUDA operators: nvcc makes it where no GPU and no CUDA torch is, it loads
there, and LRNN_CUDA means what it says."""

import re

import pytest
import torch

import lrnn_kernels
from lrnn_kernels.backends.build import cache, environment, sources, toolchain
from tests.package.test_packaging import _run, _wheel

needs_nvcc = pytest.mark.skipif(toolchain.find_nvcc() is None, reason="there is no nvcc")
needs_no_cuda = pytest.mark.skipif(
    torch.version.cuda is not None,
    reason="this machine's torch has CUDA: the test is of one without",
)

SCRIPT = """
import torch, lrnn_kernels
from lrnn_kernels.backends import cuda, operators
state = cuda.current()
print(state.reason, sorted(set(operators.KERNELS) - state.kernels))
print(torch._C._dispatch_has_kernel_for_dispatch_key("lrnn_kernels::linear_backward", "CUDA"))
x = torch.ones(1, 2, 3)
try:
    lrnn_kernels.linear_scan(x, x, backend="cuda")
except ValueError as error:
    print(error)
"""


@needs_nvcc
def test_a_wheel_with_cuda_operators_loads_without_a_gpu(tmp_path):
    """PTX alone, and not optimized: code for all architectures takes minutes;
    backends/cuda/test_resources.py compiles some as they are shipped."""
    _wheel(
        tmp_path,
        LRNN_CUDA="1",
        LRNN_CUDA_ARCHITECTURES="90-virtual",
        LRNN_BUILD_ISAS="baseline",
        NVCC_APPEND_FLAGS="-Xcicc -O0",
    )
    environment = {
        "LRNN_CUDA": "1",
        "LRNN_CUDA_ARCHITECTURES": "90-virtual",
        "LRNN_CACHE": str(tmp_path / "cache"),
    }
    lines = _run(["-c", SCRIPT], tmp_path / "unpacked", **environment).stdout.splitlines()
    assert lines[0] == "built at install time []"  # no kernel is missing
    assert lines[1] == "True"
    assert "run CUDA tensors, got tensors on 'cpu'" in lines[2]
    assert (
        "CUDA kernels"
        in _run(["-m", "lrnn_kernels", "info"], tmp_path / "unpacked", **environment).stdout
    )


@needs_no_cuda
def test_where_torch_has_no_cuda_the_backend_says_so():
    with pytest.raises(ValueError, match=r"backend 'cuda' is not available: torch .* has no CUDA"):
        lrnn_kernels.min_gru(torch.ones(1, 2, 3), torch.ones(1, 2, 3), backend="cuda")


def test_switched_off(tmp_path):
    script = (
        "import lrnn_kernels; from lrnn_kernels.backends import cuda; print(cuda.missing('cuda'))"
    )
    assert _run(
        ["-c", script], tmp_path.parent, PYTHONPATH=str(sources.csrc().parent), LRNN_CUDA="0"
    ).stdout == ("switched off by LRNN_CUDA=0\n")


def test_modes(monkeypatch):
    for mode in ("0", "1", "auto"):
        monkeypatch.setenv("LRNN_CUDA", mode)
        assert environment.cuda() == mode
    monkeypatch.setenv("LRNN_CUDA", "yes")
    with pytest.raises(
        ValueError, match=re.escape("LRNN_CUDA must be one of 0, 1, auto, got 'yes'")
    ):
        environment.cuda()


def test_demanded_without_nvcc(monkeypatch):
    monkeypatch.setattr(toolchain, "find_nvcc", lambda: None)
    with pytest.raises(RuntimeError, match="no nvcc was found"):
        cache.nvcc()
