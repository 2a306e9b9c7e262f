"""What every kernel begins with: which rows, channels and steps a program owns, how it reads them.

A program owns a tile of ROWS rows by BLOCK_C channels. A row is a batch element, or one of the
pieces that its time is cut into. Kernels get records instead of long lists of parameters:

    streams  what is read and written, a stream each, see values.py; () where there is none
    cell     the jit functions of the cell
    BUILD    what the kernel is compiled for

What Triton does to a tuple decides what may be in one: it specializes every integer in it (to 1,
and to multiples of 16), whatever ``do_not_specialize`` says, and makes a float32 of every float. So
lengths, for none of which a kernel may be compiled anew, and the cells' numbers, which are double,
stay parameters of their own. Jit functions are in a tuple of the kernel's arguments rather than in
a constant, which is known to Triton's cache by its name and not by its source. What is absent is
(), not None: a constant beside tuples makes Triton 3.6 forget, in loops, the constants (strides
of 1) in those that follow it.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ..values import load_each, load_or_zero


class ForwardStreams(NamedTuple):
    """What a forward pass reads and writes."""

    x: Any
    p: Any
    start: Any = ()  # the states before each row's first step, by row
    reset: Any = ()
    h_reset: Any = ()
    y: Any = ()
    h_last: Any = ()
    saved: Any = ()


class BackwardStreams(NamedTuple):
    """What a backward pass reads and writes."""

    x: Any
    p: Any
    h0: Any = ()
    reset: Any = ()
    h_reset: Any = ()
    saved: Any = ()  # what the pullback reads of the states: y, or another
    work: Any = ()
    dy: Any = ()
    start: Any = ()  # the adjoints that enter each row from the step after its last, by row
    dx: Any = ()
    dp: Any = ()  # each row's share of the parameters' gradients, by row
    dh0: Any = ()
    dh_reset: Any = ()  # by row


class Build(NamedTuple):
    """What a kernel is compiled for."""

    CARRY: Any  # the type of states
    PLANES: int  # 2 for complex numbers
    REVERSE: bool
    ROWS: int
    BLOCK_C: int
    UNROLL: int  # steps whose loads are issued together
    FORGETS: bool = False  # whether a factor of 0 drops the state, infinite or not


class Program(NamedTuple):
    """What a program owns."""

    row: Any  # [ROWS, 1], 64 bit
    b: Any  # [ROWS, 1]: the rows' batch elements,
    k: Any  # ... and pieces of time, () where time is never cut
    c: Any  # [1, BLOCK_C]
    row_ok: Any  # [ROWS, 1], which rows exist
    lane: Any  # [ROWS, BLOCK_C], which elements do
    T: Any
    params: Any
    numbers: Any


@triton.jit
def begin(streams, numbers, B, T, C, chunks, BACKWARD: tl.constexpr, BUILD: tl.constexpr):
    """This program, with the cell's parameters and numbers. Backward, rows are numbered in the
    order of the adjoint: the last piece of time first.
    """
    if chunks is None:
        row, row_ok = _rows(B, BUILD)
        b = row
        k = ()
    else:
        row, row_ok = _rows(B * chunks, BUILD)
        b = row // chunks
        k = chunks - 1 - row % chunks if BACKWARD else row % chunks
    c = _channels(BUILD)
    lane = row_ok & (c < C)
    carried = ()
    for i in tl.static_range(len(numbers)):
        carried = carried + (tl.full((), numbers[i], BUILD.CARRY),)
    params = load_each(streams.p, b, 0, c, lane, BUILD.CARRY, BUILD.PLANES)
    return Program(row, b, k, c, row_ok, lane, T, params, carried)


@triton.jit
def begin_along(B, C, BUILD: tl.constexpr):
    """A program whose rows are batch elements, without a cell."""
    row, row_ok = _rows(B, BUILD)
    c = _channels(BUILD)
    return Program(row, row, (), c, row_ok, row_ok & (c < C), (), (), ())


@triton.jit
def _rows(count, BUILD: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BUILD.ROWS + tl.arange(0, BUILD.ROWS)[:, None]
    return row, row < count


@triton.jit
def _channels(BUILD: tl.constexpr):
    return (tl.program_id(1) * BUILD.BLOCK_C + tl.arange(0, BUILD.BLOCK_C))[None, :]


@triton.jit
def zeros(dtype: tl.constexpr, BUILD: tl.constexpr):
    """A tile of zeros."""
    ROWS: tl.constexpr = BUILD.ROWS
    BLOCK_C: tl.constexpr = BUILD.BLOCK_C
    return tl.zeros((ROWS, BLOCK_C), dtype)


@triton.jit
def place(t, at, BUILD: tl.constexpr):
    """The place in memory of the t-th step."""
    if BUILD.REVERSE:
        return at.T - 1 - t
    else:
        return t


@triton.jit
def load_inputs(x, step, mask, at, BUILD: tl.constexpr):
    """The inputs of a step, or of a step per row, by its place in memory."""
    return load_each(x, at.b, step, at.c, mask, BUILD.CARRY, BUILD.PLANES)


@triton.jit
def load_step(stream, step, mask, at, BUILD: tl.constexpr):
    """The tile of a step of a stream that may be absent: then 0."""
    return _load_or_zero(stream, at.b, step, mask, at, BUILD)


@triton.jit
def load_end(stream, mask, at, BUILD: tl.constexpr):
    """The tile of a stream without time that may be absent: then 0."""
    return _load_or_zero(stream, at.b, 0, mask, at, BUILD)


@triton.jit
def load_row(stream, at, BUILD: tl.constexpr):
    """The tile of a stream by row that may be absent: then 0."""
    return _load_or_zero(stream, at.row, 0, at.lane, at, BUILD)


@triton.jit
def _load_or_zero(stream, b, t, mask, at, BUILD: tl.constexpr):
    return load_or_zero(
        stream, b, t, at.c, mask, BUILD.ROWS, BUILD.BLOCK_C, BUILD.CARRY, BUILD.PLANES
    )


@triton.jit
def load_reset(reset, step, mask, at):
    """Whether the state before a step is h_reset, in the shape of the mask."""
    if len(reset) == 0:
        return mask & False
    else:
        return tl.load(reset[0] + at.b * reset[1] + step * reset[2], mask=mask, other=0) != 0
