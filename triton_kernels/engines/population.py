"""The engine of populations: neurons that differ in their conductances, a lane each, whose states
stay in registers from the first step of a launch to its last.

lrnn_kernels/neurons/engine.py is the contract. A program is one warp of LANES neurons, which never
meet: what becomes of one does not depend on the others. Lanes without a neuron repeat the last one,
and nothing of them is written. Most steps have no crossing of a threshold in a warp, and pay for
spikes with two comparisons and a vote; times are made in double precision where there is one.

The kernel is compiled without contraction of products and sums, since noise has to be the same
numbers everywhere; what is fused in a neuron says fma.

Nothing is compiled anew for a number of neurons, steps or slots, an interval or a seed; for the
states that are recorded it is.
"""

# ruff: noqa: F821  "fp64" is a type of Triton's, see step.py.

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ..membrane import Time
from ..noise import low_pass, white

RUNTIME = [
    "B",
    "slots",
    "first_step",
    "steps",
    "record_every",
    "noise_every",
    "warm_up",
    "key_low",
    "key_high",
]


class PopulationStreams(NamedTuple):
    """What a population reads and writes, all of it contiguous. What may be absent is (tensor,) or
    ().

    Sections are numbers: in a tuple they are float32, as they are meant to be.
    """

    g: Any  # [B, channels]
    state: Any  # [B, WIDTH], float64
    times: Any  # [B, slots], float64
    counts: Any  # [B], int64
    current: Any = ()  # [samples, 1 or B]
    sigma: Any = ()  # [1 or B]
    neurons: Any = ()  # [B], int64
    sections: Any = ()  # K, a1, a2 of the one, then of the other


class PopulationBuild(NamedTuple):
    """What a kernel is compiled for."""

    CARRY: Any  # the type of the call
    CHANNELS: int
    STATES: int
    WIDTH: int  # columns of a state
    LANES: int
    EACH_CURRENT: bool = False  # whether there is a current for each neuron,
    WAVEFORM: bool = False  # ... and whether it changes
    EACH_SIGMA: bool = False
    #: Whether the steps between two white numbers are too many for a float32 and its half; else the
    #: share of them that has gone, rounded once from float32, is that from float64.
    LONG_INTERVAL: bool = False
    RECORD: tuple[int, ...] = ()  # states
    WRITTEN: bool = False  # whether the scheme is as written


@triton.jit
def _columns(
    pointer, b, FIRST: tl.constexpr, COUNT: tl.constexpr, WIDTH: tl.constexpr, dtype: tl.constexpr
):
    """Columns FIRST, FIRST + 1, ... of the rows b of an array WIDTH wide."""
    tiles = ()
    for i in tl.static_range(COUNT):
        tiles = tiles + (tl.load(pointer + b * WIDTH + (FIRST + i)).to(dtype),)
    return tiles


@triton.jit
def _store_columns(pointer, b, FIRST: tl.constexpr, WIDTH: tl.constexpr, tiles, mask):
    for i in tl.static_range(len(tiles)):
        tl.store(pointer + b * WIDTH + (FIRST + i), tiles[i].to(tl.float64), mask=mask)


@triton.jit
def _steps_until(step, every):
    """How many steps it is from one to the next multiple of every, itself included."""
    since = step % every
    return tl.where(since == 0, since, every - since)


@triton.jit
def _bits(word):
    return tl.full((), word, tl.int32).to(tl.uint32, bitcast=True)


@triton.jit
def _waveform(current, step, rate, columns, column, CARRY: tl.constexpr):
    """The current in the middle of a step, between two samples."""
    place = (step.to(tl.float64) + 0.5) * rate
    k = place.to(tl.int64)
    w = (place - k.to(tl.float64)).to(CARRY)
    at = current + k * columns + column
    a = tl.load(at)
    return a + w * (tl.load(at + columns) - a)


