"""CUDA graphs: a training step captured once gives, replayed on other inputs, the bits of an eager
one; one cell of each engine."""

from __future__ import annotations

import torch

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS

from .. import shapes
from ..place import Limit, Place


def units(place: Place) -> list[tuple] | str:
    """(backend, cell)."""
    return [
        (backend, row.name)
        for backend in place.backends
        for row in shapes.one_of_each_engine()
        if testing.serves(backend, row.kernels[0])
    ]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits which of y, h_last and the gradients have other bits: none."""
    backend, cell = unit
    B, T, C = place.pick((4, 300, 64), (1, 3, 4))
    calls = [
        testing.random_call(cell, B, T, C, dtype=CELLS[cell].dtypes[0], seed=seed).to(place.device)
        for seed in range(2)
    ]
    captured = replayed(*calls, backend) if not place.stands_in else testing.run(calls[1], backend)
    eager = testing.run(calls[1], backend)
    other = [name for name, x in eager.items() if not testing.bits_equal(captured[name], x)]
    why = {"failed": f"{', '.join(other)}: not the bits of an eager step"} if other else {}
    emit(operator=cell, backend=backend, **why, text=f"graph of {cell}, {backend}: the same bits")


def replayed(call: testing.Call, other: testing.Call, backend: str) -> dict[str, torch.Tensor]:
    """What a graph captured on one call gives on the numbers of another."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        testing.run(call, backend)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = testing.run(call, backend)
    for mine, theirs in zip(_given(call), _given(other), strict=True):
        mine.copy_(theirs)
    graph.replay()
    torch.cuda.synchronize()
    return captured


def _given(call: testing.Call) -> list[torch.Tensor]:
    tensors = (*call.tensors().values(), call.dy, call.dh_last)
    return [x for x in tensors if x is not None]
