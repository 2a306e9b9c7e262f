"""The numbers that only a GPU can decide: how many bytes in flight the plan of the CUDA kernels
wants, and the tile of Triton's. What is found is for who writes them into the sources; ``python -m
benchmarks gpu tune`` searches the whole of Triton's table."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

from lrnn_kernels.backends import cuda

from ...measure.timing import ratio
from ...measure.traffic import OPS
from .. import shapes, timing
from ..device import LATENCY
from ..place import Limit, Place
from .machine import device

PLAN = "plan"
#: Of bytes in flight, by those of the device's bandwidth and LATENCY.
FACTORS = (0.5, 1.0, 1.5, 2.0, 3.0)
ROUNDS = 6
#: Of Triton's table what is tried in 8 minutes, for one operator of a family.
VALUES = {"elements": (2, 4, 8), "warps": (1,), "forward": (4, 8), "backward": (2, 4)}
SMALL_VALUES = {"elements": (4,), "warps": (1,), "forward": (4, 8), "backward": (4,)}
FAMILIES = (("affine", "single"), ("latch", "single"), ("affine", "half"), ("step", "single"))


def units(place: Place) -> list[tuple] | str:
    """("plan", operator, shape) of affine cells, and ("triton", family, width)."""
    found: list[tuple] = []
    if "cuda" in place.backends:
        affine = [n for n, op in OPS.items() if op.kernel.engine in ("affine", "latch")]
        found = [
            (PLAN, name, shape)
            for name in place.pick(affine[::3], affine[:1])
            for shape in place.pick((shapes.MAIN, shapes.LONE, shapes.PIXELS), (shapes.SMALL,))
        ]
    if "triton" in place.backends:
        found += [("triton", *key) for key in place.pick(FAMILIES, FAMILIES[:1])]
    return found or "no backend runs here"


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    place.warm_up()
    if unit[0] == PLAN:
        _plan(place, unit[1], tuple(unit[2]), emit)
    else:
        _triton(place, unit[1:], emit)


def _plan(place: Place, name: str, shape, emit) -> None:
    """Emits the time of a pass by that with the bytes in flight that are derived."""
    op, here = OPS[name], device(place)
    calls = timing.random_calls(op, shape, torch.float32, "cuda", place.device)
    calls.prepare_backward()
    cases = {}
    for factor in FACTORS:
        with bytes_in_flight(int(factor * here.plan.bytes_in_flight)):
            for direction in shapes.PASSES:
                cases[factor, direction] = place.clock.prepare(getattr(calls, direction))
    times = timing.interleave(cases, ROUNDS)
    for direction in shapes.PASSES:
        by = {f: round(ratio(times, (f, direction), (1.0, direction)), 3) for f in FACTORS}
        best = min(by, key=by.__getitem__)
        emit(
            operator=name,
            shape=shape,
            direction=direction,
            latency_ns=LATENCY * 1e9,
            seconds=median(times[1.0, direction]),
            time_by_factor=by,
            text=f"{name} {list(shape)} {direction}: best with {best} times the bytes in flight, "
            f"{by[best]:.2f} of the time",
        )


@contextmanager
def bytes_in_flight(count: int) -> Iterator[None]:
    """Within the block, the CUDA kernels are planned for so many."""
    change = ctypes.CDLL(str(cuda.current().path)).lrnn_gpu_set_bytes_in_flight
    change(ctypes.c_int64(count))
    try:
        yield
    finally:
        change(ctypes.c_int64(0))


def _triton(place: Place, key: tuple[str, str], emit) -> None:
    """Emits the time of every tile by the table's; last, the best."""
    from .. import tune

    def tell(row: tune.Row) -> None:
        emit(**row.as_json(), text=f"{row.config} {row.key.direction}: {row.ratio:.2f}")

    tuner = tune.Tuner(True, lambda *call: False, place.clock, place.device, tell=tell, operators=1)
    tuner.values = tuner.values | place.pick(VALUES, SMALL_VALUES)
    tuner.shapes = place.pick([shapes.MAIN], [shapes.SMALL])
    tuner.check_shape = place.pick(tuner.check_shape, shapes.SMALL)
    tuner.rounds = place.pick(tuner.rounds, 1)
    best = tuner.best_tile(key)
    emit(
        family=key[0],
        width=key[1],
        table=list(tuner.table[key]),
        best=list(best),
        left_out=tuner.left_out,
        text=f"{' '.join(key)}: the table {tuple(tuner.table[key])}, the best {tuple(best)}",
    )
