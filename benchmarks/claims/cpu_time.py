"""CPU seconds of what runs beside other work: of all threads of this process, and of the programs
that it has run and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

try:
    import resource
except ImportError:  # not a Unix
    resource = None

BUDGET, LEAST_ROUNDS = 20.0, 3  # CPU seconds


def seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN) if resource else None
    theirs = children.ru_utime + children.ru_stime if children else 0.0
    return time.process_time() + theirs


def of(call: Callable[[], object], least: float = 0.0) -> float:
    """CPU seconds of a call: of as many as take ``least`` seconds, their mean."""
    calls, before = 0, seconds()
    while not calls or seconds() - before < least:
        call()
        calls += 1
    return (seconds() - before) / calls


def interleaved(
    cases: dict[str, Callable[[], float]], rounds: int, tell: Callable[[float], object]
) -> dict[str, list[float]]:
    """What each case measures, round after round, every second round in the other order: a shared
    machine's speed drifts, and only what was measured in one round is compared. Rounds that are
    long are LEAST_ROUNDS at least, and no more begin once they have taken BUDGET."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    before = seconds()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and seconds() - before > BUDGET:
            break
        for name in list(cases)[:: 1 if done % 2 == 0 else -1]:
            found[name].append(cases[name]())
        tell((done + 1) / rounds)
    return found


def ratio(found: dict[str, list[float]], over: str, under: str) -> float:
    """The median over rounds of one case by another."""
    return median(a / b for a, b in zip(found[over], found[under], strict=True))
