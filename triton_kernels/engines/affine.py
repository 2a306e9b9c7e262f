"""The affine engine: forward and backward of h[t] = a[t] h[t-1] + b[t] for any cell.

A program walks time over its tile of rows and channels. A row is a batch element or, where the
lanes of batch and channels are too few to fill a GPU, one of the ``chunks`` pieces that its time is
cut into. The state stays in registers; the loads of UNROLL steps are issued together, because a
step is much shorter than a trip to memory. Every lane is a loop of its own, in the order of time,
so a sequence run in pieces has the bits of the sequence run whole.

Cut time takes three launches: ``summarize_*`` reduces every piece to an affine map (carry -> scale
carry + offset), ``carries`` runs along the maps, and ``forward`` or ``backward`` then starts each
piece from its carry.

B, T, chunks and steps (of a row, a multiple of UNROLL) are never specialized: another length
compiles nothing.
"""

# ruff: noqa: F821  "fp64" is a type of Triton's: that of a number that the caller gives

import triton
import triton.language as tl

from ..values import (
    add,
    conj_multiply,
    full,
    handed_back,
    is_zero,
    load,
    multiply,
    spread,
    stepped,
    store,
    where,
)
from .program import (
    begin,
    begin_along,
    load_end,
    load_inputs,
    load_reset,
    load_row,
    load_step,
    place,
)

RUNTIME = ["B", "T", "chunks", "steps"]


@triton.jit
def _full(number, BUILD: tl.constexpr):
    return full(number, BUILD.ROWS, BUILD.BLOCK_C, BUILD.CARRY, BUILD.PLANES)


@triton.jit
def _full_double(number, BUILD: tl.constexpr):
    return full(number, BUILD.ROWS, BUILD.BLOCK_C, tl.float64, BUILD.PLANES)


@triton.jit
def load_turn(streams, first, s, at, BUILD: tl.constexpr):
    """Inputs and resets of UNROLL steps from each row's step s on."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    xs = ()
    resets = ()
    for i in tl.static_range(UNROLL):
        t = first + (s + i)
        step, now = place(t, at, BUILD), at.lane & (t < at.T)
        xs = xs + (load_inputs(streams.x, step, now, at, BUILD),)
        resets = resets + (load_reset(streams.reset, step, at.row_ok & (t < at.T), at),)
    return xs, resets


@triton.jit(do_not_specialize=RUNTIME)
def forward(
    streams,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",
    width: "fp64",
    cell,
    BUILD: tl.constexpr,
):
    """y and h_last."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    PLANES: tl.constexpr = BUILD.PLANES
    at = begin(streams, (eps, width), B, T, C, chunks, False, BUILD)
    h = load_row(streams.start, at, BUILD)
    at_reset = load_end(streams.h_reset, at.lane, at, BUILD)
    first = at.k * steps
    for s in range(0, steps, UNROLL):
        xs, resets = load_turn(streams, first, s, at, BUILD)
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            if len(streams.reset) > 0:
                h = where(resets[i], at_reset, h, PLANES)
            a, add_on = cell.gate(xs[i], at.params, at.numbers, PLANES)
            h = where(t < T, stepped(a, h, add_on, BUILD.FORGETS, PLANES), h, PLANES)
            store(streams.y, at.b, place(t, at, BUILD), at.c, h, at.lane & (t < T), PLANES)
    store(streams.h_last, at.b, 0, at.c, h, at.lane & (at.k == chunks - 1), PLANES)


