"""Streams of an operator on huge pages, for any shape and order in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from ..measure import inputs
from ..measure.copy_bandwidth import huge_empty
from ..measure.results import Shape
from ..measure.traffic import Calls, Op


class Bank:
    """Pages that are mapped once and filled for every operator and shape: calls hold for as long as
    none of another operator or shape is made of the same dtype."""

    def __init__(self, largest: int):
        self.largest = largest  # real values of a stream, or of all streams of a packed one
        self._pages: dict[tuple[str, torch.dtype], Tensor] = {}

    def calls(self, op: Op, shape: Shape, dtype: torch.dtype, time_major: bool = False) -> Calls:
        """The operator on streams apart."""
        streams = [
            self._stream(str(i), piece, op, shape, dtype, time_major)
            for i, piece in enumerate(inputs.sample(op))
        ]
        dy = self._stream("dy", inputs.adjoints(), op, shape, dtype, time_major)
        return Calls(op, streams, inputs.params(op, shape[2], dtype), dy)

    def packed(
        self, op: Op, shape: Shape, dtype: torch.dtype, time_major: bool = False
    ) -> Calls | None:
        """All streams in one tensor (B,T,nC), or a complex one in two real planes: passes only.
        None for what is one real stream."""
        pieces, C = inputs.sample(op), shape[2]
        if op.complex:  # the piece has real and imaginary parts in turn
            pieces = [part for piece in pieces for part in piece.view(-1, 2).unbind(1)]
        if len(pieces) == 1:
            return None
        rows = self._values("packed", dtype, len(pieces) * shape[0] * shape[1] * C)
        rows = rows.view(-1, len(pieces) * C)
        for i, piece in enumerate(pieces):
            values = self._values("piece", dtype, rows.shape[0] * C)
            rows[:, i * C : (i + 1) * C] = inputs.fill(values, piece).view(-1, C)
        width = 2 * C if op.complex else C
        dy = inputs.fill(self._values("dy", dtype, shape[0] * shape[1] * width), inputs.adjoints())
        return Calls(
            op,
            [_ordered(rows, shape, len(pieces) * C, time_major)],
            inputs.params(op, C, dtype),
            _ordered(dy, shape, width, time_major),
        )

    def _stream(
        self,
        name: str,
        piece: Tensor,
        op: Op,
        shape: Shape,
        dtype: torch.dtype,
        time_major: bool,
    ) -> Tensor:
        """A stream (B,T,C). There is no complex type of 16-bit parts: split storage, (B,T,2C), as
        one real GEMM writes it."""
        width = shape[2] * (2 if op.complex else 1)
        values = inputs.fill(self._values(name, dtype, shape[0] * shape[1] * width), piece)
        if op.complex and dtype.itemsize > 2:
            values = torch.view_as_complex(values.view(-1, 2))
            width = shape[2]
        return _ordered(values, shape, width, time_major)

    def _values(self, name: str, dtype: torch.dtype, count: int) -> Tensor:
        """The first values of a page of this name."""
        if (name, dtype) not in self._pages:
            self._pages[name, dtype] = huge_empty(self.largest * dtype.itemsize).view(dtype)
        return self._pages[name, dtype][:count]


def _ordered(values: Tensor, shape: Shape, width: int, time_major: bool) -> Tensor:
    """(B,T,width), time-major in memory if wanted."""
    B, T, _ = shape
    if time_major:
        return values.view(T, B, width).transpose(0, 1)
    return values.view(B, T, width)
