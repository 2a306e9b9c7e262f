"""python -m benchmarks gpu [SUBJECT]: all that a GPU can prove, in as many minutes as there are.

proof, the default: values and gradients of every operator, on every backend of this machine's GPU,
beside the float64 reference; throughput beside a copy in the same process, what the model predicts,
and the peers that are installed; cells with matrices beside cuDNN; populations of neurons; CUDA
graphs, more than 2^31 elements, compute-sanitizer, a sweep over lengths, and what tuning would
change: the most valuable first, each within seconds of its own (sections/__init__.py says how
many, and why). What is found is written as it comes, a line at a time, and as a JSON and a plot: a
run that is killed has proved what it reached. Exits with 1 if anything failed, with 2 where no GPU
runs our kernels. The test suite, which runs on a GPU as well, is a command of its own: python -m
pytest.

prepare: compiles the kernels into the folder --library, here or on a machine without a GPU, so that
compiling is no part of the minutes.

tune: measures the table of triton_kernels/config.py against what lies around its rows; see tune.py.

model: predicts, without a GPU, what the CUDA kernels should reach on an H100; see model.py.

show FILE: the tables of a proof, and its JSON again, from the lines of a run that was killed.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from . import prepare
from .journal import Journal, collect, failures, read
from .proof import Proof
from .sections import SECTIONS

OUT = Path(__file__).parents[1] / "out"
MINUTES = 8.0
#: Of each worker's own threads: references are computed by several at a time.
THREADS = "2"


def main(arguments: list[str] | None = None, prog: str = "python -m benchmarks.gpu") -> int:
    began = time.monotonic()
    args = _parser(prog).parse_args(arguments)
    if args.subject == "prepare":
        if args.library is None:
            print("prepare needs --library FOLDER, where the kernels are to lie", file=sys.stderr)
            return 2
        return prepare.prepare(args.library)
    if args.subject == "show":
        return show(args.file)
    if args.subject == "model":
        from . import predictions

        return predictions.main()
    if args.subject == "tune":
        return tune(args)
    return prove(args, began)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    subjects = ("proof", "prepare", "tune", "model", "show")
    parser.add_argument("subject", nargs="?", choices=subjects, default="proof")
    parser.add_argument("file", nargs="?", type=Path, help="show: the lines of a run, .jsonl")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"proof: all of it (default: {MINUTES:g})"
    )
    parser.add_argument(
        "--library", type=Path, metavar="FOLDER", help="proof, prepare: compiled kernels"
    )
    parser.add_argument(
        "--section",
        choices=[section.name for section in SECTIONS],
        action="append",
        help="proof: only this one, and what it needs; may be repeated",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="proof: tries all sections without a GPU, at tiny sizes: the tests' executor and\n"
        "Triton's interpreter run the kernels (in a checkout)",
    )
    parser.add_argument("--quick", action="store_true", help="tune: fewer rounds and values")
    parser.add_argument("--family", action="append", help="tune: only this one; may be repeated")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="where results go (default: benchmarks/out)"
    )
    return parser


def prove(args: argparse.Namespace, began: float) -> int:
    """Runs the sections; the exit status."""
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", THREADS)}
    environment |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # JAX would take the GPU's memory
    if args.dry_run:
        environment |= {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    prepared = {}
    if args.library is not None:
        try:
            prepared = prepare.take(args.library)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        print(f"Kernels of {args.library}: {prepared}", flush=True)
    wanted = set(args.section or [section.name for section in SECTIONS])
    chosen = [section for section in SECTIONS if section.name in wanted or section.is_first]
    name = f"gpu-{datetime.datetime.now():%Y-%m-%d-%H%M}{'-dry-run' if args.dry_run else ''}"
    journal = Journal(args.out, name)
    journal.write(minutes=args.minutes, dry_run=args.dry_run, command=sys.argv[1:])
    print(f"{args.minutes:g} minutes; every result goes to {journal.lines}", flush=True)
    until = began + 60 * args.minutes
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        Proof(journal, until, args.dry_run, environment | prepared).run(chosen)
    except KeyboardInterrupt:
        journal.write(section="the run", unit=(), event="failed", why="interrupted", wrote="")
    finally:
        if prepared:
            shutil.rmtree(prepared["LRNN_CACHE"], ignore_errors=True)
        path = journal.save()
    content = collect(journal.records)
    return _report(content, path, time.monotonic() - began)


def show(file: Path | None) -> int:
    """Prints a run that was written line by line, and writes its JSON."""
    if file is None or not file.is_file():
        print(f"show needs the lines of a run, a file NAME.jsonl, got {file}", file=sys.stderr)
        return 2
    from ..measure import report

    content = collect(read(file))
    path = report.save(content, file.parent, file.stem)
    return _report(content, path, content["seconds"])


def _report(content: dict, path: Path, seconds: float) -> int:
    from . import tables

    tables.print_all(content)
    drawn = tables.plot(content, path.parent, path.stem)
    print(f"\nResults: {path}{f', {drawn.name}' if drawn else ''}. {seconds:.0f} s in all.")
    proved = [name for name, s in content["sections"].items() if s["results"]]
    if "machine" not in proved:
        print("No GPU that runs our kernels: nothing was proved.", file=sys.stderr)
        return 2
    return 1 if failures(content) else 0


def tune(args: argparse.Namespace) -> int:
    """Tunes Triton's table."""
    from lrnn_kernels import testing

    from ..measure import machine, report
    from . import tune as tuning
    from .place import Place
    from .sections.machine import describe

    missing = testing.backends()["triton"]
    place = Place(stands_in=False)
    if missing or "triton" not in place.backends:
        print(f"This command needs a GPU that runs our Triton kernels: {missing}", file=sys.stderr)
        return 2
    families = args.family or list(tuning.FAMILIES)
    if unknown := set(families) - set(tuning.FAMILIES):
        print(f"--family must be of {', '.join(tuning.FAMILIES)}, got {unknown}", file=sys.stderr)
        return 2
    about = machine.describe() | describe(place)
    results: dict = {"machine": about, "quick": args.quick}
    results["tune"] = tuning.main(args.quick, families)
    name = f"gpu-{machine.slug(about | {'cpu': about['gpu'], 'isa': 'cuda'})}-tune"
    print(f"\nResults: {report.save(results, args.out, name)}")
    return 1 if any(x["why"] == "WRONG" for x in results["tune"]["left_out"]) else 0


if __name__ == "__main__":
    sys.exit(main())