@triton.jit(do_not_specialize=RUNTIME, do_not_specialize_on_alignment=["record"])
def advance(
    streams,
    record,
    B,
    slots,
    first_step,
    steps,
    record_every,
    noise_every,
    warm_up,
    key_low,
    key_high,
    dt: "fp64",
    discard: "fp64",
    up: "fp64",
    reached_up: "fp64",
    reached_down: "fp64",
    current_rate: "fp64",
    share: "fp64",
    model,
    BUILD: tl.constexpr,
):
    """Takes neurons some steps further, in place. record [samples, len(RECORD), B] is written from
    its beginning, which may lie anywhere; without RECORD it is (). reached_up and reached_down are
    the least numbers of the call's type that are at the thresholds or above."""
    CARRY: tl.constexpr = BUILD.CARRY
    LANES: tl.constexpr = BUILD.LANES
    STATES: tl.constexpr = BUILD.STATES
    WIDTH: tl.constexpr = BUILD.WIDTH
    row = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    lane = row < B
    b = tl.minimum(row, B - 1)
    time = Time(
        tl.full((), dt, CARRY),
        tl.full((), 1.0 / dt, CARRY),
        tl.full((), share, CARRY),
        tl.full((), dt if BUILD.WRITTEN else 0.5 * dt, CARRY),
        (True,) if BUILD.WRITTEN else (),
    )
    above_up = tl.full((), reached_up, CARRY)
    below_down = tl.full((), reached_down, CARRY)
    g = _columns(streams.g, b, 0, BUILD.CHANNELS, BUILD.CHANNELS, CARRY)
    state = _columns(streams.state, b, 0, STATES, WIDTH, CARRY)
    E = tl.load(streams.state + b * WIDTH + STATES).to(CARRY)
    above = tl.load(streams.state + b * WIDTH + STATES + 1) != 0
    crossing = tl.load(streams.state + b * WIDTH + STATES + 2)
    counts = tl.load(streams.counts + b)
    slots = tl.zeros((LANES,), tl.int64) + slots
    step = tl.zeros((), tl.int64) + first_step

    injected = tl.zeros((LANES,), CARRY)
    columns = tl.zeros((), tl.int64) + 1
    column = tl.zeros((LANES,), tl.int64)
    if BUILD.EACH_CURRENT:
        columns = columns * B
        column = b
    if len(streams.current) > 0 and not BUILD.WAVEFORM:
        injected = tl.load(streams.current[0] + column)

    until_record = step
    if len(BUILD.RECORD) > 0:
        until_record = _steps_until(step, record_every)
    sampled = tl.zeros((), tl.int64)

    noise = ()
    until_noise = step
    sample = step
    if len(streams.sigma) > 0:
        noise = _columns(streams.state, b, STATES + 3, 10, WIDTH, tl.float32)
        until_noise = _steps_until(step, noise_every)
        sample = (step + until_noise) // noise_every + 1 + warm_up
        neurons = tl.load(streams.neurons[0] + b)
        if BUILD.EACH_SIGMA:
            sigma = tl.load(streams.sigma[0] + b)
        else:
            sigma = tl.load(streams.sigma[0] + tl.zeros((LANES,), tl.int64))
        key = _bits(key_low), _bits(key_high)
        interval = tl.full((), noise_every, tl.float32)

    for _ in range(steps):
        if len(BUILD.RECORD) > 0:
            if until_record == 0:
                for i in tl.static_range(len(BUILD.RECORD)):
                    place = (sampled * len(BUILD.RECORD) + i) * B + b
                    tl.store(record + place, state[BUILD.RECORD[i]], mask=lane)
                sampled += 1
                until_record += record_every
            until_record -= 1
        current = injected
        if BUILD.WAVEFORM:
            current = _waveform(streams.current[0], step, current_rate, columns, column, CARRY)
        if len(streams.sigma) > 0:
            if until_noise == 0:
                noise = low_pass(white(neurons, sample, key), noise, streams.sections)
                sample += 1
                until_noise += noise_every
            part = noise_every - until_noise
            until_noise -= 1
            if BUILD.LONG_INTERVAL:
                w = ((part.to(tl.float64) + 0.5) / noise_every).to(tl.float32)
            else:
                w = tl.div_rn(part.to(tl.float32) + 0.5, interval)
            current = current + sigma * (noise[8] + w * (noise[9] - noise[8])).to(CARRY)
        before = state[0]
        state, E = model.step(g, current, state, E, time)
        opens = (state[0] >= above_up) & (above == 0)
        closes = (state[0] < below_down) & above
        if tl.max((opens | closes).to(tl.int32), 0) != 0:
            vo = before.to(tl.float64)
            rise = (up - vo) / (state[0].to(tl.float64) - vo)
            crossing = tl.where(opens, (step.to(tl.float64) + rise) * dt, crossing)
            counted = closes & (crossing >= discard)
            place = b * slots + counts
            tl.store(streams.times + place, crossing, mask=lane & counted & (counts < slots))
            counts += counted.to(tl.int64)
            above = (above | opens) & (closes == 0)
        step += 1

    _store_columns(streams.state, b, 0, WIDTH, state, lane)
    extra = (E, tl.where(above, 1.0, 0.0), crossing) + noise
    _store_columns(streams.state, b, STATES, WIDTH, extra, lane)
    tl.store(streams.counts + b, counts, mask=lane)
