"""Values of a cell: a tile of numbers, or, for complex cells, a pair of tiles (real, imaginary).

PLANES, 1 or 2, says which. The few operations here are what makes real and complex cells one
engine; all are inlined, so a real cell pays nothing for them.
"""

import triton
import triton.language as tl


@triton.jit
def full(
    number, ROWS: tl.constexpr, BLOCK_C: tl.constexpr, CARRY: tl.constexpr, PLANES: tl.constexpr
):
    """The same real number everywhere."""
    re = tl.full((ROWS, BLOCK_C), number, CARRY)
    if PLANES == 1:
        return re
    else:
        return re, tl.zeros((ROWS, BLOCK_C), CARRY)


@triton.jit
def add(x, y, PLANES: tl.constexpr):
    if PLANES == 1:
        return x + y
    else:
        return x[0] + y[0], x[1] + y[1]


@triton.jit
def multiply(x, y, PLANES: tl.constexpr):
    if PLANES == 1:
        return x * y
    else:
        return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


@triton.jit
def conj_multiply(x, y, PLANES: tl.constexpr):
    """conj(x) y."""
    if PLANES == 1:
        return x * y
    else:
        return x[0] * y[0] + x[1] * y[1], x[0] * y[1] - x[1] * y[0]


@triton.jit
def where(mask, x, y, PLANES: tl.constexpr):
    if PLANES == 1:
        return tl.where(mask, x, y)
    else:
        return tl.where(mask, x[0], y[0]), tl.where(mask, x[1], y[1])


@triton.jit
def is_zero(x, PLANES: tl.constexpr):
    if PLANES == 1:
        return x == 0
    else:
        return (x[0] == 0) & (x[1] == 0)


@triton.jit
def stepped(a, h, b, FORGETS: tl.constexpr, PLANES: tl.constexpr):
    """a h + b; where an a of 0 is a choice, not a factor (FORGETS), it drops h, infinite or not."""
    moved = add(multiply(a, h, PLANES), b, PLANES)
    if FORGETS:
        return where(is_zero(a, PLANES), b, moved, PLANES)
    else:
        return moved


@triton.jit
def handed_back(a, g, FORGETS: tl.constexpr, PLANES: tl.constexpr):
    """conj(a) g, the adjoint of the state before; dropped as the state is."""
    passed = conj_multiply(a, g, PLANES)
    if FORGETS:
        return where(is_zero(a, PLANES), a, passed, PLANES)
    else:
        return passed


@triton.jit
def spread(number, mask):
    """A plain number as a tile like this mask, to compare it there: the comparison of two plain
    numbers is no mask in the interpreter of Triton 3.9, which makes a tile of integers of it.
    """
    return tl.zeros(mask.shape, tl.int32) + number


@triton.jit
def load(stream, b, t, c, mask, CARRY: tl.constexpr, PLANES: tl.constexpr):
    """A tile of a stream at batch elements b, times t (or 0) and channels c, widened at once; 0
    where masked.

    Stream: (pointer, batch stride, time stride, channel stride, distance of the imaginary from the
    real parts), in real numbers.
    """
    at = stream[0] + b * stream[1] + t * stream[2] + c * stream[3]
    re = tl.load(at, mask=mask, other=0.0).to(CARRY)
    if PLANES == 1:
        return re
    else:
        return re, tl.load(at + stream[4], mask=mask, other=0.0).to(CARRY)


@triton.jit
def load_each(streams, b, t, c, mask, CARRY: tl.constexpr, PLANES: tl.constexpr):
    """One tile of each of up to three streams."""
    tiles = ()
    for i in tl.static_range(len(streams)):
        tiles = tiles + (load(streams[i], b, t, c, mask, CARRY, PLANES),)
    return tiles


@triton.jit
def load_or_zero(
    stream,
    b,
    t,
    c,
    mask,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
):
    """A tile of a stream that may be absent."""
    if len(stream) == 0:
        return full(0.0, ROWS, BLOCK_C, CARRY, PLANES)
    else:
        return load(stream, b, t, c, mask, CARRY, PLANES)


@triton.jit
def store(stream, b, t, c, value, mask, PLANES: tl.constexpr):
    at = stream[0] + b * stream[1] + t * stream[2] + c * stream[3]
    if PLANES == 1:
        tl.store(at, value.to(stream[0].dtype.element_ty), mask=mask)
    else:
        tl.store(at, value[0].to(stream[0].dtype.element_ty), mask=mask)
        tl.store(at + stream[4], value[1].to(stream[0].dtype.element_ty), mask=mask)


@triton.jit
def load_planes(stream, b, t, c, mask, COUNT: tl.constexpr, CARRY: tl.constexpr):
    """COUNT tiles that lie stream[4] apart; 0 where masked."""
    at = stream[0] + b * stream[1] + t * stream[2] + c * stream[3]
    tiles = ()
    for i in tl.static_range(COUNT):
        tiles = tiles + (tl.load(at + i * stream[4], mask=mask, other=0.0).to(CARRY),)
    return tiles


@triton.jit
def load_states(stream, b, c, mask, COUNT: tl.constexpr, CARRY: tl.constexpr):
    """States, or zeros where there is no stream."""
    if len(stream) == 0:
        tiles = ()
        for _ in tl.static_range(COUNT):
            tiles = tiles + (tl.zeros(mask.shape, CARRY),)
        return tiles
    else:
        return load_planes(stream, b, 0, c, mask, COUNT, CARRY)


@triton.jit
def store_planes(stream, b, t, c, tiles, mask):
    at = stream[0] + b * stream[1] + t * stream[2] + c * stream[3]
    for i in tl.static_range(len(tiles)):
        tl.store(at + i * stream[4], tiles[i].to(stream[0].dtype.element_ty), mask=mask)


@triton.jit
def select(mask, x, y):
    """x where the mask is set, else y, for tuples of tiles."""
    chosen = ()
    for i in tl.static_range(len(x)):
        chosen = chosen + (tl.where(mask, x[i], y[i]),)
    return chosen
