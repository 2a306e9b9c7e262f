"""What was measured, as tables and a plot."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator

from ..measure.report import markdown as lines_of
from ..measure.report import table
from .measure import PASSES

HEADER = (
    "ours",
    "peer",
    "forward: ours, ms",
    "peer, ms",
    "peer / ours",
    "training: ours, ms",
    "peer, ms",
    "peer / ours",
    "error",
)
REMARK = (
    "ms: medians; peer / ours: the median of the ratios within a round. Training: forward and "
    "backward, all gradients. error: the largest difference of y or a gradient from the reference "
    "in float64, by that quantity's largest value; a peer beyond its tolerance has no times."
)
OTHER = "another recurrence, same size"


def titled(content: dict) -> Iterator[tuple[str, list[dict]]]:
    """Tables' titles and rows: what computes the same, then what does not."""
    rows = content["peers"]["rows"]
    for same, title in ((True, "the same recurrence"), (False, OTHER)):
        chosen = [row for row in rows if row["same"] is same]
        for shape, group in itertools.groupby(chosen, lambda row: row["shape"]):
            found = list(group)
            threads = found[0]["threads"]
            yield f"{title}, {shape}, {threads} thread{'s' if threads > 1 else ''}", found


def cells(row: dict) -> list[str]:
    first = [row["ours"], row["peer"]]
    if "error" not in row:
        return [*first, why_not(row), *[""] * (len(HEADER) - 3)]
    times = []
    for direction in PASSES:
        ours, peer = row[f"{direction}_ms"]
        times += [_digits(ours), _digits(peer), _digits(row[f"{direction}_ratio"])]
    return [*first, *times, f"{row['error']:.0e}"]


def why_not(row: dict) -> str:
    return row["missing"] if "missing" in row else f"refused: {row['refused']}"


def _digits(x: float) -> str:
    """Three, or all before the point."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def notes(content: dict) -> Iterator[str]:
    """What each peer is, and of which problems; and the settings that were fastest."""
    found: dict[str, list[str]] = {}
    for row in content["peers"]["rows"]:
        if "error" not in row:
            continue
        chosen = dict.fromkeys(row[f"{direction}_by"] for direction in PASSES)
        fastest = " and ".join(name for name in chosen if name)
        what = f"{row['peer']} ({row['versions']}): {row['how']}"
        found.setdefault(what, []).append(f"{row['ours']}: {fastest}" if fastest else "")
    for what, by in found.items():
        fastest = ", ".join(filter(None, by))
        yield f"{what}; fastest: {fastest}." if fastest else f"{what}."


def show(content: dict) -> None:
    about, found = content["machine"], content["peers"]
    print(f"{about['cpu']}, {about['isa']}, float32, torch {about['torch']}\n{REMARK}")
    for title, rows in titled(content):
        print(table(HEADER, [cells(row) for row in rows], title))
    print()
    for note in notes(content):
        print(f"- {note}")
    counts = found["pieces"]
    print(
        f"\n{counts['preempted']} of {counts['timed']} timed pieces were preempted; load average "
        f"{found['load'][0][0]} before, {found['load'][1][0]} after."
    )


def heading(content: dict, name: str) -> str:
    """What was measured on, for a document."""
    about, found = content["machine"], content["peers"]
    before, after = (load[0] for load in found["load"])
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['isa']}, L3 "
        f"{about['caches'].get('L3', '?')}, float32, torch {about['torch']}, {about['date'][:16]}, "
        f"load average {before} before and {after} after, by `benchmarks/results/{name}`:"
    )


def markdown(content: dict) -> list[str]:
    """For a document: paragraphs, of which some are tables."""
    parts = []
    for title, rows in titled(content):
        named = [[f"`{name}`", *rest] for name, *rest in map(cells, rows)]
        lines = "\n".join(lines_of(HEADER, named))
        parts += [f"{title[0].upper()}{title[1:]}:", lines]
    listed = [textwrap.fill(f"- {note}", 100, subsequent_indent="  ") for note in notes(content)]
    return [*parts, "\n".join(listed)]


def draw(figure, content: dict) -> None:
    """The peers' throughput by ours, bars, on an empty figure."""
    rows = [row for row in content["peers"]["rows"] if "error" in row]
    axes = figure.subplots()
    places = range(len(rows))
    for direction, shift, color in zip(
        PASSES, (0.2, -0.2), ("tab:blue", "tab:orange"), strict=True
    ):
        ratios = [1 / row[f"{direction}_ratio"] for row in reversed(rows)]
        label = {"forward": "forward", "train": "training"}[direction]
        axes.barh([place + shift for place in places], ratios, 0.4, color=color, label=label)
    axes.axvline(1, color="black", lw=1)
    names = [
        f"{row['peer']} | {row['ours']}" + ("" if row["same"] else f" ({OTHER})")
        for row in reversed(rows)
    ]
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("elements per second by ours (1: as fast)")
    axes.grid(axis="x", alpha=0.3)
    axes.set_ylim(-1, len(rows))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
