"""python -m benchmarks.claims CLAIM: trains the networks of one claim with every seed, prints a
table, and writes a JSON and a plot. A run that is interrupted goes on where it was."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np

from lrnn_kernels.fixed_point.vhdl import Mismatch

from ..measure import machine, report
from . import CLAIMS, fpga_digits, progress, runs, shown, src_mnist

OUT = Path(__file__).parents[1] / "out"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    names = parser.add_subparsers(dest="claim", required=True, metavar="CLAIM")
    for claim in CLAIMS.values():
        summary = claim.says.split(". ")[0].replace("%", "%%")
        command = names.add_parser(claim.name, help=summary, description=claim.says)
        command.add_argument(
            "--seeds", type=_count, help=f"how many (default: {claim.seeds}; --quick: 1)"
        )
        command.add_argument(
            "--processes",
            type=_count,
            help=f"runs at a time (default: {'one' if claim.timed else 'one a core'})",
        )
        command.add_argument("--quick", action="store_true", help="fewer networks, shorter runs")
        for name, kind, says in claim.options:
            command.add_argument(f"--{name}", type=_count if kind is int else _positive, help=says)
    command = names.add_parser("fpga-digits", help=fpga_digits.__doc__.split(":")[0])
    _takes_mnist(command)
    command.add_argument(
        "--digits", type=_count, default=fpga_digits.DIGITS, help="how many (default: %(default)s)"
    )
    command.add_argument(
        "--style",
        choices=tuple(fpga_digits.LEVELS),
        action="append",
        help="simulate only this; may be repeated",
    )
    command = names.add_parser("src-mnist", help=src_mnist.__doc__.split("\n")[0])
    _takes_mnist(command)
    command.add_argument(
        "--quick", action="store_true", help="one epoch of 12,000 digits, tested on 2,000"
    )
    command.add_argument(
        "--validate",
        action="store_true",
        help="hold out 5,000 training digits in place of the test set",
    )
    for command in names.choices.values():
        command.add_argument(
            "--out", type=Path, default=OUT, help="where results go (default: benchmarks/out)"
        )
    args = parser.parse_args(arguments)
    own = {"src-mnist": _src_mnist, "fpga-digits": _fpga_digits}
    return own.get(args.claim, _claim)(args)


def _takes_mnist(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        required=True,
        help="an mnist.npz, a folder of IDX files, or the root torchvision was given",
    )


def _claim(args: argparse.Namespace) -> int:
    claim = CLAIMS[args.claim]
    given = {name: getattr(args, name) for name, _, _ in claim.options}
    if given := {name: value for name, value in given.items() if value is not None}:
        claim = dataclasses.replace(claim, settings=functools.partial(claim.settings, **given))
    try:
        claim.settings(args.quick)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        found = runs.run(
            [claim], args.out, seeds=args.seeds, quick=args.quick, processes=args.processes
        )[claim.name]
    except KeyboardInterrupt:
        print(f"\nInterrupted. What is done is kept in {args.out}; the same command goes on.")
        return 130
    print(shown.table(claim, found))
    for path in shown.save(claim, found, args.out, quick=args.quick):
        print(path)
    return 0


def _src_mnist(args: argparse.Namespace) -> int:
    try:
        data = src_mnist.load(args.data, quick=args.quick, validate=args.validate)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with progress.bar("src-mnist", total=1 + len(src_mnist.INTEGER)) as bar:
        progress.to(bar.update)
        kept: dict = {}
        rows = src_mnist.run(data, quick=args.quick, kept=kept)
    print(
        report.table(
            src_mnist.HEADER,
            [src_mnist.cells(row) for row in rows],
            src_mnist.title(rows, validate=args.validate),
        )
    )
    about = machine.describe()
    results = {"machine": about, "quick": args.quick, "validate": args.validate, "src_mnist": rows}
    print(f"\nResults: {report.save(results, args.out, f'src-mnist-{machine.slug(about)}')}")
    weights = args.out / "src-mnist-weights.npz"
    np.savez_compressed(weights, **kept)
    print(f"Weights: {weights}")
    return 0


def _fpga_digits(args: argparse.Namespace) -> int:
    styles = tuple(args.style or fpga_digits.LEVELS)
    total = sum(len(fpga_digits.LEVELS[style]) for style in styles)
    rows = []
    try:
        with progress.bar("fpga-digits", total) as bar:
            for row in fpga_digits.run(args.data, args.digits, styles):
                rows.append(row)
                bar.update(1)
    except (OSError, ValueError, RuntimeError, Mismatch) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    title = " ".join(fpga_digits.__doc__.split())
    print(report.table(fpga_digits.HEADER, [fpga_digits.cells(row) for row in rows], title))
    about = machine.describe()
    results = {"machine": about, "fpga_digits": rows}
    print(f"\nResults: {report.save(results, args.out, f'fpga-digits-{machine.slug(about)}')}")
    return 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
