"""The step engine: forward and backward of any cell that is nonlinear in its states, step by step.

A program is one warp that owns a tile of ROWS batch elements by BLOCK_C channels, one element a
thread, with states and adjoints in registers. A step is a long chain of operations, so what counts
is that no step waits for memory: the loads of the turn after the next, of UNROLL steps, are issued
before this turn's steps are computed.

MEMORY says what the backward pass reads: "output" y, which is the state; "states" what the cell
saves of every step, planes (B, planes, T, C); "checkpoints" all states before every interval-th
step (B, states, .., C), from which an interval at a time is run again into a workspace of the
program's own. The kernels are compiled without contraction of products and sums, so a step run
again has the bits of the first run, and parameters' gradients are summed step by step in double
precision: the way of saving changes no bit.

B, T and interval are never specialized: another length compiles nothing.
"""

# ruff: noqa: F821  "fp64" is a type of Triton's: that of a number that the caller gives.
# Annotations must stay what they are: as strings of strings, by ``from __future__``, these would go
# unnoticed.

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ..values import load_planes, load_states, select, spread, store_planes
from .program import begin, load_inputs, load_reset, load_step, place, zeros

#: Numbers of a cell that the kernels take; they are no tuple, see program.py.
NUMBERS = 13

RUNTIME = ["B", "T", "interval"]


class StepBuild(NamedTuple):
    """What a kernel is compiled for: a Build, and how the cell's states are kept."""

    CARRY: Any
    PLANES: int
    REVERSE: bool
    ROWS: int
    BLOCK_C: int
    UNROLL: int
    FORGETS: bool
    STATES: int
    SAVED: int
    MEMORY: str
    KIND: int = 0
    READS_INPUTS: bool = True


class Walk(NamedTuple):
    """What the walk back carries from step to step."""

    adjoint: Any  # of the states after the step
    sums: Any  # of the parameters' gradients
    reset_sums: Any  # of the adjoints of the states at resets


@triton.jit
def _prefetch(streams, s, at, BUILD: tl.constexpr):
    """Inputs and resets of UNROLL steps from step s on."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    xs = ()
    resets = ()
    for i in tl.static_range(UNROLL):
        now = at.lane & (spread(s + i, at.lane) < at.T)
        step = place(s + i, at, BUILD)
        xs = xs + (load_inputs(streams.x, step, now, at, BUILD),)
        if len(streams.reset) > 0:
            resets = resets + (load_reset(streams.reset, step, now, at),)
    return xs, resets


@triton.jit(do_not_specialize=RUNTIME)
def forward(
    streams,
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
    cell,
    BUILD: tl.constexpr,
):
    """y, h_last, and what is saved."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    numbers = (o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12)
    at = begin(streams, numbers, B, T, C, None, False, BUILD)
    state = load_states(streams.start, at.b, at.c, at.lane, BUILD.STATES, BUILD.CARRY)
    at_reset = load_states(streams.h_reset, at.b, at.c, at.lane, BUILD.STATES, BUILD.CARRY)
    fetched = _prefetch(streams, 0, at, BUILD)
    later = _prefetch(streams, UNROLL, at, BUILD)
    for s in range(0, T, UNROLL):
        xs, resets = fetched
        fetched = later
        later = _prefetch(streams, s + 2 * UNROLL, at, BUILD)
        for i in tl.static_range(UNROLL):
            t = s + i
            now = at.lane & (spread(t, at.lane) < T)
            if len(streams.reset) > 0:
                state = select(resets[i], at_reset, state)
            if BUILD.MEMORY == "checkpoints":
                piece, mask = t // interval, now & (spread(t % interval, at.lane) == 0)
                store_planes(streams.saved, at.b, piece, at.c, state, mask)
            after, out = cell.step(xs[i], at.params, at.numbers, state)
            store_planes(streams.y, at.b, place(t, at, BUILD), at.c, (out,), now)
            if BUILD.MEMORY == "states":
                kept = cell.save(after, at.numbers)
                store_planes(streams.saved, at.b, place(t, at, BUILD), at.c, kept, now)
            state = select(t < T, after, state)
    store_planes(streams.h_last, at.b, 0, at.c, state, at.lane)


@triton.jit
def _run_again(streams, at_reset, piece, lo, hi, at, cell, BUILD: tl.constexpr):
    """Steps [lo, hi) from their checkpoint; what is saved of the states before and after each goes
    to rows 0 .. hi-lo of the workspace.
    """
    UNROLL: tl.constexpr = BUILD.UNROLL
    work = streams.work
    state = load_planes(streams.saved, at.b, piece, at.c, at.lane, BUILD.STATES, BUILD.CARRY)
    store_planes(work, at.b, 0, at.c, cell.save(state, at.numbers), at.lane)
    fetched = _prefetch(streams, lo, at, BUILD)
    later = _prefetch(streams, lo + UNROLL, at, BUILD)
    for s in range(lo, hi, UNROLL):
        xs, resets = fetched
        fetched = later
        later = _prefetch(streams, s + 2 * UNROLL, at, BUILD)
        for i in tl.static_range(UNROLL):
            if len(streams.reset) > 0:
                state = select(resets[i], at_reset, state)
            state, _ = cell.step(xs[i], at.params, at.numbers, state)
            row = s + i - lo + 1
            kept = cell.save(state, at.numbers)
            mask = at.lane & (spread(s + i, at.lane) < hi)
            store_planes(work, at.b, row, at.c, kept, mask)


