"""What is said while compiling: records of the logger ``lrnn_kernels``, which is the package's only
one.

Where nobody has configured logging, what is said is shown on stderr all the same: whoever waits for
minutes wants to know for what. A level of that logger, a handler of it or of the root, and
``logging.disable`` decide as ever:

    logging.getLogger("lrnn_kernels").setLevel(logging.WARNING)   # nothing about compiling
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time

LOG = logging.getLogger("lrnn_kernels")

#: Seconds between two lines of progress where they cannot be written over one another: the first,
#: and what they grow to.
QUIET, QUIETEST = 10.0, 80.0


def info(text: str) -> None:
    """Says what is going on."""
    _say(logging.INFO, text)


def warning(text: str) -> None:
    """Says what is not as it should be, and is mended."""
    _say(logging.WARNING, text)


def _say(level: int, text: str) -> None:
    if LOG.hasHandlers():
        LOG.log(level, text)
    elif _shows(level):
        _write(f"{LOG.name}: {text}\n")


def _shows(level: int) -> bool:
    """Whether nobody has asked for less; of a logger without handlers."""
    return LOG.level <= level and LOG.manager.disable < level


def _write(text: str) -> None:
    if sys.stderr is not None:  # as of a program without a console
        sys.stderr.write(text)
        sys.stderr.flush()


def _over() -> bool:
    """Whether lines may be written over one another: on a terminal that nobody logs to."""
    if LOG.hasHandlers() or not _shows(logging.INFO) or sys.stderr is None:
        return False
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Progress:
    """Says what is done and what is left: over one line of a terminal, else in a new line, ever
    less often."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.start = self.said = time.monotonic()
        self.quiet = QUIET
        info(f"compiling {name}: {total} files, once")

    def step(self, done: int, label: str) -> None:
        now = time.monotonic()
        if _over():
            line = f"{LOG.name}: {self._text(done)}: {label}"
            _write(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}")
        elif now - self.said >= self.quiet and done < self.total:
            self.said, self.quiet = now, min(2 * self.quiet, QUIETEST)
            info(self._text(done))

    def end(self) -> None:
        if _over():
            _write("\r\033[K")
        info(f"compiled {self.name} in {time.monotonic() - self.start:.0f} s")

    def _text(self, done: int) -> str:
        spent = time.monotonic() - self.start
        return (
            f"compiling {self.name}: {done} of {self.total} files, {spent:.0f} s, "
            f"{self.total - done} files left"
        )
