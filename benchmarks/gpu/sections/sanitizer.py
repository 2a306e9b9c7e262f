"""compute-sanitizer over the CUDA kernels: every access to memory is watched, every tensor has an
allocation of its own with space around it; then, of kernels with shared memory, every pair of
accesses that nothing orders.

The tool runs this file, a process for each engine: ``python -m benchmarks.gpu.sections.sanitizer
ENGINE SECONDS [PLACE]``. Values are compared elsewhere: here kernels only run, one call of each
after the other, so that what is cut short has met as many as it could.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..place import Limit, Place
from ..worker import PLACES
from ..workers import ROOT

TOOL = NAME = "compute-sanitizer"
NEURONS = "neurons"
#: Of each tool its options. memcheck sees what is beyond an allocation only if nobody owns it.
TOOLS = {"memcheck": ("--padding", "256"), "racecheck": ()}
NO_END = "no end"
#: A status for a process in which something was found; torch asks the driver for what it may not
#: have, which is no error of ours; and Python takes longer to begin than the tool waits.
OPTIONS = ("--error-exitcode", "99", "--report-api-errors", "no", "--target-processes", "all")
OPTIONS += ("--launch-timeout", "0")
#: Seconds, of those of a unit, in which the tool can end.
TO_END = 10.0
MEMCHECK_PART = 0.65  # of the time: the other tool comes after it
#: What it says where it cannot watch this device, which is no failure of ours.
CANNOT = ("Device not supported", "not supported on this", "Unable to find injection")


def units(place: Place) -> list[tuple] | str:
    """(tool, engine)."""
    if not place.stands_in and tool_path() is None:
        return f"{TOOL} is not installed"
    if "cuda" not in place.backends:
        return f"there are no CUDA kernels to watch: {place.missing['cuda']}"
    from lrnn_kernels.cells import KERNELS

    engines = [*dict.fromkeys(kernel.engine for kernel in KERNELS.values()), NEURONS]
    tools = [(tool, engine) for tool in TOOLS for engine in engines]
    return place.pick(tools, [("memcheck", engine) for engine in engines[-2:]])


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits what the tool said, and how many calls it watched."""
    tool, engine = unit
    where = next(word for word, stands_in in PLACES.items() if stands_in == place.stands_in)
    seconds = limit.left * (MEMCHECK_PART if tool == "memcheck" else 1.0)
    watched = [sys.executable, "-m", __spec__.name, engine, str(seconds - 2 * TO_END), where]
    command = [tool_path() or TOOL, "--tool", tool, *OPTIONS, *TOOLS[tool], *watched]
    done = _run(watched if place.stands_in else command, seconds - TO_END)
    place.is_lost = f"\n{NO_END}" in done  # what the tool started may go on
    lines = done.strip().splitlines()
    calls = sum(line.startswith("ran ") for line in lines)
    said = [line.removeprefix("=========").strip() for line in lines if "=====" in line]
    about = {"tool": tool, "engine": engine, "calls": calls}
    if any(word in done for word in CANNOT):
        emit(**about, left_out=said[-1], text=f"{tool}, {engine}: {said[-1]}")
    elif lines and lines[-1].startswith(NO_END) and not said[1:]:
        emit(**about, left_out=lines[-1], text=f"{tool}, {engine}: {calls} calls, {lines[-1]}")
    elif lines and lines[-1] == "status 0":
        complete = any(line == "all" for line in lines)
        how = "all" if complete else "as many as the time allowed"
        emit(**about, complete=complete, text=f"{tool}, {engine}: {calls} calls, {how}: no error")
    else:
        why = "; ".join(said[:12]) or " ".join(filter(None, lines[-6:]))
        emit(**about, failed=why[:3000], text=f"{tool}, {engine}: {calls} calls")


def tool_path() -> str | None:
    """The tool on PATH, or beside the newest CUDA compiler."""
    places = [TOOL, *sorted(map(str, Path("/usr/local").glob(f"cuda*/bin/{NAME}")), reverse=True)]
    return next((found for place in places if (found := shutil.which(place))), None)


def _run(command: list[str], seconds: float) -> str:
    """What a command wrote, and a line with its status."""
    # Without torch's own cache every tensor is an allocation of the driver's.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "PYTHONUNBUFFERED": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=max(1.0, seconds),
        )
    except subprocess.TimeoutExpired as error:
        written = (error.stdout or b"").decode(errors="replace")
        return f"{written}\n{NO_END} after {seconds:.0f} s"
    return f"{done.stdout}\nstatus {done.returncode}"


def launches(engine: str, place: Place) -> Iterator[tuple[str, Callable[[], object]]]:
    """Calls of an engine's kernels and their words: first one of each kernel, with everything that
    it can take, then the others of the check."""
    from lrnn_kernels import testing
    from lrnn_kernels.cells import CELLS

    from .. import neurons
    from .values import cases

    if engine == NEURONS:
        size = place.pick((37, 20.0), (2, 1.0))
        for model in neurons.STEPS:
            yield model, functools.partial(_compare, model, place.device, *size)
        return
    every = [call for cell in CELLS for call in cases(place, "cuda", cell)]
    calls = [call for call in every if call.kernel.engine == engine]
    first = {(c.kernel.name, c.dtype): c for c in calls if c.reset is not None}
    for call in [*first.values(), *(c for c in calls if not any(c is x for x in first.values()))]:
        words = f"{call.kernel.name} {call.dtype} {list(call.inputs[0].shape)}"
        yield words, lambda call=call: testing.run(call.to(place.device), "cuda")


def _compare(model: str, device: str, count: int, T: float) -> None:
    from .. import neurons

    for _ in neurons.compared("cuda", model, device, count, T):
        pass


def main(engine: str, seconds: float, place: Place) -> None:
    stop = time.monotonic() + seconds
    for words, call in launches(engine, place):
        if time.monotonic() > stop:
            return
        call()
        place.tidy()
        print(f"ran {words}", flush=True)
    print("all")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Place(PLACES[sys.argv[3]]))
