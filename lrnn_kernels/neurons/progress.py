"""How far a long run is, for whoever waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

#: What is told how much is done, from 0 to 1.
Told = Callable[[float], object]

_WIDTH, _EVERY = 30, 0.25  # characters; seconds


def teller(progress: object) -> Told | None:
    """What ``progress`` asks for: nothing, a bar on a terminal, or a function of the user's."""
    if progress is None or progress is False:
        return None
    if progress is True:
        return _bar() if sys.stderr.isatty() else None
    if callable(progress):
        return progress
    raise TypeError(
        f"progress must be True, False or a function of a number, got {type(progress).__name__}"
    )


def _bar() -> Told:
    """Draws a bar on stderr, a few times a second, with the time that is left."""
    started, last, first = time.monotonic(), -_EVERY, None

    def tell(share: float) -> None:
        nonlocal last, first
        first = share if first is None else first  # what was done before
        now = time.monotonic()
        if share < 1 and now - last < _EVERY:
            return
        last = now
        full = int(share * _WIDTH)
        left = ""
        if share > first:
            left = f"{(now - started) * (1 - share) / (share - first):.0f} s left"
        line = f"\r|{'#' * full}{' ' * (_WIDTH - full)}| {100 * share:3.0f} % {left:14}"
        sys.stderr.write(line + ("\n" if share >= 1 else ""))
        sys.stderr.flush()

    return tell
