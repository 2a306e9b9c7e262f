"""python -m benchmarks.cpu SUBJECT: what the main job does not measure, and what it measured."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import agents, fixed_point, install, models, modulated, ranks, steps, tables, twins

OUT = Path(__file__).parents[1] / "out"


#: Subjects that write a JSON, by their names in it, which can be shown again.
KEPT = {"models": models, "agents": agents, "ranks": ranks, "install": install}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True)
    subjects.add_parser("fixed-point", help=fixed_point.__doc__.split("\n\n")[0])
    subjects.add_parser("steps", help=steps.__doc__.replace("\n", " "))
    subjects.add_parser("modulated", help=modulated.__doc__.replace("\n", " "))
    twin = subjects.add_parser("twins", help=twins.__doc__.replace("\n", " "))
    twin.add_argument("--threads", type=int, help="of torch; by default as many as it takes")
    for name, module in KEPT.items():
        kept = subjects.add_parser(name, help=module.__doc__.replace("\n", " "))
        if module is models:
            kept.add_argument("--threads", type=int, help="of torch; by default one, then all")
        if module is install:
            kept.add_argument("wheels", type=Path, nargs="*", help="instead of those it builds")
        kept.add_argument("--quick", action="store_true", help="less of it, in less time")
        kept.add_argument(
            "--out", type=Path, default=OUT, help="where the JSON goes (default: benchmarks/out)"
        )
    show = subjects.add_parser("tables", help="The tables of a file of results.")
    show.add_argument("file", type=Path, help="a JSON that a benchmark wrote here")
    show.add_argument(
        "--markdown", action="store_true", help="only the main shape in float32, for a document"
    )
    args = parser.parse_args(arguments)
    if args.subject == "fixed-point":
        fixed_point.main()
        return 0
    if args.subject == "steps":
        steps.main()
        return 0
    if args.subject == "modulated":
        modulated.main()
        return 0
    if args.subject == "twins":
        twins.main(args.threads)
        return 0
    if args.subject == "models":
        models.main(args.threads, quick=args.quick, out=args.out)
        return 0
    if args.subject == "install":
        install.main(args.wheels, quick=args.quick, out=args.out)
        return 0
    if args.subject in KEPT:
        KEPT[args.subject].main(quick=args.quick, out=args.out)
        return 0
    try:
        content = json.loads(args.file.read_text())
    except (OSError, ValueError) as error:
        print(f"error: {args.file}: {error}", file=sys.stderr)
        return 1
    for name, module in KEPT.items():
        if name in content:
            print("\n".join(module.markdown(content))) if args.markdown else module.show(content)
            return 0
    if "speed" not in content:
        print(f"error: {args.file} holds no section 'speed'", file=sys.stderr)
        return 1
    if args.markdown:
        print("\n".join(tables.markdown(content)))
    else:
        tables.print_speed(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
