"""The operators under measurement: their inputs, and the least bytes per element that each must
move.

One element is one (batch, time, channel) position; every stream holds one value there, of
``itemsize`` bytes (complex64: 8). A pass over memory cannot be avoided for: forward, every input
stream read and y written; backward, the streams whose values the gradient depends on, the incoming
gradient dy, the states (or what replaces them) read, and one gradient per stream written.
Parameters, h0 and gradients of either are 1/(B T) or 1/T of that and count as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from lrnn_kernels.backends import choose
from lrnn_kernels.cell import Cell, Kernel, carry_dtype
from lrnn_kernels.cells import CELLS


@dataclass(frozen=True)
class Op:
    """One operator in one form, as it is measured. What it must read and write, the rows of cell
    and kernel say."""

    name: str
    row: Cell
    options: Mapping[str, Any] = field(default_factory=dict)  # other than the cell's defaults

    @property
    def cell(self) -> str:
        return self.row.name

    @property
    def all_options(self) -> dict[str, Any]:
        return {**self.row.options, **self.options}

    @cached_property
    def kernel(self) -> Kernel:
        return self.row.kernel(self.all_options, False)

    @property
    def complex(self) -> bool:
        return self.row.dtypes[0].is_complex

    @property
    def bits(self) -> bool:
        """Whether the backward pass reads, and a forward pass that saves for it writes, one bit
        per element."""
        return self.kernel.saves == "bits"

    @property
    def interval(self) -> int:
        """Steps between saved states, from which a backward pass runs forward again; 0 where it
        need not."""
        numbers = self.row.numbers(self.all_options)
        return int(numbers[0]) if self.kernel.checkpoints else 0

    @property
    def saved(self) -> float:
        """Values in the states' type that the backward pass reads per element, beside the
        streams."""
        return self.kernel.states / self.interval if self.interval else self.kernel.saved

    @property
    def forward(self) -> tuple[int, int]:
        """Streams read, streams written: y."""
        return len(self.row.inputs), 1

    @property
    def backward(self) -> tuple[int, int]:
        """Streams read, dy and perhaps y among them; streams written, a gradient each. Gradients
        of parameters are summed."""
        read = len(self.row.inputs if self.interval else self.kernel.reads)
        return read + 1 + (self.kernel.saves == "y"), len(self.row.inputs)

    def itemsize(self, dtype: torch.dtype) -> int:
        """Bytes of one value of a stream; dtype is the real one."""
        return dtype.itemsize * (2 if self.complex else 1)

    def bytes_per_element(self, dtype: torch.dtype, backward: bool) -> float:
        beside = (0.125 if self.bits else 0) + self.saved * carry_dtype(dtype).itemsize
        return sum(self.backward if backward else self.forward) * self.itemsize(dtype) + (
            beside if backward else 0
        )


def operators(rows: Iterable[Cell]) -> dict[str, Op]:
    """What is measured of each row. Cells with matrices are measured beside their products, in
    cpu/products.py: their time is a library's."""
    return {
        name: Op(name, row, options)
        for row in rows
        if not row.matrices
        for name, options in row.measured.items()
    }


OPS: dict[str, Op] = operators(CELLS.values())


class Calls:
    """One operator on given streams as functions: both passes by themselves, the public call
    without gradients, and the training step."""

    def __init__(
        self, op: Op, streams: list[Tensor], params: list[Tensor], dy: Tensor, backend: str = "cpu"
    ):
        self.op, self.streams, self.params, self.dy, self.backend = op, streams, params, dy, backend
        cell, self._options = op.row, op.all_options
        kernel = choose.kernel_on(backend, op.kernel)
        operators = getattr(torch.ops, choose.BACKENDS[backend].NAMESPACE)
        self._saves = kernel.saves
        # A pass is the compiled operator, called directly: what is compared with a copy is what
        # moves bytes. (The other way, a training step minus a forward pass would be the backward
        # pass: a difference of two noisy times, with autograd's own work in it.)
        common = (streams, params, cell.numbers(self._options), None, None, None, False)
        self._forward = partial(getattr(operators, kernel.name).default, *common)
        self._backward = partial(getattr(operators, kernel.name + "_backward").default, *common)
        self._leaves = [x.detach().requires_grad_() for x in streams]
        self._param_leaves = [p.detach().requires_grad_() for p in params]
        self._public = partial(cell.function, **op.options, backend=backend)
        self._names = (*cell.inputs, *cell.params)

    def forward(self) -> None:
        self._forward(False)

    def backward(self) -> None:
        self._backward(*self._kept)

    def call(self) -> None:
        with torch.no_grad():
            self._public(**dict(zip(self._names, (*self.streams, *self.params), strict=True)))

    def loop_forward(self) -> None:
        with torch.no_grad():
            self._loop(self.streams, self.params)

    def loop_train(self) -> None:
        y = self._loop(self._leaves, self._param_leaves)
        torch.autograd.grad(y, [*self._leaves, *self._param_leaves], self.dy)

    def _loop(self, streams: list[Tensor], params: list[Tensor]) -> Tensor:
        """What one writes without kernels: torch calls, step after step. (unbind, since the
        gradient of x[:, t] is as long as x.)"""
        cell = self.op.row
        states = tuple(torch.zeros_like(streams[0][:, 0]) for _ in cell.states)
        outputs = []
        for inputs in zip(*(x.unbind(1) for x in streams), strict=True):
            states, y = cell.step(states, *inputs, *params, **self._options)
            outputs.append(y)
        return torch.stack(outputs, dim=1)

    def prepare_backward(self) -> None:
        """Runs the forward pass once more, to keep what the backward pass reads."""
        y, _, saved = self._forward(True)
        self._kept = (
            {"y": y, "bits": saved, "states": saved, "nothing": None}[self._saves],
            self.dy,
            None,
        )

    def train(self) -> None:
        leaves = [*self._leaves, *self._param_leaves]
        y, _ = self._public(**dict(zip(self._names, leaves, strict=True)))
        torch.autograd.grad(y, leaves, self.dy)
