"""The step engine: forward and backward of any cell that is nonlinear in its states, step by step.

A program is one warp that owns a tile of ROWS batch elements by BLOCK_C channels, one element a thread, with states and adjoints in
registers. A step is a long chain of operations, so what counts is that no step waits for memory: the loads of the turn after the next, of
UNROLL steps, are issued before this turn's steps are computed.

MEMORY says what the backward pass reads: "output" y, which is the state; "states" what the cell saves of every step, planes (B, planes, T,
C); "checkpoints" all states before every interval-th step (B, states, .., C), from which an interval at a time is run again into a
workspace of the program's own. The kernels are compiled without contraction of products and sums, so a step run again has the bits
of the first run, and parameters' gradients are summed step by step in double precision: the way of saving changes no bit.

B, T and interval are never specialized: another length compiles nothing.
"""

# ruff: noqa: F821  "fp64" is a type of Triton's: that of a number that the caller gives

import triton
import triton.language as tl

from ..values import load_each, load_or_zero, load_planes, load_states, select, spread, store_planes
from .affine import _channels, _load_reset, _rows, _time

_RUNTIME = ["B", "T", "interval"]


@triton.jit
def _numbers(o, CARRY: tl.constexpr):
    numbers = ()
    for i in tl.static_range(len(o)):
        numbers = numbers + (tl.full((), o[i], CARRY),)
    return numbers


@triton.jit
def _ask(x, reset, b, s, T, c, lane, CARRY: tl.constexpr, REVERSE: tl.constexpr, UNROLL: tl.constexpr):
    """Inputs and resets of UNROLL steps from step s on."""
    xs = ()
    resets = ()
    for i in tl.static_range(UNROLL):
        now = lane & (spread(s + i, lane) < T)
        xs = xs + (load_each(x, b, _time(s + i, T, REVERSE), c, now, CARRY, 1),)
        if reset is not None:
            resets = resets + (_load_reset(reset, b, _time(s + i, T, REVERSE), now),)
    return xs, resets


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x,
    p,
    start,
    reset,
    h_reset,
    y,
    h_last,
    saved,
    B,
    T,
    C,
    interval,
    o0: "fp64",
    o1: "fp64",
    o2: "fp64",
    o3: "fp64",
    o4: "fp64",
    o5: "fp64",
    o6: "fp64",
    o7: "fp64",
    o8: "fp64",
    o9: "fp64",
    o10: "fp64",
    o11: "fp64",
    o12: "fp64",
    STEP: tl.constexpr,
    SAVE: tl.constexpr,
    STATES: tl.constexpr,
    MEMORY: tl.constexpr,
    CARRY: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """y, h_last, and what is saved."""
    b, row_ok = _rows(B, ROWS)
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    numbers = _numbers((o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12), CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, 1)
    state = load_states(start, b, c, lane, STATES, CARRY)
    at_reset = load_states(h_reset, b, c, lane, STATES, CARRY)
    asked = _ask(x, reset, b, 0, T, c, lane, CARRY, REVERSE, UNROLL)
    later = _ask(x, reset, b, UNROLL, T, c, lane, CARRY, REVERSE, UNROLL)
    for s in range(0, T, UNROLL):
        xs, resets = asked
        asked = later
        later = _ask(x, reset, b, s + 2 * UNROLL, T, c, lane, CARRY, REVERSE, UNROLL)
        for i in tl.static_range(UNROLL):
            t = s + i
            now = lane & (spread(t, lane) < T)
            if reset is not None:
                state = select(resets[i], at_reset, state)
            if MEMORY == "checkpoints":
                store_planes(saved, b, t // interval, c, state, now & (spread(t % interval, lane) == 0))
            after, out = STEP(xs[i], params, numbers, state)
            store_planes(y, b, _time(t, T, REVERSE), c, (out,), now)
            if MEMORY == "states":
                store_planes(saved, b, _time(t, T, REVERSE), c, SAVE(after, numbers), now)
            state = select(t < T, after, state)
    store_planes(h_last, b, 0, c, state, lane)


@triton.jit
def _run_again(
    x,
    params,
    reset,
    at_reset,
    saved,
    work,
    b,
    piece,
    lo,
    hi,
    T,
    c,
    lane,
    numbers,
    STEP: tl.constexpr,
    SAVE: tl.constexpr,
    STATES: tl.constexpr,
    CARRY: tl.constexpr,
    REVERSE: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Steps [lo, hi) from their checkpoint; what is saved of the states before and after each goes to rows 0 .. hi-lo of the workspace."""
    state = load_planes(saved, b, piece, c, lane, STATES, CARRY)
    store_planes(work, b, 0, c, SAVE(state, numbers), lane)
    asked = _ask(x, reset, b, lo, T, c, lane, CARRY, REVERSE, UNROLL)
    later = _ask(x, reset, b, lo + UNROLL, T, c, lane, CARRY, REVERSE, UNROLL)
    for s in range(lo, hi, UNROLL):
        xs, resets = asked
        asked = later
        later = _ask(x, reset, b, s + 2 * UNROLL, T, c, lane, CARRY, REVERSE, UNROLL)
        for i in tl.static_range(UNROLL):
            if reset is not None:
                state = select(resets[i], at_reset, state)
            state, _ = STEP(xs[i], params, numbers, state)
            store_planes(work, b, s + i - lo + 1, c, SAVE(state, numbers), lane & (spread(s + i, lane) < hi))


@triton.jit
def _ask_back(
    x,
    reset,
    saved,
    dy,
    first,
    b,
    s,
    lo,
    T,
    c,
    lane,
    SAVED: tl.constexpr,
    MEMORY: tl.constexpr,
    READS_INPUTS: tl.constexpr,
    CARRY: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Inputs, resets, output gradients, and what was saved before each of UNROLL steps from step s down, of those not below lo."""
    xs = ()
    resets = ()
    dys = ()
    befores = ()
    for i in tl.static_range(UNROLL):
        t = s - i
        now = lane & (spread(t, lane) >= lo)
        if READS_INPUTS:
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, now, CARRY, 1),)
        if reset is not None:
            resets = resets + (_load_reset(reset, b, _time(t, T, REVERSE), now),)
        dys = dys + (load_or_zero(dy, b, _time(t, T, REVERSE), c, now, ROWS, BLOCK_C, CARRY, 1),)
        if MEMORY == "checkpoints":
            befores = befores + (load_planes(saved, b, t - lo, c, now, SAVED, CARRY),)
        else:
            loaded = load_planes(saved, b, _time(t - 1, T, REVERSE), c, now & (spread(t, lane) > 0), SAVED, CARRY)
            befores = befores + (select(t == 0, first, loaded),)
    return xs, resets, dys, befores


