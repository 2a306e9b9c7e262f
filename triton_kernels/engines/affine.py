"""The affine engine: forward and backward of h[t] = a[t] h[t-1] + b[t] for any cell.

A program owns a tile of ROWS rows by BLOCK_C channels and walks time. A row is a batch element or, where the lanes of batch and
channels are too few to fill a GPU, one of the ``chunks`` pieces that its time is cut into. The state stays in registers; the loads of
UNROLL steps are issued together, because a step is much shorter than a trip to memory. Every lane is a loop of its own, in the
order of time, so a sequence run in pieces has the bits of the sequence run whole.

Cut time takes three launches: ``summarize_*`` reduces every piece to an affine map (carry -> scale carry + offset), ``carries`` runs
along the maps, and ``forward`` or ``backward`` then starts each piece from its carry.

B, T, chunks and steps are never specialized: another length compiles nothing.
"""

import triton
import triton.language as tl

from ..values import add, conj_multiply, full, is_zero, load, load_each, load_or_zero, multiply, spread, store, where

_RUNTIME = ["B", "T", "chunks", "steps"]


@triton.jit
def _rows(count, ROWS: tl.constexpr):
    """This program's rows, [ROWS, 1] in 64 bit, and which of them exist."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    return row, row < count


@triton.jit
def _channels(C, BLOCK_C: tl.constexpr):
    """This program's channels, [1, BLOCK_C]."""
    return (tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C))[None, :]


@triton.jit
def _options(eps, width, CARRY: tl.constexpr):
    return tl.full((), eps, CARRY), tl.full((), width, CARRY)


@triton.jit
def _time(t, T, REVERSE: tl.constexpr):
    """The place in memory of the t-th step."""
    if REVERSE:
        return T - 1 - t
    else:
        return t


@triton.jit
def _load_reset(reset, b, t, mask):
    """[ROWS, 1], whether the state before this step is h_reset."""
    if reset is None:
        return mask & False
    else:
        return tl.load(reset[0] + b * reset[1] + t * reset[2], mask=mask, other=0) != 0


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x,
    p,
    start,  # the states before each row's first step, by row
    reset,
    h_reset,
    y,
    h_last,
    B,
    T,
    C,
    chunks,
    steps,  # of a row; a multiple of UNROLL
    eps: "fp64",  # noqa: F821
    width: "fp64",  # noqa: F821
    GATE: tl.constexpr,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """y and h_last."""
    row, row_ok = _rows(B * chunks, ROWS)
    b, k = row // chunks, row % chunks
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    options = _options(eps, width, CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, PLANES)
    h = load_or_zero(start, row, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    at_reset = load_or_zero(h_reset, b, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    first = k * steps
    for s in range(0, steps, UNROLL):
        xs = ()
        resets = ()
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, lane & (t < T), CARRY, PLANES),)
            resets = resets + (_load_reset(reset, b, _time(t, T, REVERSE), row_ok & (t < T)),)
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            if reset is not None:
                h = where(resets[i], at_reset, h, PLANES)
            a, add_on = GATE(xs[i], params, options, PLANES)
            h = where(t < T, add(multiply(a, h, PLANES), add_on, PLANES), h, PLANES)
            store(y, b, _time(t, T, REVERSE), c, h, lane & (t < T), PLANES)
    store(h_last, b, 0, c, h, lane & (k == chunks - 1), PLANES)


