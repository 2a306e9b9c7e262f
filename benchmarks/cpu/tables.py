"""The tables of the speed section, and its plot."""

from __future__ import annotations

from pathlib import Path

from ..measure.report import table
from ..measure.timing import pieces
from ..measure.traffic import OPS
from . import products
from .speed import ALONE, CALL, LONE, MAIN, PACKED, PIXELS, STREAMS, SWEEP, TIME_MAJOR, Speed

#: Above this share of preempted pieces, what is measured is the scheduler: copies and operators
#: alike take whole time slices.
QUIET = 0.05


def print_speed(speed: Speed) -> None:
    """Every table of the speed section; the speed-up over the loop comes last, since it says
    least."""
    B, C = SWEEP
    print(
        f"\nCopy bandwidth: {speed.copies.how}, the fastest of plain and non-temporal stores "
        "for each size, moving as many bytes as the operator must."
    )
    print(
        "share = the copy's time by that of the compiled operator; of train: by that of the "
        "public function and autograd."
    )
    print("Inputs and copies lie on huge pages; the operators allocate their outputs.")
    print(
        "src and brc are bound by their arithmetic (three functions and a division each, per "
        "element): look at their Gelem/s."
    )
    for dtype in ("float32", "bfloat16"):
        for direction in ("forward", "backward"):
            rows = []
            for op in OPS:
                found = [speed.row(op, (B, T, C), dtype, direction) for T in speed.lengths]
                rows.append(
                    [
                        op,
                        f"{found[0].bytes_per_element:g}",
                        *(f"{r.gelem_s:.2f} {r.gbytes_s:5.1f} {r.share:5.2f}" for r in found),
                    ]
                )
            header = ["operator", "B/elem", *(f"T={T}" for T in speed.lengths)]
            print(
                table(
                    header,
                    rows,
                    f"{direction}, {dtype}, B={B} C={C}: Gelem/s, GB/s, share of the copy",
                )
            )
    for shape in (MAIN, PIXELS):
        rows = []
        for op in OPS:
            found = {
                (d, n): speed.row(op, shape, d, n)
                for d in ("float32", "bfloat16")
                for n in ("forward", "backward", "train")
            }
            if all(found.values()):
                shares = [f"{r.seconds * 1e3:.2f} {r.share:5.2f}" for r in found.values()]
                rows.append(
                    [
                        op,
                        *shares,
                        *_pair(speed, "bfloat16", op, shape),
                        _ratio(speed, CALL, op, shape, "forward"),
                    ]
                )
        header = [
            "operator",
            "f32 fwd",
            "f32 bwd",
            "f32 train",
            "bf16 fwd",
            "bf16 bwd",
            "bf16 train",
            "bf16/f32 fwd",
            "bwd",
            "call/fwd",
        ]
        title = (
            f"{list(shape)}: ms, share of the copy; elements/s of bfloat16 by float32's; "
            f"{CALL} (float32, without gradients)"
        )
        print(table(header, rows, title))
    rows = []
    for op in OPS:
        found = [speed.row(op, LONE, "float32", n) for n in ("forward", "backward")]
        pairs = [*_pair(speed, "one thread's time", op, LONE), *_pair(speed, ALONE, op, LONE)]
        rows.append([op, *(f"{r.seconds * 1e3:.2f} {r.share:5.2f}" for r in found), *pairs])
    header = [
        "operator",
        "fwd",
        "bwd",
        "1 thread / all, fwd",
        "bwd",
        "1 thread's share, fwd",
        "bwd",
    ]
    what = f"ms, share of the copy; one thread's time by all threads'; {ALONE}"
    print(table(header, rows, f"{list(LONE)}, float32, {speed.threads} threads: {what}"))
    _print_ratios(speed, STREAMS, "as many reads and writes past the caches, no recurrence")
    _print_ratios(speed, PACKED, "the layers of lrnn_kernels.nn with batch_first pass them so")
    _print_ratios(
        speed,
        TIME_MAJOR,
        "the layers of lrnn_kernels.nn pass them so by default, as those of torch.nn do",
    )
    _print_products(speed)
    _print_peers(speed)
    _print_loop(speed)
    busy = (
        ""
        if pieces["preempted"] < QUIET * pieces["timed"]
        else " This machine was busy: do not quote these numbers."
    )
    print(
        f"\n{pieces['preempted']} of {pieces['timed']} timed pieces were preempted by other "
        f"programs.{busy}"
    )


def _find(speed: Speed, what: str, **wanted: object) -> list[dict]:
    return [
        r
        for r in speed.ratios
        if r["what"].startswith(what) and all(r[k] == v for k, v in wanted.items())
    ]


def _ratio(speed: Speed, what: str, op: str, shape: tuple, direction: str) -> str:
    found = _find(speed, what, op=op, shape=shape, direction=direction)
    return f"{found[0]['ratio']:.2f}" if found else ""


