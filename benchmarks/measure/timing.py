"""Timing of several things side by side.

What is compared is interleaved in one loop, since a shared machine's speed drifts by a factor of
two within seconds: only ratios taken within one round mean anything, and their median is what is
reported.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable
from statistics import median

try:
    import resource
except ImportError:  # not a Unix
    resource = None

Times = dict[Hashable, list[float]]  # seconds per call of each case, one entry a round

MIN_SECONDS = 300e-6  # per timed piece: below that, the clock and the call around it would show
#: Before it: what fits into a shared cache has settled there after 5 to 8 calls, not after one.
WARM_SECONDS = 2e-3
#: A call this long is warm from its own beginning, and on a shared machine always cut into
#: somewhere: nothing goes before it, and it is not tried again.
LONG_SECONDS = 0.1
MIN_ROUNDS = 3
TRIES = 2  # of a piece that was preempted

#: Timed pieces so far, and how many of them another program cut into to the end: how quiet the
#: machine was.
pieces = {"timed": 0, "preempted": 0}


def interleave(
    cases: dict[Hashable, Callable[[], object]],
    rounds: int,
    budget: float = 2.0,
    before: Callable[[Hashable], object] = lambda name: None,
) -> Times:
    """Seconds per call of every case, round after round, for at most about ``budget`` seconds;
    before(name) runs first, untimed.

    Every round has an order of its own: what a case leaves in the caches, and how fast the memory
    happens to be, must not always meet the same other.
    """
    order, shuffle = list(cases.items()), random.Random(0).shuffle
    stop = time.perf_counter() + budget
    seconds = {}
    for name, call in cases.items():
        before(name)
        seconds[name] = _estimate(call)
    times: Times = {name: [] for name in cases}
    for done in range(rounds):
        if done >= MIN_ROUNDS and time.perf_counter() > stop:
            break
        shuffle(order)
        for name, call in order:
            before(name)
            # Untimed: wakes the threads of this case, lets those of the case before it go to sleep,
            # and brings its data back to the caches. Copies, whose buffers several cases share,
            # need that less than operators.
            long = seconds[name] >= LONG_SECONDS
            for _ in range(0 if long else _calls(WARM_SECONDS, seconds[name])):
                call()
            n = _calls(MIN_SECONDS, seconds[name])
            times[name].append(_timed(call, n, 1 if long else TRIES))
    return times


def _timed(call: Callable[[], object], n: int, tries: int) -> float:
    """Seconds per call. A piece that another program preempted is timed again, whatever it is
    that is timed; the fastest try counts."""
    best = float("inf")
    pieces["timed"] += 1
    for _ in range(tries):
        preempted = _preemptions()
        start = time.perf_counter()
        for _ in range(n):
            call()
        best = min(best, (time.perf_counter() - start) / n)
        if _preemptions() == preempted:
            return best
    pieces["preempted"] += 1
    return best


def _preemptions() -> int:
    """Times that a thread of this process had to leave its core although it had work."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def _estimate(call: Callable[[], object]) -> float:
    """About how many seconds a call takes."""
    call()  # compiles, fills the output pool
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _calls(duration: float, seconds: float) -> int:
    return max(1, min(1000, int(duration / max(seconds, 1e-7))))


def ratio(times: Times, numerator: Hashable, denominator: Hashable) -> float:
    """The median over rounds of numerator's time by denominator's."""
    return median(a / b for a, b in zip(times[numerator], times[denominator], strict=True))


def best_of(times: Times, names: list[Hashable]) -> Hashable:
    """Which of the names is fastest, by median."""
    return min(names, key=lambda name: median(times[name]))
