"""The plot of the speed section, of measurements just made or read from a file."""

from __future__ import annotations

from pathlib import Path

from .speed import PASSES, SWEEP
from .tables import Tables


def plot(content: dict, folder: Path, name: str) -> Path | None:
    """Throughput against T: GB/s beside the copy above, Gelem/s in both dtypes below. None where
    matplotlib is missing."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return None
    tables = Tables(content)
    figure, axes = plt.subplots(2, 2, figsize=(12, 8.5), sharex=True, constrained_layout=True)
    for column, direction in enumerate(PASSES):
        _panels(*axes[:, column], tables, direction, plt.get_cmap("tab20").colors)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=7,
        fontsize=9,
        frameon=False,
    )
    about, (B, C) = tables.machine, SWEEP
    title = (
        f"{about['cpu']}, {about['cores']} cores, {about['isa']}, L3 "
        f"{about['caches'].get('L3', '?')}"
    )
    figure.suptitle(
        f"lrnn-kernels {about['lrnn_kernels']}, B={B} C={C}, {about['threads']} threads\n{title}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _panels(upper, lower, tables: Tables, direction: str, colors) -> None:
    """Bytes above, elements below, of one direction."""
    B, C = SWEEP
    lengths = tables.lengths
    rows = {
        (operator, dtype): [tables.row(operator, (B, T, C), dtype, direction) for T in lengths]
        for operator in tables.operators
        for dtype in ("float32", "bfloat16")
    }
    copies = [
        [rows[operator, "float32"][i].copy_gbytes_s for operator in tables.operators]
        for i in range(len(lengths))
    ]
    low, high = [min(c) for c in copies], [max(c) for c in copies]
    upper.fill_between(lengths, low, high, color="0.85", label="copy of the same bytes")
    for i, operator in enumerate(tables.operators):
        single, half = (rows[operator, dtype] for dtype in ("float32", "bfloat16"))
        shown = {"color": colors[i % len(colors)]}
        upper.plot(
            lengths, [r.gbytes_s for r in single], "o-", label=operator, markersize=4, **shown
        )
        lower.plot(lengths, [r.gelem_s for r in single], "o-", markersize=4, **shown)
        lower.plot(lengths, [r.gelem_s for r in half], "o--", markersize=3, linewidth=1, **shown)
    upper.set_title(f"{direction}, float32: bytes that must move")
    lower.set_title(f"{direction}: elements; solid float32, dashed bfloat16")
    lower.set_xlabel("sequence length T")
    for ax, label in ((upper, "GB/s"), (lower, "Gelem/s")):
        ax.set_xscale("log", base=2)
        ax.set_xticks(lengths, [str(T) for T in lengths])
        ax.set_ylim(bottom=0)
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
