"""python -m lrnn_kernels check | info"""

from __future__ import annotations

import sys

USAGE = """usage: python -m lrnn_kernels COMMAND

  check   compare every operator on every backend of this machine with the float64 reference; exit status 1 if one fails
  info    version, build, instruction set, backends"""


def main(arguments: list[str]) -> int:
    """Runs a command; returns the exit status."""
    if arguments == ["info"]:
        from . import info

        print(info.report())
        return 0
    if arguments == ["check"]:
        from . import check

        report = check.run_check(progress=_show if sys.stderr.isatty() else None)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        print(report)
        return 0 if report.ok else 1
    if arguments in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    print(USAGE, file=sys.stderr)
    return 2


def _show(row) -> None:
    print("." if row.ok else "F", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
