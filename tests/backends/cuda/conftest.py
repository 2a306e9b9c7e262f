"""The CUDA operators on the CPU, by the executor."""

import ctypes
import functools

import pytest
import torch

from lrnn_kernels.backends import cuda, operators
from lrnn_kernels.neurons import choosing, compiled
from tests.backends.cuda import executor


@pytest.fixture(scope="session")
def operators_on_executor():
    """The library of CUDA operators for CPU tensors, loaded into torch once:
    torch.ops.lrnn_on_executor."""
    path = executor.compile_operators()
    operators.define_all("lrnn_on_executor")
    compiled.define("lrnn_on_executor")
    torch.ops.load_library(str(path))
    state = cuda.state_of(path, "on the executor")
    operators.register("lrnn_on_executor", state.kernels)
    return executor.Executor(path), state


@pytest.fixture
def cuda_on_cpu(operators_on_executor, monkeypatch, request):
    """Calls of backend="cuda" go to the executor, with another plan and another order of threads
    for every test."""
    library, state = operators_on_executor
    seed = sum(map(ord, request.node.name))
    library.configure(resident=1 + seed % 5, seed=seed)
    library.library.lrnn_gpu_set_bytes_in_flight(ctypes.c_int64((1, 1 << 14, 2 << 20)[seed % 3]))
    monkeypatch.setattr(cuda, "state", state)
    monkeypatch.setattr(cuda, "missing", lambda device: "")
    monkeypatch.setattr(cuda, "NAMESPACE", "lrnn_on_executor")


@pytest.fixture
def on_executor(cuda_on_cpu, monkeypatch):
    """simulate(backend="cuda") runs CPU tensors on the executor."""
    monkeypatch.setitem(choosing.COMPILED, "cpu", ("cpu", "cuda"))
    monkeypatch.setattr(compiled, "run", functools.partial(compiled.run, backend="cuda"))
