"""The CUDA operators on the CPU, by the executor."""

import ctypes

import pytest

from lrnn_kernels.neurons import choosing, running
from tests.backends.cuda import stand_in


@pytest.fixture(scope="session")
def operators_on_executor():
    """The library of CUDA operators for CPU tensors, and the backend's state."""
    return stand_in.load()


@pytest.fixture
def cuda_on_cpu(operators_on_executor, monkeypatch, request):
    """Calls of backend="cuda" go to the executor, with another plan and another order of threads
    for every test."""
    library, state = operators_on_executor
    seed = sum(map(ord, request.node.name))
    library.configure(resident=1 + seed % 5, seed=seed)
    library.library.lrnn_gpu_set_bytes_in_flight(ctypes.c_int64((1, 1 << 14, 2 << 20)[seed % 3]))
    for module, name, value in stand_in.changes(state):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def on_executor(cuda_on_cpu, monkeypatch):
    """simulate(backend="cuda") runs CPU tensors on the executor."""
    monkeypatch.setitem(choosing.COMPILED, "cpu", ("cpu", "cuda"))
    monkeypatch.setattr(running.Run, "_engine", stand_in.engine_of(running.Run._engine))
