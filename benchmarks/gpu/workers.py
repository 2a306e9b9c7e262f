"""The processes that run units, as the proof sees them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing import Pipe
from pathlib import Path

from .worker import PLACES

ROOT = Path(__file__).resolve().parents[2]
TAIL = 1500  # characters of what a worker wrote, in a failure


class Worker:
    """One of them, in a session of its own: ending it ends what it started."""

    def __init__(self, stands_in: bool, environment: dict[str, str]) -> None:
        self.pipe, theirs = Pipe()
        self._written = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        (place,) = (word for word, value in PLACES.items() if value == stands_in)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.worker", str(theirs.fileno()), place],
            cwd=ROOT,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        theirs.close()
        self._told = 0

    def told(self) -> str:
        """The end of what it has written since it was last asked."""
        self._written.seek(0, os.SEEK_END)
        end = self._written.tell()
        begin, self._told = max(self._told, end - TAIL), end
        self._written.seek(begin)
        return self._written.read(end - begin).decode(errors="replace").strip()

    def last_line(self) -> str:
        """The last line that it has written."""
        self._written.seek(0, os.SEEK_END)
        self._written.seek(max(0, self._written.tell() - TAIL))
        lines = self._written.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def signal(self) -> None:
        """Tells it, and all that it started, to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> str:
        """Ends it, and all that it started; how it ended, and what it wrote, in words."""
        ended = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            ended = self._process.wait(0.3)  # one that died has only just
        self.signal()
        self._process.wait()
        self.pipe.close()
        how = f"it ended with status {ended}" if ended is not None else "it was killed"
        return f"{how}; it wrote: {self.told() or 'nothing'}"