@triton.jit
def _walk_back(
    x,
    params,
    reset,
    first,
    at_reset,
    saved,
    dy,
    dx,
    adjoint,
    sums,
    reset_sums,
    b,
    lo,
    hi,
    T,
    c,
    lane,
    numbers,
    PULLBACK: tl.constexpr,
    SAVED: tl.constexpr,
    MEMORY: tl.constexpr,
    KIND: tl.constexpr,
    READS_INPUTS: tl.constexpr,
    CARRY: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Steps hi-1 down to lo: the adjoint of the states before them, and the sums of parameters and resets, which grow."""
    if MEMORY == "checkpoints":
        after = load_planes(saved, b, hi - lo, c, lane, SAVED, CARRY)
    else:
        after = load_planes(saved, b, _time(hi - 1, T, REVERSE), c, lane & (spread(hi, lane) > 0), SAVED, CARRY)
    asked = _ask_back(
        x, reset, saved, dy, first, b, hi - 1, lo, T, c, lane, SAVED, MEMORY, READS_INPUTS, CARRY, REVERSE, ROWS, BLOCK_C, UNROLL
    )
    nearest = hi - 1 - UNROLL
    later = _ask_back(
        x, reset, saved, dy, first, b, nearest, lo, T, c, lane, SAVED, MEMORY, READS_INPUTS, CARRY, REVERSE, ROWS, BLOCK_C, UNROLL
    )
    for s in range(0, hi - lo, UNROLL):
        xs, resets, dys, befores = asked
        following = hi - 1 - s - 2 * UNROLL
        asked = later
        later = _ask_back(
            x, reset, saved, dy, first, b, following, lo, T, c, lane, SAVED, MEMORY, READS_INPUTS, CARRY, REVERSE, ROWS, BLOCK_C, UNROLL
        )
        for i in tl.static_range(UNROLL):
            t = hi - 1 - s - i
            before = befores[i]
            if reset is not None:
                before = select(resets[i], at_reset, before)
            inputs = ()
            if READS_INPUTS:
                inputs = xs[i]
            passed, dx_now, dp_now = PULLBACK(inputs, params, numbers, before, after, dys[i], adjoint, KIND)
            for j in tl.static_range(len(dx)):
                store_planes(dx[j], b, _time(t, T, REVERSE), c, (dx_now[j],), lane & (spread(t, lane) >= lo))
            sums = _grown(sums, dp_now, t >= lo)
            if reset is not None:
                reset_sums = _grown(reset_sums, passed, resets[i])
                passed = _dropped(resets[i], passed)
            adjoint = select(t >= lo, passed, adjoint)
            after = befores[i]
    return adjoint, sums, reset_sums


@triton.jit
def _grown(sums, tiles, mask):
    """sums + tiles where the mask is set."""
    grown = ()
    for i in tl.static_range(len(sums)):
        grown = grown + (tl.where(mask, sums[i] + tiles[i].to(tl.float64), sums[i]),)
    return grown


@triton.jit
def _dropped(mask, tiles):
    """0 where the mask is set."""
    kept = ()
    for i in tl.static_range(len(tiles)):
        kept = kept + (tl.where(mask, 0.0, tiles[i]),)
    return kept


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x,
    p,
    start,
    reset,
    h_reset,
    saved,
    work,
    dy,
    dh_last,
    dx,
    dp,  # this row's share of the parameters' gradients, by row
    dh0,
    dh_reset,  # by row
    B,
    T,
    C,
    interval,
    o0: "fp64",
    o1: "fp64",
    o2: "fp64",
    o3: "fp64",
    o4: "fp64",
    o5: "fp64",
    o6: "fp64",
    o7: "fp64",
    o8: "fp64",
    o9: "fp64",
    o10: "fp64",
    o11: "fp64",
    o12: "fp64",
    STEP: tl.constexpr,
    SAVE: tl.constexpr,
    PULLBACK: tl.constexpr,
    STATES: tl.constexpr,
    SAVED: tl.constexpr,
    MEMORY: tl.constexpr,
    KIND: tl.constexpr,
    READS_INPUTS: tl.constexpr,
    CARRY: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """The gradients of everything."""
    b, row_ok = _rows(B, ROWS)
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    numbers = _numbers((o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12), CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, 1)
    first = SAVE(load_states(start, b, c, lane, STATES, CARRY), numbers)
    state_at_reset = load_states(h_reset, b, c, lane, STATES, CARRY)
    at_reset = SAVE(state_at_reset, numbers)
    adjoint = load_states(dh_last, b, c, lane, STATES, CARRY)
    sums = ()
    for _ in tl.static_range(len(p)):
        sums = sums + (tl.zeros((ROWS, BLOCK_C), tl.float64),)
    reset_sums = ()
    if dh_reset is not None:
        for _ in tl.static_range(STATES):
            reset_sums = reset_sums + (tl.zeros((ROWS, BLOCK_C), tl.float64),)
    if MEMORY == "checkpoints":
        pieces = (T + interval - 1) // interval
        for j in range(pieces):
            piece = pieces - 1 - j
            lo = piece * interval
            hi = tl.minimum(lo + interval, T)
            _run_again(
                x, params, reset, state_at_reset, saved, work, b, piece, lo, hi, T, c, lane, numbers,
                STEP, SAVE, STATES, CARRY, REVERSE, UNROLL,
            )  # fmt: skip
            tl.debug_barrier()  # a thread may read what another of the warp has written
            adjoint, sums, reset_sums = _walk_back(
                x, params, reset, first, at_reset, work, dy, dx, adjoint, sums, reset_sums, b, lo, hi, T, c, lane, numbers,
                PULLBACK, SAVED, MEMORY, KIND, READS_INPUTS, CARRY, REVERSE, ROWS, BLOCK_C, UNROLL,
            )  # fmt: skip
            tl.debug_barrier()
    else:
        adjoint, sums, reset_sums = _walk_back(
            x, params, reset, first, at_reset, saved, dy, dx, adjoint, sums, reset_sums, b, 0, T, T, c, lane, numbers,
            PULLBACK, SAVED, MEMORY, KIND, READS_INPUTS, CARRY, REVERSE, ROWS, BLOCK_C, UNROLL,
        )  # fmt: skip
    store_planes(dh0, b, 0, c, adjoint, lane)
    for j in tl.static_range(len(p)):
        store_planes(dp[j], b, 0, c, (sums[j],), lane)
    if dh_reset is not None:
        store_planes(dh_reset, b, 0, c, reset_sums, lane)
