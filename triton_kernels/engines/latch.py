"""The last-write-wins engine: the BMRU (eps = 0, alpha per channel, no resets), whose state is only
ever +alpha, -alpha or h0.

One bit per element is saved for the backward pass instead of the state: whether it is +alpha. What
is saved is that of csrc/cpu/latch.h, (B, ceil(T/32) + 1, C) of int32: bits of 32 consecutive steps
of a channel share a word, and the last row holds the step of the channel's first write, T if there
is none, since a bit means nothing before it.

A program walks time as in affine.py, and cut time takes the same launches there: with eps = 0 a
piece is a map whose scale is 0 or 1, which rounds nothing. A piece is whole words: steps is a
multiple of 32. Forward, all of it has the bits of the loop.
"""

# ruff: noqa: F821  "fp64" is a type of Triton's: that of a number that the caller gives

import triton
import triton.language as tl

from ..values import load, store
from .affine import RUNTIME, load_turn
from .program import begin, load_end, load_inputs, load_row, load_step, place, zeros


@triton.jit(do_not_specialize=RUNTIME)
def forward(
    streams,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",  # 0
    width: "fp64",
    cell,
    BUILD: tl.constexpr,
):
    """y and h_last, and what is saved, if there is a stream for it; its first writes are T
    beforehand where time is cut.
    """
    UNROLL: tl.constexpr = BUILD.UNROLL
    saved = streams.saved
    at = begin(streams, (0.0, width), B, T, C, chunks, False, BUILD)
    h = load_row(streams.start, at, BUILD)
    word = zeros(tl.int32, BUILD)
    first_write = zeros(tl.int32, BUILD) + T
    first = at.k * steps
    for s in range(0, steps, UNROLL):
        xs, _ = load_turn(streams, first, s, at, BUILD)
        bits = zeros(tl.int32, BUILD)
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            a, written = cell.gate(xs[i], at.params, at.numbers, 1)
            update = (a == 0) & (t < T)
            h = tl.where(update, written, h)
            store(streams.y, at.b, place(t, at, BUILD), at.c, h, at.lane & (t < T), 1)
            if len(saved) > 0:
                bits = bits | (((h == at.params[0]) & (t < T)).to(tl.int32) << i)
                first_write = tl.where(update, tl.minimum(first_write, t.to(tl.int32)), first_write)
        if len(saved) > 0:
            word = tl.where(s % 32 == 0, bits, word | (bits << (s % 32)))
            begun = first + (s + UNROLL - 32)  # the word, if these steps are its last
            index, mask = begun // 32, at.lane & (begun % 32 == 0) & (begun < T)
            store(saved, at.b, index, at.c, word, mask, 1)
    store(streams.h_last, at.b, 0, at.c, h, at.lane & (at.k == chunks - 1), 1)
    if len(saved) > 0:
        if chunks == 1:
            store(saved, at.b, (T + 31) // 32, at.c, first_write, at.lane, 1)
        else:  # the least of the pieces, in any order
            row = saved[0] + at.b * saved[1] + (T + 31) // 32 * saved[2]
            tl.atomic_min(row + at.c * saved[3], first_write, mask=at.lane, sem="relaxed")


@triton.jit(do_not_specialize=RUNTIME)
def backward(
    streams,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",  # 0
    width: "fp64",
    cell,
    BUILD: tl.constexpr,
):
    """The gradients of everything, of alpha by row."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    saved = streams.saved
    at = begin(streams, (0.0, width), B, T, C, chunks, True, BUILD)
    at_start = load_end(streams.h0, at.lane, at, BUILD)
    carry = load_row(streams.start, at, BUILD)
    first_write = load(saved, at.b, (T + 31) // 32, at.c, at.lane, tl.int32, 1)
    zero = zeros(BUILD.CARRY, BUILD)
    sum = zeros(tl.float64, BUILD)
    first = at.k * steps
    last_word = first + (steps - 32)
    word = load(saved, at.b, last_word // 32, at.c, at.lane & (last_word < T), tl.int32, 1)
    for s in range(0, steps, UNROLL):
        begun = first + (steps - UNROLL - s)
        xs = ()
        dys = ()
        for i in tl.static_range(UNROLL):
            t = begun + (UNROLL - 1 - i)
            step, now = place(t, at, BUILD), at.lane & (t < T)
            xs = xs + (load_inputs(streams.x, step, now, at, BUILD),)
            dys = dys + (load_step(streams.dy, step, now, at, BUILD),)
        # The state before the first step of a word has its bit in the word before.
        crosses = (begun % 32 == 0) & (begun > 0) & (begun - 32 < T)
        earlier = load(saved, at.b, begun // 32 - 1, at.c, at.lane & crosses, tl.int32, 1)
        turn = zero
        for i in tl.static_range(UNROLL):
            t = begun + (UNROLL - 1 - i)
            now = at.lane & (t < T)
            if i == UNROLL - 1:
                word = tl.where(begun % 32 == 0, earlier, word)
            bit = (word >> ((t + 31) % 32).to(tl.int32)) & 1
            before = tl.where(bit != 0, at.params[0], -at.params[0])
            before = tl.where(first_write >= t.to(tl.int32), at_start, before)
            g = dys[i] + carry
            dx_now, dp_now = cell.pullback(xs[i], at.params, at.numbers, before, g, 1)
            for j in tl.static_range(len(streams.x)):
                store(streams.dx[j], at.b, place(t, at, BUILD), at.c, dx_now[j], now, 1)
            turn = turn + tl.where(t < T, dp_now[0], zero)
            a, _ = cell.gate(xs[i], at.params, at.numbers, 1)
            carry = tl.where(t < T, tl.where(a == 0, zero, g), carry)
        sum = sum + turn
    store(streams.dh0, at.b, 0, at.c, carry, at.lane & (at.k == 0), 1)
    store(streams.dp[0], at.row, 0, at.c, sum, at.lane, 1)