@triton.jit
def _prefetch_back(streams, saved, first, s, lo, at, BUILD: tl.constexpr):
    """Inputs, resets, output gradients, and what was saved before each of UNROLL steps from step s
    down, of those not below lo.
    """
    UNROLL: tl.constexpr = BUILD.UNROLL
    xs = ()
    resets = ()
    dys = ()
    befores = ()
    for i in tl.static_range(UNROLL):
        t = s - i
        now = at.lane & (spread(t, at.lane) >= lo)
        step = place(t, at, BUILD)
        if BUILD.READS_INPUTS:
            xs = xs + (load_inputs(streams.x, step, now, at, BUILD),)
        if len(streams.reset) > 0:
            resets = resets + (load_reset(streams.reset, step, now, at),)
        dys = dys + (load_step(streams.dy, step, now, at, BUILD),)
        if BUILD.MEMORY == "checkpoints":
            before = load_planes(saved, at.b, t - lo, at.c, now, BUILD.SAVED, BUILD.CARRY)
            befores = befores + (before,)
        else:
            earlier, mask = place(t - 1, at, BUILD), now & (spread(t, at.lane) > 0)
            before = load_planes(saved, at.b, earlier, at.c, mask, BUILD.SAVED, BUILD.CARRY)
            befores = befores + (select(t == 0, first, before),)
    return xs, resets, dys, befores


@triton.jit
def _walk_back(streams, saved, first, at_reset, walk, lo, hi, at, cell, BUILD: tl.constexpr):
    """Steps hi-1 down to lo: the adjoint of the states before them, and the sums, which grow."""
    UNROLL: tl.constexpr = BUILD.UNROLL
    adjoint = walk.adjoint
    sums = walk.sums
    reset_sums = walk.reset_sums
    if BUILD.MEMORY == "checkpoints":
        after = load_planes(saved, at.b, hi - lo, at.c, at.lane, BUILD.SAVED, BUILD.CARRY)
    else:
        step, mask = place(hi - 1, at, BUILD), at.lane & (spread(hi, at.lane) > 0)
        after = load_planes(saved, at.b, step, at.c, mask, BUILD.SAVED, BUILD.CARRY)
    fetched = _prefetch_back(streams, saved, first, hi - 1, lo, at, BUILD)
    later = _prefetch_back(streams, saved, first, hi - 1 - UNROLL, lo, at, BUILD)
    for s in range(0, hi - lo, UNROLL):
        xs, resets, dys, befores = fetched
        fetched = later
        later = _prefetch_back(streams, saved, first, hi - 1 - s - 2 * UNROLL, lo, at, BUILD)
        for i in tl.static_range(UNROLL):
            t = hi - 1 - s - i
            before = befores[i]
            if len(streams.reset) > 0:
                before = select(resets[i], at_reset, before)
            inputs = ()
            if BUILD.READS_INPUTS:
                inputs = xs[i]
            passed, dx_now, dp_now = cell.pullback(
                inputs, at.params, at.numbers, before, after, dys[i], adjoint, BUILD.KIND
            )
            for j in tl.static_range(len(streams.dx)):
                step, mask = place(t, at, BUILD), at.lane & (spread(t, at.lane) >= lo)
                store_planes(streams.dx[j], at.b, step, at.c, (dx_now[j],), mask)
            sums = _grown(sums, dp_now, t >= lo)
            if len(streams.reset) > 0:
                reset_sums = _grown(reset_sums, passed, resets[i])
                passed = _dropped(resets[i], passed)
            adjoint = select(t >= lo, passed, adjoint)
            after = befores[i]
    return Walk(adjoint, sums, reset_sums)


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


@triton.jit(do_not_specialize=RUNTIME)
def backward(
    streams,
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
    cell,
    BUILD: tl.constexpr,
):
    """The gradients of everything."""
    STATES: tl.constexpr = BUILD.STATES
    numbers = (o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12)
    at = begin(streams, numbers, B, T, C, None, True, BUILD)
    start = load_states(streams.h0, at.b, at.c, at.lane, STATES, BUILD.CARRY)
    first = cell.save(start, at.numbers)
    state_at_reset = load_states(streams.h_reset, at.b, at.c, at.lane, STATES, BUILD.CARRY)
    at_reset = cell.save(state_at_reset, at.numbers)
    adjoint = load_states(streams.start, at.b, at.c, at.lane, STATES, BUILD.CARRY)
    sums = ()
    for _ in tl.static_range(len(streams.p)):
        sums = sums + (zeros(tl.float64, BUILD),)
    reset_sums = ()
    if len(streams.dh_reset) > 0:
        for _ in tl.static_range(STATES):
            reset_sums = reset_sums + (zeros(tl.float64, BUILD),)
    walk = Walk(adjoint, sums, reset_sums)
    if BUILD.MEMORY == "checkpoints":
        pieces = (T + interval - 1) // interval
        for j in range(pieces):
            piece = pieces - 1 - j
            lo = piece * interval
            hi = tl.minimum(lo + interval, T)
            _run_again(streams, state_at_reset, piece, lo, hi, at, cell, BUILD)
            tl.debug_barrier()  # a thread may read what another of the warp has written
            walk = _walk_back(streams, streams.work, first, at_reset, walk, lo, hi, at, cell, BUILD)
            tl.debug_barrier()
    else:
        walk = _walk_back(streams, streams.saved, first, at_reset, walk, 0, T, at, cell, BUILD)
    store_planes(streams.dh0, at.b, 0, at.c, walk.adjoint, at.lane)
    for j in tl.static_range(len(streams.p)):
        store_planes(streams.dp[j], at.b, 0, at.c, (walk.sums[j],), at.lane)
    if len(streams.dh_reset) > 0:
        store_planes(streams.dh_reset, at.b, 0, at.c, walk.reset_sums, at.lane)
