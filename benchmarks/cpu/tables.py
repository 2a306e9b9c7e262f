"""The tables of the speed section, of measurements just made or read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lrnn_kernels.cells import CELLS

from ..measure.report import table
from ..measure.results import CASES, Key, Results, Row, Shape
from ..measure.traffic import OPS
from . import products
from .speed import LONE, MAIN, PASSES, PIXELS, SWEEP

#: Above this share of preempted pieces, what is measured is the scheduler: copies and operators
#: alike take whole time slices.
QUIET = 0.05
REMARKS = {
    "packed": "the layers of lrnn_kernels.nn with batch_first pass them so",
    "time_major": "the layers of lrnn_kernels.nn pass them so by default, as those of torch.nn do",
}


class Tables:
    """What a file of results holds, as tables."""

    def __init__(self, content: dict):
        self.speed = content["speed"]
        self.machine = content["machine"]
        self.threads: int = self.machine["threads"]
        self.results = Results.from_json(self.speed)
        self.operators = self.results.operators()
        self.lengths = sorted(
            {key.shape[1] for key in self.results.rows if key.shape[::2] == SWEEP}
        )

    def row(self, operator: str, shape: Shape, dtype: str, direction: str) -> Row | None:
        return self.results.rows.get(self.key(operator, shape, dtype, direction))

    def key(self, operator: str, shape: Shape, dtype: str, direction: str, **other: Any) -> Key:
        case = "call" if direction == "train" else "operator"
        fields = {"case": case, "threads": self.threads, **other}
        return Key(operator, shape, dtype, direction, **fields)

    def ratio(self, of: Key, **by: Any) -> str:
        value = self.results.ratio(of, **by)
        return "" if value is None else f"{value:.2f}"

    def pair(self, operator: str, shape: Shape, by: dict[str, Any], **of: Any) -> list[str]:
        """A ratio of both passes, in float32."""
        return [
            self.ratio(self.key(operator, shape, "float32", direction, **of), **by)
            for direction in PASSES
        ]


def print_speed(content: dict) -> None:
    """Every table of the speed section; the speed-up over the loop comes last, since it says
    least."""
    tables = Tables(content)
    _print_head(tables)
    for dtype in ("float32", "bfloat16"):
        for direction in PASSES:
            _print_sweep(tables, dtype, direction)
    for shape in (MAIN, PIXELS):
        _print_shape(tables, shape)
    _print_lone(tables)
    _print_ratios(tables, "streams", "time of {what}, by ours")
    for case, remark in REMARKS.items():
        _print_ratios(tables, case, f"time of {{what}}, by that of streams apart ({remark})")
    _print_products(tables)
    _print_peers(tables)
    _print_loop(tables)
    counts = tables.speed["pieces"]
    busy = (
        ""
        if counts["preempted"] < QUIET * counts["timed"]
        else " This machine was busy: do not quote these numbers."
    )
    print(
        f"\n{counts['preempted']} of {counts['timed']} timed pieces were preempted by other "
        f"programs.{busy}"
    )


def markdown(content: dict) -> list[str]:
    """The main shape in float32, for a document: a row per operator."""
    tables = Tables(content)
    head = "| operator | forward ms | Gelem/s | share | backward ms | Gelem/s | share |"
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for operator in tables.operators:
        found = [tables.row(operator, MAIN, "float32", direction) for direction in PASSES]
        cells = [
            text
            for row in found
            for text in (f"{row.seconds * 1e3:.2f}", f"{row.gelem_s:.2f}", f"{row.share:.2f}")
        ]
        lines.append(f"| `{operator}` | {' | '.join(cells)} |")
    return lines


def _print_head(tables: Tables) -> None:
    print(
        f"\nCopy bandwidth: {tables.speed['copy']}, the fastest of plain and non-temporal stores "
        "for each size, moving as many bytes as the operator must."
    )
    print(
        "share = the copy's time by that of the compiled operator; of train: by that of the "
        "public function and autograd."
    )
    print("Inputs and copies lie on huge pages; the operators allocate their outputs.")
    step = [name for name in tables.operators if CELLS[OPS[name].cell].sequential]
    if step:
        print(
            f"{', '.join(step)} are bound by their arithmetic, as step cells are: look at their "
            "Gelem/s."
        )


def _print_sweep(tables: Tables, dtype: str, direction: str) -> None:
    B, C = SWEEP
    rows = []
    for operator in tables.operators:
        found = [tables.row(operator, (B, T, C), dtype, direction) for T in tables.lengths]
        rows.append(
            [
                operator,
                f"{found[0].bytes_per_element:g}",
                *(f"{r.gelem_s:.2f} {r.gbytes_s:5.1f} {r.share:5.2f}" for r in found),
            ]
        )
    header = ["operator", "B/elem", *(f"T={T}" for T in tables.lengths)]
    title = f"{direction}, {dtype}, B={B} C={C}: Gelem/s, GB/s, share of the copy"
    print(table(header, rows, title))


def _print_shape(tables: Tables, shape: Shape) -> None:
    rows = []
    for operator in tables.operators:
        found = [
            tables.row(operator, shape, dtype, direction)
            for dtype in ("float32", "bfloat16")
            for direction in (*PASSES, "train")
        ]
        if all(found):
            call = tables.key(operator, shape, "float32", "forward", case="call")
            rows.append(
                [
                    operator,
                    *(f"{r.seconds * 1e3:.2f} {r.share:5.2f}" for r in found),
                    *tables.pair(operator, shape, {"dtype": "bfloat16"}),
                    tables.ratio(call, case="operator"),
                ]
            )
    passes = ("fwd", "bwd", "train")
    header = [
        "operator",
        *(f"{dtype} {name}" for dtype in ("f32", "bf16") for name in passes),
        "bf16/f32 fwd",
        "bwd",
        "call/fwd",
    ]
    title = (
        f"{list(shape)}: ms, share of the copy; elements/s of bfloat16 by float32's; time of the "
        "public call by the operator's (float32, without gradients)"
    )
    print(table(header, rows, title))


def _print_lone(tables: Tables) -> None:
    rows = []
    for operator in tables.operators:
        found = [tables.row(operator, LONE, "float32", direction) for direction in PASSES]
        all_threads = tables.pair(operator, LONE, {"threads": tables.threads}, threads=1)
        copies = {
            case: tables.pair(operator, LONE, {"case": "operator"}, case=case, threads=1)
            for case in CASES
            if case.endswith("copy")
        }
        alone = next((pair for pair in copies.values() if any(pair)), ["", ""])
        rows.append(
            [operator, *(f"{r.seconds * 1e3:.2f} {r.share:5.2f}" for r in found), *all_threads]
            + alone
        )
    header = ["operator", "fwd", "bwd", "1 thread / all, fwd", "bwd", "1 thread's share, fwd"]
    what = (
        "ms, share of the copy; one thread's time by all threads'; time of one thread's copy by "
        "that of one thread"
    )
    title = f"{list(LONE)}, float32, {tables.threads} threads: {what}"
    print(table([*header, "bwd"], rows, title))


def _print_ratios(tables: Tables, case: str, title: str) -> None:
    rows = []
    for operator in tables.operators:
        shares = [
            value
            for shape in (MAIN, PIXELS)
            for value in tables.pair(operator, shape, {"case": "operator"}, case=case)
        ]
        rows += [[operator, *shares]] if any(shares) else []
    if rows:
        columns = (f"{list(shape)} {n}" for shape in (MAIN, PIXELS) for n in ("fwd", "bwd"))
        print(table(["operator", *columns], rows, f"float32: {title.format(what=CASES[case])}"))


def _print_products(tables: Tables) -> None:
    rows = [
        [row.name, str(list(shape)), *pair]
        for row in products.ROWS
        for shape in products.SHAPES
        if any(pair := tables.pair(row.name, shape, {"case": "products"}))
    ]
    title = "float32: time by that of the matrix products alone (torch.mm)"
    print(table(["operator", "[B, T, C]", "forward", "backward"], rows, title))


def _print_peers(tables: Tables) -> None:
    found = {of: (of, by) for of, by in tables.results.ratios if of.case == "numba"}
    if not found:
        print("\nNo peer was measured: install numba to compare with hand-written loops.")
        return
    directions = (*PASSES, "train")
    rows: list[Sequence[str]] = []
    for operator in dict.fromkeys(key.operator for key in found):
        keys = [
            replace(tables.key(operator, MAIN, "float32", direction), case="numba")
            for direction in directions
        ]
        rows.append([operator, *(f"{tables.results.ratios[found[key]]:.2f}" for key in keys)])
    title = (
        f"{list(MAIN)}, float32: numba time by ours (numba {tables.machine['packages']['numba']});"
        " the peer's outputs are allocated beforehand"
    )
    print(table(["operator", *directions], rows, title))


def _print_loop(tables: Tables) -> None:
    found = {of: r for (of, _), r in tables.results.ratios.items() if of.case == "loop"}
    columns = list(dict.fromkeys((key.shape, key.direction) for key in found))
    rows = []
    for operator in tables.operators:
        keys = [
            tables.key(operator, shape, "float32", direction, case="loop")
            for shape, direction in columns
        ]
        rows.append([operator, *(f"{found[key]:.0f}" for key in keys)])
    header = ["operator", *(f"T={shape[1]} {direction}" for shape, direction in columns)]
    print(table(header, rows, "Speed-up over the eager loop, one torch call after another"))