@triton.jit(do_not_specialize=_RUNTIME)
def summarize_forward(
    x,
    p,
    reset,
    h_reset,
    scale_out,
    offset_out,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",  # noqa: F821
    width: "fp64",  # noqa: F821
    GATE: tl.constexpr,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Each row as a map of the state before it to the state after it."""
    row, row_ok = _rows(B * chunks, ROWS)
    b, k = row // chunks, row % chunks
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    options = _options(eps, width, CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, PLANES)
    at_reset = load_or_zero(h_reset, b, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    scale = full(1.0, ROWS, BLOCK_C, CARRY, PLANES)
    offset = full(0.0, ROWS, BLOCK_C, CARRY, PLANES)
    first = k * steps
    for s in range(0, steps, UNROLL):
        xs = ()
        resets = ()
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, lane & (t < T), CARRY, PLANES),)
            resets = resets + (_load_reset(reset, b, _time(t, T, REVERSE), row_ok & (t < T)),)
        for i in tl.static_range(UNROLL):
            t = first + (s + i)
            if reset is not None:
                scale = where(resets[i], full(0.0, ROWS, BLOCK_C, CARRY, PLANES), scale, PLANES)
                offset = where(resets[i], at_reset, offset, PLANES)
            a, add_on = GATE(xs[i], params, options, PLANES)
            scale = where(t < T, multiply(a, scale, PLANES), scale, PLANES)
            offset = where(t < T, add(multiply(a, offset, PLANES), add_on, PLANES), offset, PLANES)
    store(scale_out, row, 0, c, scale, lane, PLANES)
    store(offset_out, row, 0, c, offset, lane, PLANES)


@triton.jit(do_not_specialize=_RUNTIME)
def carries(
    start,
    scale,
    offset,
    out,
    B,
    C,
    chunks,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """The carry into each piece, in the order in which the pieces follow each other."""
    b, row_ok = _rows(B, ROWS)
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    carry = load_or_zero(start, b, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    for k0 in range(0, chunks, UNROLL):
        maps = ()
        for i in tl.static_range(UNROLL):
            row, mask = b * chunks + (k0 + i), lane & (spread(k0 + i, lane) < chunks)
            scales = load(scale, row, 0, c, mask, CARRY, PLANES)
            maps = maps + ((scales, load(offset, row, 0, c, mask, CARRY, PLANES)),)
        for i in tl.static_range(UNROLL):
            store(out, b * chunks + (k0 + i), 0, c, carry, lane & (spread(k0 + i, lane) < chunks), PLANES)
            moved = add(multiply(maps[i][0], carry, PLANES), maps[i][1], PLANES)
            # A scale of exactly 0 is a reset or a written latch: it drops the carry, infinite or not.
            carry = where(is_zero(maps[i][0], PLANES), maps[i][1], moved, PLANES)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x,
    p,
    h0,
    reset,
    h_reset,
    states,  # y, or None where the pullback does not read the state
    dy,
    start,  # the adjoints that enter each row from the step after its last, by row
    dx,
    dp,  # this row's share of the parameters' gradients, by row
    dh0,
    dh_reset,  # by row
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",  # noqa: F821
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
    options = _options(eps, width, CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, PLANES)
    carry = load_or_zero(start, row, 0, c, lane, ROWS, BLOCK_C, CARRY, PLANES)
    zero = full(0.0, ROWS, BLOCK_C, CARRY, PLANES)
    # Sums over time are single only over the steps of one turn of the loop.
    sums = ()
    for _ in tl.static_range(len(p)):
        sums = sums + (full(0.0, ROWS, BLOCK_C, tl.float64, PLANES),)
    reset_sum = full(0.0, ROWS, BLOCK_C, tl.float64, PLANES)
    first = k * steps
    for s in range(0, steps, UNROLL):
        xs = ()
        dys = ()
        befores = ()
        resets = ()
        for i in tl.static_range(UNROLL):
            t = first + (steps - 1 - i - s)
            now = lane & (t < T)
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, now, CARRY, PLANES),)
            dys = dys + (load_or_zero(dy, b, _time(t, T, REVERSE), c, now, ROWS, BLOCK_C, CARRY, PLANES),)
            resets = resets + (_load_reset(reset, b, _time(t, T, REVERSE), row_ok & (t < T)),)
            if states is None:
                befores = befores + (zero,)
            else:
                before = load(states, b, _time(t - 1, T, REVERSE), c, now & (t > 0), CARRY, PLANES)
                if h0 is not None:
                    before = where(t == 0, load(h0, b, 0, c, lane & (t == 0), CARRY, PLANES), before, PLANES)
                if reset is not None:
                    masked = lane & resets[i]
                    before = where(resets[i], load_or_zero(h_reset, b, 0, c, masked, ROWS, BLOCK_C, CARRY, PLANES), before, PLANES)
                befores = befores + (before,)
        turn = ()
        for _ in tl.static_range(len(p)):
            turn = turn + (zero,)
        reset_turn = zero
        for i in tl.static_range(UNROLL):
            t = first + (steps - 1 - i - s)
            now = lane & (t < T)
            g = add(dys[i], carry, PLANES)
            dx_now, dp_now = PULLBACK(xs[i], params, options, befores[i], g, PLANES)
            for j in tl.static_range(len(x)):
                store(dx[j], b, _time(t, T, REVERSE), c, dx_now[j], now, PLANES)
            grown = ()
            for j in tl.static_range(len(p)):
                grown = grown + (add(turn[j], where(t < T, dp_now[j], zero, PLANES), PLANES),)
            turn = grown
            passed = conj_multiply(GATE(xs[i], params, options, PLANES)[0], g, PLANES)
            if reset is not None:
                if dh_reset is not None:
                    reset_turn = add(reset_turn, where(resets[i], passed, zero, PLANES), PLANES)
                passed = where(resets[i], zero, passed, PLANES)
            carry = where(t < T, passed, carry, PLANES)
        grown_sums = ()
        for j in tl.static_range(len(p)):
            grown_sums = grown_sums + (add(sums[j], turn[j], PLANES),)
        sums = grown_sums
        if dh_reset is not None:
            reset_sum = add(reset_sum, reset_turn, PLANES)
    store(dh0, b, 0, c, carry, lane & (k == 0), PLANES)
    for j in tl.static_range(len(p)):
        store(dp[j], row, 0, c, sums[j], lane, PLANES)
    if dh_reset is not None:
        store(dh_reset, row, 0, c, reset_sum, lane, PLANES)


@triton.jit(do_not_specialize=_RUNTIME)
def summarize_backward(
    x,
    p,
    reset,
    dy,
    scale_out,
    offset_out,
    B,
    T,
    C,
    chunks,
    steps,
    eps: "fp64",  # noqa: F821
    width: "fp64",  # noqa: F821
    GATE: tl.constexpr,
    CARRY: tl.constexpr,
    PLANES: tl.constexpr,
    REVERSE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Each row, numbered as in ``backward``, as a map of the adjoint that enters it to the one that leaves it."""
    row, row_ok = _rows(B * chunks, ROWS)
    b, k = row // chunks, chunks - 1 - row % chunks
    c = _channels(C, BLOCK_C)
    lane = row_ok & (c < C)
    options = _options(eps, width, CARRY)
    params = load_each(p, b, 0, c, lane, CARRY, PLANES)
    zero = full(0.0, ROWS, BLOCK_C, CARRY, PLANES)
    scale = full(1.0, ROWS, BLOCK_C, CARRY, PLANES)
    offset = zero
    first = k * steps
    for s in range(0, steps, UNROLL):
        xs = ()
        dys = ()
        resets = ()
        for i in tl.static_range(UNROLL):
            t = first + (steps - 1 - i - s)
            now = lane & (t < T)
            xs = xs + (load_each(x, b, _time(t, T, REVERSE), c, now, CARRY, PLANES),)
            dys = dys + (load_or_zero(dy, b, _time(t, T, REVERSE), c, now, ROWS, BLOCK_C, CARRY, PLANES),)
            resets = resets + (_load_reset(reset, b, _time(t, T, REVERSE), row_ok & (t < T)),)
        for i in tl.static_range(UNROLL):
            t = first + (steps - 1 - i - s)
            a = GATE(xs[i], params, options, PLANES)[0]
            scaled = conj_multiply(a, scale, PLANES)
            moved = conj_multiply(a, add(dys[i], offset, PLANES), PLANES)
            if reset is not None:
                scaled = where(resets[i], zero, scaled, PLANES)
                moved = where(resets[i], zero, moved, PLANES)
            scale = where(t < T, scaled, scale, PLANES)
            offset = where(t < T, moved, offset, PLANES)
    store(scale_out, row, 0, c, scale, lane, PLANES)
    store(offset_out, row, 0, c, offset, lane, PLANES)
