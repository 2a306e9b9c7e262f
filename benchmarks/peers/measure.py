"""Peers beside ours: each is held to the reference first, and only then timed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from ..measure.results import Shape
from ..measure.timing import Times, best_of, interleave, ratio
from .peer import Case, Passes, Peer, Tensors
from .problems import Problem

PASSES = ("forward", "train")
BUDGET = 20.0  # seconds of a problem's pass


class Wrong(ValueError):
    """A peer that computes, or learns, something else."""


def error(passes: Passes, expected: Tensors, tolerance: float) -> float:
    """The largest difference from what is expected, by the largest value of its quantity; raises
    Wrong where that is more than the tolerance, in a forward pass or in training."""
    largest = 0.0
    for given, names in (
        (passes.forward(), ("y",)),
        (passes.train(), tuple(expected)),
    ):
        found = passes.found(given)
        if set(found) != set(names):
            raise Wrong(f"gives {', '.join(found)}, not {', '.join(names)}")
        for name in names:
            want, got = expected[name], found[name]
            if want.shape != got.shape:
                raise Wrong(f"{name} has shape {list(got.shape)}, not {list(want.shape)}")
            difference = (want - got).abs().max().item() / want.abs().max().item()
            if not difference <= tolerance:
                raise Wrong(f"{name} differs by {difference:.1e} of its largest value")
            largest = max(largest, difference)
    return largest


@dataclass(frozen=True)
class Checked:
    """A peer that may be timed: passes by settings, and its largest error."""

    peer: Peer
    settings: Mapping[str, Passes]
    error: float


def check(peer: Peer, problem: Problem, case: Case, expected: Tensors) -> Checked:
    """Raises Wrong where a peer is, in any of its settings: what is wrong in one of them is not to
    be trusted in others. ``expected`` is the problem's."""
    settings = peer.make(case)
    if peer.expected is None:
        part = settings if problem.checked is None else peer.make(case.first(problem.checked))
    else:
        expected, part = peer.expected(case), settings
    tolerance = problem.tolerance if peer.tolerance is None else peer.tolerance
    named = peer.names(expected)
    return Checked(peer, settings, max(error(one, named, tolerance) for one in part.values()))


def measure(
    problem: Problem, others: Sequence[Peer], threads: int, rounds: int, shape: Shape | None = None
) -> Iterator[dict]:
    """A row for every peer, of its times or of why it has none."""
    case = Case(*problem.draw(shape or problem.shape), threads)
    part = case.first(problem.checked)
    expected, ours = problem.expected(part), problem.ours(case)
    try:
        own = error(problem.ours(part), expected, problem.tolerance)
    except Wrong as wrong:
        raise SystemExit(f"{problem.name}: ours is wrong: {wrong}") from wrong
    checked, rows = {}, {}
    for peer in others:
        row = {"ours": problem.name, "shape": list(case.dy.shape), "threads": threads}
        row |= {"peer": peer.name, "same": peer.expected is None, "how": peer.how}
        rows[peer] = row
        if missing := peer.missing():
            row["missing"] = missing
            continue
        row["versions"] = peer.versions()
        try:
            checked[peer] = check(peer, problem, case, expected)
        except Wrong as wrong:
            row["refused"] = str(wrong)
        except Exception as failed:  # of another's program, any
            row["missing"] = f"does not run: {type(failed).__name__}: {_first_line(failed)}"
    for direction in PASSES if checked else ():
        best = {peer: _best(of, direction, threads) for peer, of in checked.items()}
        cases = {peer: getattr(of.settings[best[peer]], direction) for peer, of in checked.items()}
        cases[problem] = getattr(ours, direction)
        times = _interleave(cases, rounds, threads, BUDGET)
        for peer, of in checked.items():
            rows[peer] |= {"error": of.error, "own_error": own, f"{direction}_by": best[peer]}
            rows[peer] |= _times(times, direction, problem, peer)
    yield from rows.values()


def _times(times: Times, direction: str, problem: Problem, peer: Peer) -> dict:
    ratios = [a / b for a, b in zip(times[peer], times[problem], strict=True)]
    quartiles = np.quantile(ratios, [0.25, 0.75])
    return {
        f"{direction}_ms": [round(median(times[key]) * 1e3, 3) for key in (problem, peer)],
        f"{direction}_ratio": round(ratio(times, peer, problem), 3),
        f"{direction}_quartiles": [round(float(q), 3) for q in quartiles],
        f"{direction}_rounds": len(ratios),
    }


def _best(of: Checked, direction: str, threads: int) -> str:
    """The fastest settings."""
    cases = {name: getattr(passes, direction) for name, passes in of.settings.items()}
    if len(cases) == 1:
        return next(iter(cases))
    return best_of(_interleave(cases, 5, threads, BUDGET / 4), list(cases))


def _interleave(
    cases: Mapping[object, Callable[[], object]], rounds: int, threads: int, budget: float
) -> Times:
    # numba shares OpenMP's state with torch, and leaves all cores in it.
    return interleave(cases, rounds, budget, lambda _: torch.set_num_threads(threads))


def _first_line(failed: Exception) -> str:
    return (str(failed).splitlines() or [""])[0][:160]


def load() -> list[float]:
    """Of the machine, over 1, 5 and 15 minutes: how much else ran."""
    return [round(x, 1) for x in os.getloadavg()]
