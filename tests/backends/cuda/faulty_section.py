"""A section of the GPU's proof that does what its units are called, for tests of what runs it."""

import ctypes
import os
import signal
import time


def units(place) -> list[tuple] | str:
    """Of the environment; "!" in front of a word is the reason why there is none."""
    words = os.environ["FAULTY_UNITS"]
    if words == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if words == "raises!":
        raise ValueError("no units")
    return words[1:] if words.startswith("!") else [(word,) for word in words.split()]


def run(place, unit, emit, limit) -> None:
    (what,) = unit
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    emit(operator=what, process=os.getpid(), cuda=os.environ.get("LRNN_CUDA"), text=f"at {what}")
    if what == "raises":
        raise ValueError("this unit raises")
    if what == "crashes":
        ctypes.string_at(0)
    if what == "wrong":
        emit(failed="a value is off")
    if what == "poisons":
        place.is_lost = True
    if what == "hangs":
        print("it will take long")
        time.sleep(1000)
    if what == "slow":
        time.sleep(0.4)
