"""Inputs of the operators under measurement: what a cell's row draws, repeated to any size.

A row draws numbers for which its recurrence neither overflows nor dies out, in float64 and on the
processor, which takes longer than measuring does. So a sample is drawn once, and what is measured
is filled with it again and again.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from lrnn_kernels.cell import Cell, carry_dtype
from lrnn_kernels.testing.draw import Draw, anything

from .traffic import Op

SAMPLE = (1, 1024, 256)  # B, T, C
_SHORT = 32  # steps that are drawn where only parameters are wanted


def _drawn(row: Cell, B: int, T: int, C: int) -> tuple[list[Tensor], list[Tensor]]:
    """Streams and parameters, in float64 or complex128."""
    draw = Draw(torch.Generator().manual_seed(0), B, T, C, row.dtypes[0].is_complex)
    return (row.draw or anything)(draw, row)


@functools.cache
def _sample(row: Cell) -> list[Tensor]:
    streams, _ = _drawn(row, *SAMPLE)
    return [(torch.view_as_real(x) if x.is_complex() else x).float().flatten() for x in streams]


def sample(op: Op) -> list[Tensor]:
    """A piece of each stream, flat, as real float32 numbers."""
    return _sample(op.row)


@functools.cache
def adjoints() -> Tensor:
    """A piece of an incoming gradient, flat: normal numbers."""
    return torch.randn(SAMPLE[1] * SAMPLE[2], generator=torch.Generator().manual_seed(1))


def params(op: Op, C: int, dtype: torch.dtype) -> list[Tensor]:
    """The parameters of an operator for streams of a (real) dtype."""
    _, drawn = _drawn(op.row, 1, _SHORT, C)
    carry = carry_dtype(dtype)
    return [p.to(carry.to_complex() if p.is_complex() else carry) for p in drawn]


def fill(values: Tensor, piece: Tensor) -> Tensor:
    """Fills a flat tensor with repetitions of a piece; returns it."""
    whole = len(values) // len(piece) * len(piece)
    values[:whole].view(-1, len(piece)).copy_(piece)
    values[whole:].copy_(piece[: len(values) - whole])
    return values