@triton.jit(do_not_specialize=RUNTIME)
def summarize_forward(
    streams,
    scale_out,
    offset_out,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",
    width: "fp64",
    cell,
    BUILD: tl.constexpr,
):
    """Each row as a map of the state before it to the state after it."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    PLANES: tl.constexpr = BUILD.PLANES
    at = begin(streams, (eps, width), B, T, C, chunks, False, BUILD)
    at_reset = load_end(streams.h_reset, at.lane, at, BUILD)
    scale = _full(1.0, BUILD)
    offset = _full(0.0, BUILD)
    first = at.k * steps
    for s in range(0, steps, UNROLL):
        xs, resets = load_turn(streams, first, s, at, BUILD)
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            if len(streams.reset) > 0:
                scale = where(resets[i], _full(0.0, BUILD), scale, PLANES)
                offset = where(resets[i], at_reset, offset, PLANES)
            a, add_on = cell.gate(xs[i], at.params, at.numbers, PLANES)
            scale = where(t < T, multiply(a, scale, PLANES), scale, PLANES)
            moved = stepped(a, offset, add_on, BUILD.FORGETS, PLANES)
            offset = where(t < T, moved, offset, PLANES)
    store(scale_out, at.row, 0, at.c, scale, at.lane, PLANES)
    store(offset_out, at.row, 0, at.c, offset, at.lane, PLANES)


@triton.jit(do_not_specialize=RUNTIME)
def carries(start, scale, offset, out, B, C, chunks, BUILD: tl.constexpr):
    """The carry into each piece, in the order in which the pieces follow each other."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    PLANES: tl.constexpr = BUILD.PLANES
    at = begin_along(B, C, BUILD)
    carry = load_end(start, at.lane, at, BUILD)
    for k0 in range(0, chunks, UNROLL):
        maps = ()
        for i in tl.static_range(UNROLL):
            row, mask = at.b * chunks + (k0 + i), at.lane & (spread(k0 + i, at.lane) < chunks)
            scales = load(scale, row, 0, at.c, mask, BUILD.CARRY, PLANES)
            maps = maps + ((scales, load(offset, row, 0, at.c, mask, BUILD.CARRY, PLANES)),)
        for i in tl.static_range(UNROLL):
            row, mask = at.b * chunks + (k0 + i), at.lane & (spread(k0 + i, at.lane) < chunks)
            store(out, row, 0, at.c, carry, mask, PLANES)
            moved = add(multiply(maps[i][0], carry, PLANES), maps[i][1], PLANES)
            # A carry of 0 stays 0, though the scale has overflowed. A scale of exactly 0 is a reset
            # or a written latch: it drops the carry, infinite or not.
            moved = where(is_zero(carry, PLANES), maps[i][1], moved, PLANES)
            carry = where(is_zero(maps[i][0], PLANES), maps[i][1], moved, PLANES)


@triton.jit
def _load_before(streams, t, resets, now, at, BUILD: tl.constexpr):
    """The state before each row's step t."""
    PLANES: tl.constexpr = BUILD.PLANES
    if len(streams.saved) == 0:
        return _full(0.0, BUILD)
    else:
        step, mask = place(t - 1, at, BUILD), now & (t > 0)
        before = load(streams.saved, at.b, step, at.c, mask, BUILD.CARRY, PLANES)
        if len(streams.h0) > 0:
            mask = at.lane & (t == 0)
            at_start = load(streams.h0, at.b, 0, at.c, mask, BUILD.CARRY, PLANES)
            before = where(t == 0, at_start, before, PLANES)
        if len(streams.reset) > 0:
            at_reset = load_end(streams.h_reset, at.lane & resets, at, BUILD)
            before = where(resets, at_reset, before, PLANES)
        return before


@triton.jit
def _load_turn_back(streams, first, s, steps, at, BUILD: tl.constexpr):
    """Inputs, output gradients, resets and states before each of UNROLL steps, from s before a
    row's last step down.
    """
    UNROLL: tl.constexpr = BUILD.UNROLL
    xs = ()
    dys = ()
    befores = ()
    resets = ()
    for i in tl.static_range(UNROLL):
        t = first + (steps - 1 - i - s)
        now = at.lane & (t < at.T)
        step = place(t, at, BUILD)
        xs = xs + (load_inputs(streams.x, step, now, at, BUILD),)
        dys = dys + (load_step(streams.dy, step, now, at, BUILD),)
        resets = resets + (load_reset(streams.reset, step, at.row_ok & (t < at.T), at),)
        befores = befores + (_load_before(streams, t, resets[i], now, at, BUILD),)
    return xs, dys, resets, befores


