"""The compiled CUDA kernels: those that were prepared, or found, or else compiled now, by as many
compilers as there are cores."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..place import Limit, Place


def units(place: Place) -> list[tuple] | str:
    return [("cuda",)]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    from lrnn_kernels.backends import cuda

    if place.stands_in:
        place.missing  # noqa: B018 - which loads the executor
    took(unit[0], cuda.state is not None, cuda.current, emit)


def took(name: str, is_there: bool, load: Callable[[], object], emit) -> None:
    """Loads a library, and emits where it lies, how it came to be, and the seconds that took."""
    began = time.perf_counter()
    found = load()
    seconds = round(time.perf_counter() - began, 1)
    row = {"library": name, "path": str(found.path), "how": found.reason, "seconds": seconds}
    row |= {"prepared": is_there and found.path is not None}
    how = "found" if row["prepared"] else "compiled just now, since no other fits these sources"
    if found.path is None:
        row["failed"] = how = found.reason
    emit(**row, text=f"{name}: {how}, {seconds:.0f} s, {found.path}")
