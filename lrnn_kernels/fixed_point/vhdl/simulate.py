"""Runs GHDL on a folder that ``write_vhdl`` wrote."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import circuits

_PASS = re.compile(
    r"PASS: (\d+) frames, (\d+) values and (\d+) results .*; (\d+) clocks .* at most (\d+) a frame"
)


@dataclass(frozen=True)
class Simulation:
    """What a test bench compared, and how long it took.

    Attributes:
        frames, values, results: how many frames were sent, states and accumulators compared, and
            classes compared.
        clocks: from the first accepted frame to the last.
        longest: the most from one frame to the next.
    """

    frames: int
    values: int
    results: int
    clocks: int
    longest: int

    @property
    def clocks_a_frame(self) -> float:
        """The mean; NaN where there is one frame."""
        return self.clocks / (self.frames - 1) if self.frames > 1 else float("nan")


class Mismatch(AssertionError):
    """The circuit does not do what the golden model does; the message is the simulator's."""


def available() -> bool:
    return shutil.which("ghdl") is not None


def order(folder: Path) -> list[Path]:
    """The sources of a folder, each after those that it needs; without test benches."""
    return [folder / f"{name}.vhd" for name in circuits.of(folder).order(folder)]


def run(
    folder: Path,
    *,
    bench: str = "tb",
    data: Path | None = None,
    stalls: bool = False,
    timeout: float | None = None,
) -> Simulation:
    """Simulates a test bench of the folder on the vectors in ``data``, its own by default.

    Raises Mismatch where a value is not the golden model's, an assertion fails (an overflow), or a
    source is no VHDL, with the simulator's words; RuntimeError where GHDL is missing.
    """
    if not available():
        raise RuntimeError("ghdl is not installed: apt-get install ghdl, or see ghdl.github.io")
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as work:
        options = ["--std=08", f"--workdir={work}"]
        sources = [*order(folder), *(folder / f"{name}.vhd" for name in (*circuits.BENCH, bench))]
        _ghdl(["-a", *options, *map(str, sources)], work, timeout)
        generics = [
            f"-gDATA={(data or folder / 'data').resolve()}",
            f"-gSTALLS={str(stalls).lower()}",
        ]
        run_options = ["--ieee-asserts=disable-at-0", "--max-stack-alloc=0"]
        printed = _ghdl(["--elab-run", *options, bench, *run_options, *generics], work, timeout)
    found = _PASS.search(printed)
    if not found:
        raise Mismatch(f"the test bench ended without a verdict:\n{printed[-2000:]}")
    return Simulation(*map(int, found.groups()))


def _ghdl(arguments: list[str], cwd: str, timeout: float | None) -> str:
    done = subprocess.run(
        ["ghdl", *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    printed = done.stdout + done.stderr
    if done.returncode:
        raise Mismatch(printed if len(printed) < 8000 else f"{printed[:4000]}...{printed[-4000:]}")
    return printed
