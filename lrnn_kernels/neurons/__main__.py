"""python -m lrnn_kernels.neurons COMMAND: data sets of populations, twins of recordings, and the
page in the browser."""

from __future__ import annotations

import argparse
import sys

from .commands import dataset, gui, twins


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lrnn_kernels.neurons", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (dataset, twins, gui):
        command.add(commands)
    args = vars(parser.parse_args(arguments))
    args.pop("command")
    run = args.pop("run")
    try:
        return run(**args)
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
