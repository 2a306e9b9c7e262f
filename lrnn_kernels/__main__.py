"""python -m lrnn_kernels build | check | info"""

from __future__ import annotations

import sys

USAGE = """usage: python -m lrnn_kernels COMMAND

  build   compile what would be compiled when it is first used, and say where it lies
  check [CELL...]
          compare every operator on every backend of this machine with the float64 reference, and
          the fixed-point network with its own; exit status 1 if one fails; or some operators only
  info    all that an issue should tell: versions, what is compiled and where it lies, backends,
          machine, compilers, environment variables"""


def main(arguments: list[str]) -> int:
    """Runs a command; returns the exit status."""
    if arguments == ["info"]:
        from . import info

        print(info.report())
        return 0
    if arguments == ["build"]:
        return _build()
    if arguments[:1] == ["check"] and not any(name.startswith("-") for name in arguments):
        if cells := arguments[1:]:
            return 0 if _check_operators(cells) else 1
        operators, fixed_point = _check_operators(), _check_fixed_point()
        return 0 if operators and fixed_point else 1
    if arguments in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    print(USAGE, file=sys.stderr)
    return 2


def _build() -> int:
    """Compiles the libraries that this machine can use; returns 1 if one of them cannot be had."""
    from . import info

    lines = info.libraries()
    print("\n".join(f"{name}: {text}" for name, text, _ in lines))
    return 0 if all(there for *_, there in lines) else 1


def _check_operators(cells: list[str] | None = None) -> bool:
    try:
        from .testing import check
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        print("not checked: the operators, which need torch")
        return True
    try:
        report = check.run_check(cells=cells, progress=_show if sys.stderr.isatty() else None)
    except ValueError as error:
        print(error, file=sys.stderr)
        return False
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(report)
    return report.ok


def _check_fixed_point() -> bool:
    from .fixed_point import check

    try:
        compared, different = check.run_check()
    except RuntimeError as error:
        print(f"not checked: fixed point: {error}")
        return True  # as for any other backend that this machine lacks
    for name in different:
        print(f"fixed point: {name} DIFFERS from the reference")
    print(f"fixed point: {compared} compared bit for bit, {len(different)} differ")
    return not different


def _show(row) -> None:
    print("." if row.ok else "F", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
