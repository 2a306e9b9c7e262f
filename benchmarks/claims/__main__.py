"""python -m benchmarks.claims TASK: what takes long and shows a claim, one learning task at a time.
Each prints a table and writes a JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..measure import machine, report
from . import digits, src_mnist
from .model import CELLS

OUT = Path(__file__).parents[1] / "out"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("digits", help=digits.__doc__.split("\n")[0])
    task.add_argument(
        "--cell", choices=CELLS, action="append", help="only this cell; may be repeated"
    )
    task.add_argument("--quick", action="store_true", help="3 epochs")
    task.add_argument(
        "--validate",
        action="store_true",
        help="hold out a fifth of the training set in place of the test set",
    )
    task = tasks.add_parser("src-mnist", help=src_mnist.__doc__.split("\n")[0])
    task.add_argument(
        "--data",
        required=True,
        help="an mnist.npz, a folder of IDX files, or the root torchvision was given",
    )
    task.add_argument(
        "--quick", action="store_true", help="one epoch of 12,000 digits, tested on 2,000"
    )
    task.add_argument(
        "--validate",
        action="store_true",
        help="hold out 5,000 training digits in place of the test set",
    )
    for task in tasks.choices.values():
        task.add_argument(
            "--out", type=Path, default=OUT, help="where the JSON goes (default: benchmarks/out)"
        )
    args = parser.parse_args(arguments)
    return _digits(args) if args.task == "digits" else _src_mnist(args)


def _digits(args: argparse.Namespace) -> int:
    rows = digits.run(quick=args.quick, cells=args.cell, validate=args.validate)
    title = digits.TITLE + ("; test accuracy on held-out training digits" if args.validate else "")
    print(report.table(digits.HEADER, [digits.cells(row) for row in rows], title))
    return _save("digits", args, {"learning": rows})


def _src_mnist(args: argparse.Namespace) -> int:
    try:
        data = src_mnist.load(args.data, quick=args.quick, validate=args.validate)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    rows = src_mnist.run(data, quick=args.quick)
    print(
        report.table(
            src_mnist.HEADER,
            [src_mnist.cells(row) for row in rows],
            src_mnist.title(rows, validate=args.validate),
        )
    )
    return _save("src-mnist", args, {"src_mnist": rows})


def _save(name: str, args: argparse.Namespace, found: dict) -> int:
    about = machine.describe()
    results = {"machine": about, "quick": args.quick, "validate": args.validate, **found}
    print(f"\nResults: {report.save(results, args.out, f'{name}-{machine.slug(about)}')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
