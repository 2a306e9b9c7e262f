"""The executor in a GPU's place: calls of backend="cuda" take CPU tensors and run the CUDA sources
on the CPU. In a process of its own ``install`` does it for good; in one of many tests, the fixtures
of conftest.py do it for one test each."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from lrnn_kernels.backends import cuda, operators
from lrnn_kernels.neurons import choosing, compiled, running
from tests.backends.cuda import executor

NAMESPACE = "lrnn_on_executor"


@functools.cache
def load() -> tuple[executor.Executor, cuda.State]:
    """The library of CUDA operators for CPU tensors, loaded into torch once:
    torch.ops.lrnn_on_executor."""
    path = executor.compile_operators()
    operators.define_all(NAMESPACE)
    compiled.define(NAMESPACE)
    torch.ops.load_library(str(path))
    state = cuda.state_of(path, "on the executor")
    operators.register(NAMESPACE, state.kernels)
    return executor.Executor(path), state


def changes(state: cuda.State) -> list[tuple[object, str, object]]:
    """(module, name, value) of what sends calls of operators to the executor."""
    return [
        (cuda, "state", state),
        (cuda, "missing", lambda device: ""),
        (cuda, "NAMESPACE", NAMESPACE),
    ]


def engine_of(original: Callable) -> Callable:
    """The engine of a simulation: the executor's for "cuda", whatever the device of its tensors."""

    def run(self: running.Run, *tensors: torch.Tensor, **settings: object) -> None:
        if self.backend == "cuda":
            settings |= {"scheme": self.scheme, "backend": "cuda"}
            compiled.run(self.model.name, *tensors, **settings)
        else:
            original(self, *tensors, **settings)

    return run


def install() -> None:
    """Sends calls of operators and simulations to the executor, from now on."""
    _, state = load()
    for module, name, value in changes(state):
        setattr(module, name, value)
    choosing.COMPILED["cpu"] = ("cpu", "cuda")
    running.Run._engine = engine_of(running.Run._engine)
