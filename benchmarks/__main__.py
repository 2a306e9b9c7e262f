"""python -m benchmarks: check, then speed, then learning, on the CPU.

python -m benchmarks gpu: all that a GPU can prove, in as many minutes as there are; python -m
benchmarks peers: others' recurrences beside ours. The rooms beside it have commands of their own:
python -m benchmarks.cpu, .gpu, .resources and .claims. All say more with --help.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

SECTIONS = ("check", "speed", "learn")
HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["gpu"]:
        from .gpu.__main__ import main as prove

        return prove(given[1:], "python -m benchmarks gpu")
    if given[:1] == ["peers"]:
        from .peers import __main__ as peers

        return peers.main(given[1:], restart=arguments is None)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--section",
        choices=SECTIONS,
        action="append",
        help="run only this; may be repeated. Speed always checks first.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, shorter sequences, less training"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "out",
        help="where the JSON and the plot go (default: benchmarks/out)",
    )
    return _run(parser.parse_args(given))


def _run(args: argparse.Namespace) -> int:
    """Runs the sections; the exit status."""
    from .measure import machine, report

    sections = args.section or list(SECTIONS)
    started = time.perf_counter()
    about = machine.describe()
    print(
        f"{about['cpu']}, {about['cores']} cores, {about['isa']}, {about['threads']} threads; "
        f"torch {about['torch']}"
    )

    if ("check" in sections or "speed" in sections) and not check():
        print("\nThe check failed: the speed of wrong results is of no interest.", file=sys.stderr)
        return 1
    results: dict = {"machine": about, "quick": args.quick}
    name = machine.slug(about)
    if "speed" in sections:
        from .cpu import plot, tables
        from .cpu.speed import Speed

        speed = Speed(args.quick)
        speed.run()
        results["speed"] = speed.as_json()
        tables.print_speed(results)
        print(f"Plot: {plot.plot(results, args.out, name)}")
    if "learn" in sections:
        from .claims import demo

        results["learning"] = demo.run(args.out, quick=args.quick)
        print(demo.table(results["learning"]))
        print(f"Plot: {demo.plot(results['learning'], args.out, f'{name}-learning')}")
    results["seconds"] = round(time.perf_counter() - started, 1)
    if "speed" in sections or "learn" in sections:
        print(f"\nResults: {report.save(results, args.out, name)}")
    print(f"{results['seconds']:.0f} s in all.")
    return 0


def check() -> bool:
    """Compares every operator with the reference, and prints the table."""
    from lrnn_kernels.testing.check import run_check

    done = run_check()
    print(done)
    return done.ok


if __name__ == "__main__":
    sys.exit(main())
