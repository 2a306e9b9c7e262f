"""A process that runs units of sections, one after another, as it is told: ``python -m
benchmarks.gpu.worker PIPE PLACE``.

What can poison a CUDA context, or hang, thus does so in a process that can be replaced. A worker is
used again and again, since importing torch and making a context takes seconds.

    asked                                        answers
    ("units", module)                            ("units", [unit, ...]) or ("units", "why none") or
                                                 ("failed", why)
    ("unit", module, unit, seconds)              ("result", {...}) for everything found, then
                                                 ("done", healthy) or ("failed", why, healthy)
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from .place import Limit, Place

_PR_SET_PDEATHSIG = 1  # of Linux
#: The word on the command line for each kind of place.
PLACES = {"gpu": False, "stand-in": True}


def main(pipe: Connection, place: Place) -> None:
    while True:
        try:
            what, module, *rest = pipe.recv()
        except EOFError:
            return
        if what == "units":
            pipe.send(_units(module, place))
        else:
            pipe.send(_run(module, place, pipe, *rest))


def _units(module: str, place: Place) -> tuple:
    try:
        return "units", importlib.import_module(module).units(place)
    except Exception as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}"


def _run(module: str, place: Place, pipe: Connection, unit: tuple, seconds: float) -> tuple:
    def emit(**found: object) -> None:
        pipe.send(("result", found))

    try:
        importlib.import_module(module).run(place, unit, emit, Limit(seconds))
    except Exception as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        # An error within a capture is no error of the context's, and can still be in the way.
        return "failed", why, place.tidy() and "CUDA" not in why and "captur" not in why
    return "done", place.tidy()


def end_with_parent() -> None:
    """Has the kernel end this process when the one that started it ends, whatever it is at."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    faulthandler.enable()
    end_with_parent()
    main(Connection(int(sys.argv[1])), Place(PLACES[sys.argv[2]]))
