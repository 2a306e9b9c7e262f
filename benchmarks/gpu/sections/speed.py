"""Throughput: every operator on every backend, forward and backward, beside a copy of the same
bytes, beside what the model predicts, and beside the peers that are installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, replace
from statistics import median

import torch

from ...measure.results import Key, Shape
from ...measure.timing import Times, ratio
from ...measure.traffic import OPS, Calls, Op
from .. import model, peers, shapes, timing
from ..place import Limit, Place
from .machine import device

ROUNDS = 6
PEERS, JAX = "peers", "jax"
CALL = "one call"


def units(place: Place) -> list[tuple] | str:
    """(operator, type, shape), float32 and the main shape first; ("one call", backend); ("peers",
    operator) and ("jax", operator)."""
    found: list[tuple] = [
        (name, shapes.name_of(dtype), shape)
        for dtype in shapes.DTYPES
        for shape in shapes.shapes(place)
        for name in shapes.operators(place)
    ]
    first = len(shapes.operators(place)) * len(shapes.shapes(place))
    others = [(PEERS, name) for name, op in OPS.items() if peers.serves(op)][: place.pick(9, 1)]
    if peers.jax_is_here():
        others += [(JAX, name) for _, name in others]
    return found[:first] + [(CALL, b) for b in place.backends] + found[first:] + others


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits a row for each pass and backend."""
    place.warm_up()
    if unit[0] == CALL:
        us = call_us(unit[1], place.device, *place.pick((20, 50), (2, 1)))
        emit(backend=unit[1], small_call_us=us, text=f"a call on [1, 8, 16], {unit[1]}: {us} us")
    elif unit[0] in (PEERS, JAX):
        (_peers if unit[0] == PEERS else _jax)(place, OPS[unit[1]], emit)
    else:
        name, dtype, shape = unit
        rounds = place.pick(ROUNDS, 1)
        measure(place, OPS[name], tuple(shape), getattr(torch, dtype), emit, rounds)


def measure(place: Place, op: Op, shape: Shape, dtype: torch.dtype, emit, rounds: int) -> None:
    """Times both passes on all backends, round by round, with a copy beside each. A backend that
    cannot run costs the others nothing."""
    cases: dict[Key, Callable[[], float]] = {}
    copies = {}
    for backend in place.backends:
        key = Key(op.name, shape, shapes.name_of(dtype), "forward", backend=backend, device="cuda")
        try:
            calls = timing.random_calls(op, shape, dtype, backend, place.device)
            calls.prepare_backward()
            ours = {
                replace(key, direction=direction): place.clock.prepare(getattr(calls, direction))
                for direction in shapes.PASSES
            }
        except Exception as error:
            emit(**asdict(key), failed=f"{type(error).__name__}: {error}", text=f"{key}")
            continue
        cases |= ours
        copies |= {k: replace(k, case="torch copy", backend=place.backends[0]) for k in ours}
    for key, copy in copies.items():
        if copy not in cases:
            total = key.elements * op.bytes_per_element(dtype, key.direction == "backward")
            cases[copy] = place.clock.prepare(timing.copy_of(total, place.device))
    times = timing.interleave(cases, rounds)
    for key, copy in copies.items():
        row = row_of(op, key, copy, times) | predicted(place, op, key)
        emit(**row, text=text_of(row))


def row_of(op: Op, key: Key, copy: Hashable, times: Times) -> dict:
    """What was measured of a pass; share is the copy's time by its own."""
    dtype, seconds = getattr(torch, key.dtype), median(times[key])
    per_element = op.bytes_per_element(dtype, key.direction == "backward")
    total = key.elements * per_element
    return asdict(key) | {
        "seconds": seconds,
        "gelem_s": key.elements / seconds / 1e9,
        "bytes_per_element": per_element,
        "gbytes_s": total / seconds / 1e9,
        "copy_gbytes_s": total / median(times[copy]) / 1e9,
        "share": ratio(times, copy, key),
    }


def predicted(place: Place, op: Op, key: Key) -> dict:
    """What the model says of a pass of the CUDA kernels; and whether the shape fits into L2, of
    which it knows nothing."""
    here = device(place)
    total = key.elements * op.bytes_per_element(
        getattr(torch, key.dtype), key.direction == "backward"
    )
    found: dict = {"in_l2": total < here.l2}
    if key.backend == "cuda" and model.is_measured(op):
        backward = key.direction == "backward"
        try:
            guess = model.predict(op, key.shape, getattr(torch, key.dtype), backward, device=here)
        except (OSError, RuntimeError, LookupError) as error:  # no compiler; no table
            return found | {"model_missing": str(error)}
        found |= {"model_seconds": guess.seconds, "model_share": guess.share}
        found |= {"model_bound": guess.bound}
    return found


def text_of(row: dict) -> str:
    model_says = f", model {row['model_share']:.2f}" if "model_share" in row else ""
    return (
        f"{row['operator']} {list(row['shape'])} {row['dtype']} {row['direction']} "
        f"{row['backend']}: {row['seconds'] * 1e3:.3f} ms, {row['gbytes_s']:.0f} GB/s, "
        f"{row['share']:.2f} of the copy{model_says}{' (in L2)' if row.get('in_l2') else ''}"
    )


def call_us(backend: str, device: str, rounds: int, repeats: int) -> float:
    """Microseconds of a small call, forward and without gradients: what Python and the launch
    cost."""
    first = next(iter(OPS.values()))
    calls = timing.random_calls(first, (1, 8, 16), torch.float32, backend, device)
    for _ in range(rounds):
        calls.call()
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            calls.call()
        samples.append((time.perf_counter() - start) / repeats * 1e6)
    return round(median(samples), 2)


def _peers(place: Place, op: Op, emit) -> None:
    """The forward pass beside each peer's, in the same rounds."""
    for key, calls in _forward(place, op):
        cases = {key: place.clock.prepare(calls.forward)}
        for case, call in peers.of(op, calls).items():
            cases[replace(key, case=case)] = place.clock.prepare(call)
        _beside(cases, key, emit)


def _jax(place: Place, op: Op, emit) -> None:
    """The same by the host's clock, for both."""
    for key, calls in _forward(place, op):
        call, wait = peers.by_jax(calls)
        ours = timing.WaitClock(place.wait).prepare(calls.forward)
        theirs = timing.WaitClock(wait).prepare(call)
        _beside({key: ours, replace(key, case="jax.lax.associative_scan"): theirs}, key, emit)


def _forward(place: Place, op: Op) -> Iterator[tuple[Key, Calls]]:
    """The main shape on each backend, in float32."""
    shape = shapes.shapes(place)[0]
    for backend in place.backends:
        key = Key(op.name, shape, "float32", "forward", backend=backend, device="cuda")
        yield key, timing.random_calls(op, shape, torch.float32, backend, place.device)


def _beside(cases: dict[Key, Callable[[], float]], ours: Key, emit) -> None:
    times = timing.interleave(cases, ROUNDS)
    for other in list(cases)[1:]:
        by = ratio(times, other, ours)
        row = asdict(other) | {"seconds": median(times[other]), "ratio": by}
        emit(**row, text=f"{other.case}, {ours.backend}: its time by ours {by:.2f}")
