"""The compiled kernels: those that were prepared, or found, or else compiled now, by as many
compilers as there are cores."""

from __future__ import annotations

import time

from ..place import Limit, Place

KINDS = ("cuda", "cpu")  # the CPU's are what neurons are compared with


def units(place: Place) -> list[tuple] | str:
    return [(kind,) for kind in KINDS]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits where the library lies, how it came to be, and the seconds that took."""
    from lrnn_kernels.backends import cpu, cuda

    began = time.perf_counter()
    if place.stands_in:
        place.missing  # noqa: B018 - which loads the executor
    module = cuda if unit == ("cuda",) else cpu
    there = module.state is not None if module is cuda else module.available
    found = cuda.current() if module is cuda else cpu.extension()
    seconds = round(time.perf_counter() - began, 1)
    row = {"library": unit[0], "path": str(found.path), "how": found.reason, "seconds": seconds}
    row |= {"prepared": there and found.path is not None}
    how = "found" if row["prepared"] else "compiled just now, since no other fits these sources"
    if found.path is None:
        row["failed"] = how = found.reason
    emit(**row, text=f"{unit[0]}: {how}, {seconds:.0f} s, {found.path}")