def _pair(speed: Speed, what: str, op: str, shape: tuple) -> list[str]:
    return [_ratio(speed, what, op, shape, direction) for direction in ("forward", "backward")]


def _print_ratios(speed: Speed, what: str, remark: str) -> None:
    rows = []
    for op in OPS:
        shares = [
            _ratio(speed, what, op, shape, n)
            for shape in (MAIN, PIXELS)
            for n in ("forward", "backward")
        ]
        rows += [[op, *shares]] if any(shares) else []
    if rows:
        header = [
            "operator",
            *(f"{list(shape)} {n}" for shape in (MAIN, PIXELS) for n in ("fwd", "bwd")),
        ]
        print(table(header, rows, f"float32: {what} ({remark})"))


def _print_products(speed: Speed) -> None:
    rows = [
        ["nbrc", str(list(shape)), *_pair(speed, products.WHAT, "nbrc", shape)]
        for shape in products.SHAPES
    ]
    print(
        table(
            ["operator", "[B, T, C]", "forward", "backward"],
            rows,
            "float32: time by that of the matrix products alone (torch.mm)",
        )
    )


def _print_peers(speed: Speed) -> None:
    found = _find(speed, "numba")
    if not found:
        print("\nNo peer was measured: install numba to compare with hand-written loops.")
        return
    directions = ("forward", "backward", "train")
    rows = [
        [op, *(_ratio(speed, "numba", op, MAIN, n) for n in directions)]
        for op in dict.fromkeys(r["op"] for r in found)
    ]
    title = (
        f"{list(MAIN)}, float32: {found[0]['what']}; the peer's outputs are allocated beforehand"
    )
    print(table(["operator", *directions], rows, title))


def _print_loop(speed: Speed) -> None:
    found = _find(speed, "speed-up")
    columns = list(dict.fromkeys((r["shape"], r["direction"]) for r in found))
    rows = []
    for op in OPS:
        values = {(r["shape"], r["direction"]): r["ratio"] for r in found if r["op"] == op}
        rows.append([op, *(f"{values[c]:.0f}" for c in columns)])
    header = ["operator", *(f"T={shape[1]} {direction}" for shape, direction in columns)]
    print(table(header, rows, "Speed-up over the eager loop, one torch call after another"))


def plot(speed: Speed, machine: dict, folder: Path, name: str) -> Path | None:
    """Throughput against T: GB/s beside the copy above, Gelem/s in both dtypes below."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return None
    B, C = SWEEP
    figure, axes = plt.subplots(2, 2, figsize=(12, 8.5), sharex=True, constrained_layout=True)
    colors = plt.get_cmap("tab20").colors
    for column, direction in enumerate(("forward", "backward")):
        upper, lower = axes[:, column]
        rows = {
            (op, d): [speed.row(op, (B, T, C), d, direction) for T in speed.lengths]
            for op in OPS
            for d in ("float32", "bfloat16")
        }
        copies = [
            [rows[op, "float32"][i].copy_gbytes_s for op in OPS] for i in range(len(speed.lengths))
        ]
        low, high = [min(c) for c in copies], [max(c) for c in copies]
        upper.fill_between(speed.lengths, low, high, color="0.85", label="copy of the same bytes")
        for color, op in zip(colors[: len(OPS)], OPS, strict=True):
            upper.plot(
                speed.lengths,
                [r.gbytes_s for r in rows[op, "float32"]],
                "o-",
                color=color,
                label=op,
                markersize=4,
            )
            lower.plot(
                speed.lengths,
                [r.gelem_s for r in rows[op, "float32"]],
                "o-",
                color=color,
                markersize=4,
            )
            lower.plot(
                speed.lengths,
                [r.gelem_s for r in rows[op, "bfloat16"]],
                "o--",
                color=color,
                markersize=3,
                linewidth=1,
            )
        upper.set_title(f"{direction}, float32: bytes that must move")
        lower.set_title(f"{direction}: elements; solid float32, dashed bfloat16")
        lower.set_xlabel("sequence length T")
        for ax, label in ((upper, "GB/s"), (lower, "Gelem/s")):
            ax.set_xscale("log", base=2)
            ax.set_xticks(speed.lengths, [str(T) for T in speed.lengths])
            ax.set_ylim(bottom=0)
            ax.set_ylabel(label)
            ax.grid(alpha=0.3)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=7,
        fontsize=9,
        frameon=False,
    )
    title = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}, L3 "
        f"{machine['caches'].get('L3', '?')}"
    )
    figure.suptitle(
        f"lrnn-kernels {machine['lrnn_kernels']}, B={B} C={C}, {machine['threads']} "
        f"threads\n{title}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