@triton.jit(do_not_specialize=RUNTIME)
def backward(
    streams,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",
    width: "fp64",
    cell,
    BUILD: tl.constexpr,
):
    """The gradients of everything."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    PLANES: tl.constexpr = BUILD.PLANES
    at = begin(streams, (eps, width), B, T, C, chunks, True, BUILD)
    carry = load_row(streams.start, at, BUILD)
    zero = _full(0.0, BUILD)
    # Sums over time are single only over the steps of one turn of the loop.
    sums = ()
    for _ in tl.static_range(len(streams.p)):
        sums = sums + (_full_double(0.0, BUILD),)
    reset_sum = _full_double(0.0, BUILD)
    first = at.k * steps
    for s in range(0, steps, UNROLL):
        xs, dys, resets, befores = _load_turn_back(streams, first, s, steps, at, BUILD)
        turn = ()
        for _ in tl.static_range(len(streams.p)):
            turn = turn + (zero,)
        reset_turn = zero
        for i in tl.static_range(UNROLL):
            t = first + (steps - 1 - i - s)
            now = at.lane & (t < T)
            g = add(dys[i], carry, PLANES)
            dx_now, dp_now = cell.pullback(xs[i], at.params, at.numbers, befores[i], g, PLANES)
            for j in tl.static_range(len(streams.x)):
                store(streams.dx[j], at.b, place(t, at, BUILD), at.c, dx_now[j], now, PLANES)
            grown = ()
            for j in tl.static_range(len(streams.p)):
                grown = grown + (add(turn[j], where(t < T, dp_now[j], zero, PLANES), PLANES),)
            turn = grown
            a = cell.gate(xs[i], at.params, at.numbers, PLANES)[0]
            passed = handed_back(a, g, BUILD.FORGETS, PLANES)
            if len(streams.reset) > 0:
                if len(streams.dh_reset) > 0:
                    reset_now = where(resets[i], passed, zero, PLANES)
                    reset_turn = add(reset_turn, reset_now, PLANES)
                passed = where(resets[i], zero, passed, PLANES)
            carry = where(t < T, passed, carry, PLANES)
        grown_sums = ()
        for j in tl.static_range(len(streams.p)):
            grown_sums = grown_sums + (add(sums[j], turn[j], PLANES),)
        sums = grown_sums
        if len(streams.dh_reset) > 0:
            reset_sum = add(reset_sum, reset_turn, PLANES)
    store(streams.dh0, at.b, 0, at.c, carry, at.lane & (at.k == 0), PLANES)
    for j in tl.static_range(len(streams.p)):
        store(streams.dp[j], at.row, 0, at.c, sums[j], at.lane, PLANES)
    if len(streams.dh_reset) > 0:
        store(streams.dh_reset, at.row, 0, at.c, reset_sum, at.lane, PLANES)


@triton.jit(do_not_specialize=RUNTIME)
def summarize_backward(
    streams,
    scale_out,
    offset_out,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",
    width: "fp64",
    cell,
    BUILD: tl.constexpr,
):
    """Each row as a map of the adjoint that enters it to the one that leaves it."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    PLANES: tl.constexpr = BUILD.PLANES
    at = begin(streams, (eps, width), B, T, C, chunks, True, BUILD)
    zero = _full(0.0, BUILD)
    scale = _full(1.0, BUILD)
    offset = zero
    first = at.k * steps
    for s in range(0, steps, UNROLL):
        xs, dys, resets, _ = _load_turn_back(streams, first, s, steps, at, BUILD)
        for i in tl.static_range(UNROLL):
            t = first + (steps - 1 - i - s)
            a = cell.gate(xs[i], at.params, at.numbers, PLANES)[0]
            scaled = conj_multiply(a, scale, PLANES)
            moved = handed_back(a, add(dys[i], offset, PLANES), BUILD.FORGETS, PLANES)
            if len(streams.reset) > 0:
                scaled = where(resets[i], zero, scaled, PLANES)
                moved = where(resets[i], zero, moved, PLANES)
            scale = where(t < T, scaled, scale, PLANES)
            offset = where(t < T, moved, offset, PLANES)
    store(scale_out, at.row, 0, at.c, scale, at.lane, PLANES)
    store(offset_out, at.row, 0, at.c, offset, at.lane, PLANES)
