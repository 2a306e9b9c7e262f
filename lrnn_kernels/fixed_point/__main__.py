"""python -m lrnn_kernels.fixed_point verify-vhdl [FOLDER]"""

from __future__ import annotations

import argparse
import sys

from .vhdl import Mismatch, simulate, verify_vhdl
from .vhdl.sizes import STYLES
from .vhdl.verify import verify_all


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lrnn_kernels.fixed_point")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser(
        "verify-vhdl",
        help="simulate circuits with GHDL, and compare every state with the golden model",
        description="Simulates a folder that write_vhdl wrote, on the stimulus that it holds; or, "
        "without one, small networks of every style on stimuli that reach the edges of the "
        "arithmetic. Every state of every neuron and unit in every step is compared with the "
        "golden model.",
    )
    verify.add_argument("folder", nargs="?", help="that write_vhdl wrote")
    verify.add_argument("--style", choices=STYLES, help="verify small networks of this style alone")
    args = parser.parse_args(arguments)
    if args.folder and args.style:
        parser.error("--style is of small networks: a folder has the style it was written with")
    if not simulate.available():
        print("ghdl is not installed: apt-get install ghdl, or see ghdl.github.io", file=sys.stderr)
        return 1
    if args.folder:
        return _folder(args.folder)
    wrong = 0
    for name, right, found in verify_all((args.style,) if args.style else STYLES):
        wrong += not right
        print(f"{'equal' if right else 'WRONG'}  {name}: {found}", flush=True)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def _folder(folder: str) -> int:
    try:
        done = verify_vhdl(folder)
    except (Mismatch, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{done.frames} frames, {done.values} values and {done.results} results equal the golden "
        f"model's; {done.clocks_a_frame:.1f} clocks a frame, at most {done.longest}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
