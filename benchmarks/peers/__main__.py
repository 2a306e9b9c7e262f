"""python -m benchmarks peers: everybody else's recurrences beside ours on the CPU, interleaved.

Each peer's values and gradients are held to the reference in float64 first, at the size that is
timed: one that differs gets no times, and one that is not installed is named. Packages:
pip install "lrnn-kernels[peers]".
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from lrnn_kernels import testing

from ..claims import shown
from ..measure import machine, report
from ..measure.timing import pieces
from . import PEERS, tables
from .measure import load, measure
from .problems import PROBLEMS

OUT = Path(__file__).parents[1] / "out"
SMALL = (2, 32, 8)  # with --quick
#: Peers' memory, as a user who cares would have it: freed pages stay, and large ones are used.
PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _NEVER = -3, -1, 2**31 - 1  # of mallopt


def main(arguments: list[str], *, restart: bool = False) -> int:
    """``restart`` in the environment that peers do best in."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks peers",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--threads", type=int, help="by default as many as torch takes")
    parser.add_argument("--rounds", type=int, default=25, help="at most (default: 25)")
    parser.add_argument(
        "--only",
        metavar="WORD",
        action="append",
        help="peers or problems whose name has this word; may be repeated",
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"{list(SMALL)} alone: a check, no figures to quote"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="where the JSON and the plot go (benchmarks/out)"
    )
    parser.add_argument("--show", metavar="FILE", type=Path, help="the tables of a JSON; no run")
    parser.add_argument("--markdown", action="store_true", help="with --show: for a document")
    args = parser.parse_args(arguments)
    if args.show is not None:
        content = json.loads(args.show.read_text())
        print("\n\n".join(tables.markdown(content))) if args.markdown else tables.show(content)
        return 0
    if restart and not PAGES.keys() & os.environ.keys():
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **PAGES})
    threads = args.threads or torch.get_num_threads()
    chosen = [
        peer
        for peer in PEERS
        if not args.only or any(word in f"{peer.name} {peer.computes}" for word in args.only)
    ]
    if not chosen:
        parser.error(f"--only: no peer and no problem has {' or '.join(args.only)} in its name")
    about = machine.describe()
    name = f"peers-{machine.slug(about)}-{threads}-threads"
    before = load()
    rows: list[dict] = []
    _keep_freed_memory()
    with _cores(threads), testing.threads(threads):
        for more in _rows(chosen, threads, args.rounds, SMALL if args.quick else None):
            rows += more
            found = {"pieces": dict(pieces), "load": [before, load()], "rows": rows}
            about_run = {**about, "threads": threads}
            content = {"machine": about_run, "quick": args.quick, "peers": found}
            # At once: a peer may end the process with it.
            path = report.save(content, args.out, name)
    tables.show(content)
    print(f"\nResults: {path}")
    if (figure := shown.figure(11, 1.5 + 0.3 * len(rows))) is not None:
        tables.draw(figure, content)
        figure.suptitle(f"{about['cpu']}, {threads} threads, float32", fontsize=9)
        figure.savefig(args.out / f"{name}.png", dpi=90)
        print(f"Plot: {args.out / name}.png")
    return 0


def _rows(chosen: Sequence, threads: int, rounds: int, shape: tuple | None) -> Iterator[list[dict]]:
    """Of one problem after another."""
    for name, problem in PROBLEMS.items():
        others = [peer for peer in chosen if peer.computes == name]
        if others:
            print(f"{name}, beside {len(others)}", file=sys.stderr)
            yield list(measure(problem, others, threads, rounds, shape))


def _keep_freed_memory() -> None:
    """glibc gives large pieces back to the system, and their pages have to be made anew in every
    call: no peer should pay for that."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, _NEVER)


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """On so many cores: each peer has threads of its own, which are told in another way."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(mine)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], restart=True))
