"""The last-write-wins engine: the BMRU (eps = 0, alpha per channel, no resets), whose state is only ever +alpha, -alpha or h0.

One bit per element is saved for the backward pass instead of the state: whether it is +alpha. What is saved is that of csrc/cpu/latch.h,
(B, ceil(T/32) + 1, C) of int32: bits of 32 consecutive steps of a channel share a word, and the last row holds the step of the channel's
first write, T if there is none, since a bit means nothing before it.

A program walks time as in affine.py, and cut time takes the same launches there: with eps = 0 a piece is a map whose scale is 0 or 1, which
rounds nothing. A piece is whole words. Forward, all of it has the bits of the loop.
"""

import triton
import triton.language as tl

from ..values import load, load_each, load_or_zero, store
from .affine import _RUNTIME, _channels, _options, _rows, _time


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x,
    p,
    start,  # the states before each row's first step, by row
    y,
    h_last,
    saved,  # or None; first writes are T where time is cut
    B,
    T,
    C,
    chunks,
    steps,  # of a row; a multiple of 32
    eps: "fp64",  # noqa: F821  0
    width: "fp64",  # noqa: F821
    GATE: tl.constexpr,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """y and h_last, and what is saved."""
    row, row_ok = _rows(B * chunks, ROWS)
    b, k = row // chunks, row % chunks
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    options = _options(0.0, width, CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, PLANES)
    h = load_or_zero(start, row, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    word = tl.zeros((ROWS, BLOCK_C), tl.int32)
    first_write = tl.zeros((ROWS, BLOCK_C), tl.int32) + T
    first = k * steps
    for s in range(0, steps, UNROLL):
        xs = ()
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, lane & (t < T), CARRY, PLANES),)
        bits = tl.zeros((ROWS, BLOCK_C), tl.int32)
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            a, written = GATE(xs[i], params, options, PLANES)
            update = (a == 0) & (t < T)
            h = tl.where(update, written, h)
            store(y, b, _time(t, T, REVERSE), c, h, lane & (t < T), PLANES)
            if saved is not None:
                bits = bits | (((h == params[0]) & (t < T)).to(tl.int32) << i)
                first_write = tl.where(update, tl.minimum(first_write, t.to(tl.int32)), first_write)
        if saved is not None:
            word = tl.where(s % 32 == 0, bits, word | (bits << (s % 32)))
            begin = first + (s + UNROLL - 32)  # of the word, if these steps are its last
            store(saved, b, begin // 32, c, word, lane & (begin % 32 == 0) & (begin < T), 1)
    store(h_last, b, 0, c, h, lane & (k == chunks - 1), PLANES)
    if saved is not None:
        if chunks == 1:
            store(saved, b, (T + 31) // 32, c, first_write, lane, 1)
        else:  # the least of the pieces, in any order
            at = saved[0] + b * saved[1] + (T + 31) // 32 * saved[2] + c * saved[3]
            tl.atomic_min(at, first_write, mask=lane, sem="relaxed")


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x,
    p,
    h0,
    saved,
    dy,
    start,  # the adjoints that enter each row from the step after its last, by row
    dx,
    dp,  # this row's share of the gradient of alpha, by row
    dh0,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",  # noqa: F821  0
    width: "fp64",  # noqa: F821
    GATE: tl.constexpr,
    PULLBACK: tl.constexpr,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """The gradients of everything. Rows are numbered in the order of the adjoint: the last piece of time first."""
    row, row_ok = _rows(B * chunks, ROWS)
    b, k = row // chunks, chunks - 1 - row % chunks
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    options = _options(0.0, width, CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, PLANES)
    at_start = load_or_zero(h0, b, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    carry = load_or_zero(start, row, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    first_write = load(saved, b, (T + 31) // 32, c, lane, tl.int32, 1)
    zero = tl.zeros((ROWS, BLOCK_C), CARRY)
    sum = tl.zeros((ROWS, BLOCK_C), tl.float64)
    first = k * steps
    last_word = first + (steps - 32)
    word = load(saved, b, last_word // 32, c, lane & (last_word < T), tl.int32, 1)
    for s in range(0, steps, UNROLL):
        begin = first + (steps - UNROLL - s)
        xs = ()
        dys = ()
        for i in tl.static_range(UNROLL):
            t = begin + (UNROLL - 1 - i)
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, lane & (t < T), CARRY, PLANES),)
            dys = dys + (load_or_zero(dy, b, _time(t, T, REVERSE), c, lane & (t < T), ROWS, BLOCK_C, CARRY, PLANES),)
        # The state before the first step of a word has its bit in the word before.
        crosses = (begin % 32 == 0) & (begin > 0) & (begin - 32 < T)
        earlier = load(saved, b, begin // 32 - 1, c, lane & crosses, tl.int32, 1)
        turn = zero
        for i in tl.static_range(UNROLL):
            t = begin + (UNROLL - 1 - i)
            now = lane & (t < T)
            if i == UNROLL - 1:
                word = tl.where(begin % 32 == 0, earlier, word)
            bit = (word >> ((t + 31) % 32).to(tl.int32)) & 1
            before = tl.where(bit != 0, params[0], -params[0])
            before = tl.where(first_write >= t.to(tl.int32), at_start, before)
            g = dys[i] + carry
            dx_now, dp_now = PULLBACK(xs[i], params, options, before, g, PLANES)
            for j in tl.static_range(len(x)):
                store(dx[j], b, _time(t, T, REVERSE), c, dx_now[j], now, PLANES)
            turn = turn + tl.where(t < T, dp_now[0], zero)
            a, _ = GATE(xs[i], params, options, PLANES)
            carry = tl.where(t < T, tl.where(a == 0, zero, g), carry)
        sum = sum + turn
    store(dh0, b, 0, c, carry, lane & (k == 0), PLANES)
    store(dp[0], row, 0, c, sum, lane, PLANES)
