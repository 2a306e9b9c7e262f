"""python -m benchmarks.learning TASK: one learning task by itself."""

from __future__ import annotations

import argparse

from ..report import table
from . import digits
from .model import CELLS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    task = tasks.add_parser("digits", help=digits.__doc__.split("\n")[0])
    task.add_argument("--cell", choices=CELLS, action="append", help="only this cell; may be repeated")
    task.add_argument("--quick", action="store_true", help="3 epochs")
    task.add_argument("--validate", action="store_true", help="hold out a fifth of the training set in place of the test set")
    args = parser.parse_args()
    rows = digits.run(quick=args.quick, cells=args.cell, validate=args.validate)
    title = digits.TITLE + ("; test accuracy on held-out training digits" if args.validate else "")
    print(table(digits.HEADER, [digits.cells(row) for row in rows], title))


if __name__ == "__main__":
    main()
