"""python -m benchmarks.cpu SUBJECT: what is measured on the CPU beside the main job."""

from __future__ import annotations

import argparse
import sys

from . import fixed_point


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True)
    subjects.add_parser("fixed-point", help=fixed_point.__doc__.split("\n\n")[0])
    parser.parse_args(arguments)
    fixed_point.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
