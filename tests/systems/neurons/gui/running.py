"""The page in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import ROOT


@contextmanager
def page(folder: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The process, started in a folder, and the page's address."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NICEGUI_", "PYTEST_"))
    }
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(ROOT), environment.get("PYTHONPATH")))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "lrnn_kernels.neurons.gui", "--no-browser"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert "http://" in line, f"{line}{process.stderr.read() if not line else ''}"
        yield process, line.split("at ")[1].split()[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
