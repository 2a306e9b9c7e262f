"""What a proof has found, as tables and a plot, from its JSON."""

from __future__ import annotations

from pathlib import Path

from ..measure import report
from .journal import failures

PASSES = ("forward", "backward")


def print_all(content: dict) -> None:
    """Speed, cells with matrices, how far each section came, and what failed."""
    sections = content["sections"]
    for row in _speed(sections.get("speed", {}).get("results", [])):
        print(report.table(*row))
    _print_matrix(sections.get("matrix", {}).get("results", []))
    lines = [
        [name, s["state"], f"{s['seconds']:.0f}", f"{s['budget_s']:.0f}", len(s["results"])]
        + [len(s["left_out"]), len(s["failures"]), s["why"][:60]]
        for name, s in sections.items()
    ]
    header = ["section", "", "s", "of", "results", "left out", "failed", ""]
    print(report.table(header, lines, "what was reached"))
    failed = failures(content)
    print("\n" + ("\n".join(f"FAILED: {line}" for line in failed) or "Nothing failed."))


def _speed(results: list[dict]) -> list[tuple]:
    """A table for each backend and type: of every shape and pass milliseconds, the share of the
    copy, and that which the model predicts."""
    rows = [row for row in results if "share" in row]
    tables = []
    for backend, dtype in dict.fromkeys((row["backend"], row["dtype"]) for row in rows):
        mine = [row for row in rows if (row["backend"], row["dtype"]) == (backend, dtype)]
        columns = list(dict.fromkeys((tuple(row["shape"]), d) for row in mine for d in PASSES))
        cells = {
            (row["operator"], tuple(row["shape"]), row["direction"]): (
                f"{row['seconds'] * 1e3:.3f} {row['share']:.2f}"
                + (f" ({row['model_share']:.2f})" if "model_share" in row else "")
            )
            for row in mine
        }
        names = dict.fromkeys(row["operator"] for row in mine)
        lines = [[name, *(cells.get((name, *column), "-") for column in columns)] for name in names]
        header = ["operator", *(f"{list(shape)} {direction[:3]}" for shape, direction in columns)]
        title = f"{backend}, {dtype}: ms, share of the copy (the model's)"
        tables.append((header, lines, title))
    return tables


def _print_matrix(results: list[dict]) -> None:
    kernels = [row for row in results if "us_a_step" in row]
    if kernels:
        lines = [
            [row["operator"], str(list(row["shape"])), row["direction"]]
            + [f"{row['seconds'] * 1e3:.3f}", f"{row['model_seconds'] * 1e3:.3f}"]
            + [f"{row['us_a_step']:.2f}", f"{row['products_by_ours']:.2f}"]
            for row in kernels
        ]
        header = ["kernel", "shape", "", "ms", "model", "us a step", "products by ours"]
        print(report.table(header, lines, "cells with matrices, float32"))
    layers = [row for row in results if "torch by ours" in row]
    if layers:
        lines = [
            [row["operator"], str(list(row["shape"])), row["direction"]]
            + [f"{row['seconds'] * 1e3:.3f}", f"{row['torch by ours']:.2f}"]
            + [f"{row['torch, TF32 by ours']:.2f}"]
            for row in layers
        ]
        header = ["layer", "shape", "", "ms", "torch by ours", "with TF32"]
        print(report.table(header, lines, "layers beside torch's, float32"))


def plot(content: dict, folder: Path, name: str) -> Path | None:
    """The share of the copy against T, a panel per backend and pass; None without rows, or without
    matplotlib."""
    every = content["sections"].get("lengths", {}).get("results", [])
    rows = [row for row in every if "share" in row]  # and no failure
    if not rows:
        return None
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return None
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    size = (12, 4.5 * len(backends))
    figure, axes = plt.subplots(
        len(backends), 2, figsize=size, sharex=True, squeeze=False, constrained_layout=True
    )
    for backend, panels in zip(backends, axes, strict=True):
        for direction, ax in zip(PASSES, panels, strict=True):
            mine = [r for r in rows if (r["backend"], r["direction"]) == (backend, direction)]
            for color, op in zip(
                plt.get_cmap("tab20").colors,
                dict.fromkeys(r["operator"] for r in mine),
                strict=False,
            ):
                points = sorted((r["shape"][1], r["share"]) for r in mine if r["operator"] == op)
                ax.plot(*zip(*points, strict=True), "o-", color=color, label=op, markersize=4)
            ax.axhline(1, color="k", linestyle="--")
            ax.set(title=f"{backend}, {direction}, float32", xscale="log", ylim=(0, None))
            ax.set(xlabel="sequence length T", ylabel="share of the copy")
            ax.grid(alpha=0.3)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=7, fontsize=9, frameon=False)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
