"""How far a run is, told to whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable

from tqdm import tqdm

_EVERY = 0.25  # seconds

_tell_to: Callable[[float], object] | None = None
_stop: Callable[[], bool] | None = None
_told = 0.0
_last = 0.0


def bar(label: str, total: int, done: int = 0) -> tqdm:
    """A bar of so many runs, on a terminal alone."""
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        leave=False,
        disable=None,
        bar_format="{desc} {percentage:3.0f} % |{bar}| {elapsed}",
    )


class Stopped(Exception):
    """Whoever is shown the progress wants no more of it."""


def to(tell: Callable[[float], object] | None, stop: Callable[[], bool] | None = None) -> None:
    """Call this with every share of a run that is done: they add up to 1 for each run. Where
    ``stop`` is True, runs raise Stopped at their next step."""
    global _tell_to, _stop
    _tell_to, _stop = tell, stop


def start() -> None:
    """A run begins."""
    global _told
    _told = 0.0


def at(share: float) -> None:
    """So much of the run is done, from 0 to 1; told a few times a second at most."""
    global _last
    if _tell_to is not None and time.monotonic() - _last > _EVERY:
        _last = time.monotonic()
        if _stop is not None and _stop():
            raise Stopped
        _tell(share)


def finish() -> None:
    """The run is done."""
    if _tell_to is not None:
        _tell(1.0)


def _tell(share: float) -> None:
    global _told
    _tell_to(share - _told)
    _told = share
