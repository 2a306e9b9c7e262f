"""What a claim is: settings, each trained once with every seed, and how what came out is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Plain data, which JSON holds: the arguments of a run, or what it found.
Plain = dict[str, Any]

#: A run with a seed, in a process of its own that has one thread. It may keep its state in the
#: file it is given, to go on from where it was interrupted.
Run = Callable[[Plain, int, Path], Plain]


@dataclass(frozen=True)
class Claim:
    """A statement about networks that training some of them can show, or refute.

    Args:
        name: of its command, and of its files.
        says: the statement, with what its rows mean.
        settings: of the runs, each done once with every seed; fewer and shorter ones where quick.
        run: trains and tests one network.
        header, table: the terminal's table, from all that was found: rows of text.
        plot: draws what was found into an empty figure.
        seeds: how many by default.
        options: of its command, (name, type, help); those given are arguments of ``settings``.
        timed: whether runs measure time: they take place one after the other by default.
    """

    name: str
    says: str
    settings: Callable[[bool], list[Plain]]
    run: Run
    header: tuple[str, ...]
    table: Callable[[list[Plain]], list[list[str]]]
    plot: Callable[[Figure, list[Plain]], None]
    seeds: int = 5
    options: tuple[tuple[str, type, str], ...] = ()
    timed: bool = False


def by_setting(found: list[Plain], *keys: str) -> dict[tuple, list[Plain]]:
    """Runs that agree in these keys, in the order in which they first come."""
    groups: dict[tuple, list[Plain]] = {}
    for run in found:
        groups.setdefault(tuple(run[key] for key in keys), []).append(run)
    return groups


def spread(values: list[float], form: str = "{:.2f}") -> str:
    """The median, and from which to which where they differ: "0.98 (0.95 to 1.00)"."""
    if not values:
        return ""
    ordered = sorted(values)
    middle = form.format(median(ordered))
    low, high = form.format(ordered[0]), form.format(ordered[-1])
    return middle if low == high else f"{middle} ({low} to {high})"


def median(values: list[float]) -> float:
    """The middle one; of two in the middle the lower, so that it is one that was measured."""
    return sorted(values)[(len(values) - 1) // 2]


def of(count: int, total: int) -> str:
    return f"{count} of {total}"


def reached(steps: list[int | None]) -> str:
    """How many runs got there, and at which steps: "4 of 5 at 150 (120 to 410)"."""
    those = [step for step in steps if step is not None]
    count = of(len(those), len(steps))
    return f"{count} at {spread(those, '{:.0f}')}" if those else count


def cpu_seconds(runs: list[Plain], digits: int = 1) -> str:
    """What a run took, their mean."""
    return f"{sum(run['cpu_seconds'] for run in runs) / len(runs):.{digits}f}"


def curves(axes, runs: list[Plain], color: str, label: str) -> None:
    """The score as training goes on, a line for every seed."""
    for run in runs:
        axes.plot(*zip(*run["curve"], strict=True), color=color, lw=1, alpha=0.8)
    axes.plot([], color=color, label=label)


def errors(
    figure: Figure, panels: dict[str, dict[str, list[Plain]]], colors: Sequence[str]
) -> None:
    """Mean square errors of values of N(0,1) as training goes on; by the title of each panel and
    the label of each network, its runs."""
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for one, (title, networks) in zip(axes, panels.items(), strict=True):
        for color, (label, runs) in zip(colors, networks.items(), strict=False):
            curves(one, runs, color, label)
        one.axhline(1, color="0.6", ls=":")
        one.set_title(title)
        one.set_yscale("log")
        one.set_xlabel("steps of training")
        one.grid(alpha=0.3)
        one.legend(fontsize=8)
    axes[0].set_ylabel("mean square error (1: chance)")
