"""python -m benchmarks.resources [KERNEL ...]: what the kernels take of a GPU, from their
compilers (no GPU is needed), and how many instructions those of the CPU run for an element.

Measures the named kernels (lines of csrc/cells/list.h and csrc/neurons/list.h), or, where none is
named, those whose sources have changed (CUDA), that the tables of this version lack (Triton), or
all (CPU, whose counts take minutes), and writes benchmarks/results/. Exits with 1 if a kernel
spills registers to memory.
"""

from __future__ import annotations

import argparse
import sys

from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.backends.build import toolchain

from . import cpu, cuda

BACKENDS = ("cpu", "cuda", "triton")


def main(arguments: list[str] | None = None) -> int:
    known = [line.name for line in cuda.lines()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resources",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=", ".join(known))
    parser.add_argument(
        "--backend", choices=BACKENDS, action="append", help="only this; may be repeated"
    )
    parser.add_argument("--all", action="store_true", help="measure all kernels, changed or not")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; compare the tables with what is counted anew (CPU), with the sources "
        "(CUDA), and a part of the kernels with the table (Triton)",
    )
    args = parser.parse_args(arguments)
    if unknown := sorted(set(args.kernels) - set(known)):
        parser.error(f"no kernel is called {unknown[0]!r}; there are {', '.join(known)}")
    if bool(args.kernels) + args.all + args.check > 1:
        parser.error("give kernels, or --all, or --check")
    backends = args.backend or BACKENDS
    return max(_run(backend, args) for backend in backends)


def _run(backend: str, args: argparse.Namespace) -> int:
    if reason := _missing(backend, args.check):
        print(f"{backend}: {reason}", file=sys.stderr)
        return 1
    if backend == "cpu":
        names = args.kernels or [line.name for line in cpu.lines()]
        return cpu.check(names) if args.check else cpu.write_tables(names)
    if backend == "cuda":
        if args.check:
            return cuda.check()
        everything = [line.name for line in cuda.lines()]
        return cuda.write_tables(everything if args.all else args.kernels or cuda.changed())
    from . import triton_tables

    if args.check:
        return triton_tables.check()
    return triton_tables.write_tables(args.kernels, args.all)


def _missing(backend: str, check: bool) -> str | None:
    """What measuring for a backend lacks here."""
    if backend == "cpu":
        return cpu.missing()
    if backend == "triton":
        return triton_backend.failure()
    return None if check or toolchain.find_nvcc() else "there is no nvcc"


if __name__ == "__main__":
    sys.exit(main())
