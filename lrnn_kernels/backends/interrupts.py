"""Ctrl-C, and what other signals' handlers raise, during a long call of a C++ operator.

An operator runs without Python's lock, and a handler of Python's runs only where Python does. So
the kernels ask every 50 ms or so, in Python's main thread, whether a handler wants to run; if it
raises, the call is left, and raises the same. Below this module is ``torch.ops``: what calls an
operator there, as a compiled graph does, gets a RuntimeError first, and the exception as soon as
Python runs.
"""

from __future__ import annotations

import ctypes
import os
import threading

#: In the order of struct Python in csrc/torch/operator.cpp.
_FUNCTIONS = (
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyErr_CheckSignals",
    "PyErr_Fetch",
    "PyErr_Restore",
    "PyErr_Clear",
    "Py_AddPendingCall",
)


def watch(library: ctypes.CDLL) -> None:
    """Lets the operators of a library ask for signals, in this process and its children."""
    addresses = (ctypes.c_void_p * len(_FUNCTIONS))(
        *(
            ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
            for name in _FUNCTIONS
        )
    )

    def register() -> None:
        library.lrnn_watch_signals(addresses, ctypes.c_ulong(threading.main_thread().ident))

    register()
    os.register_at_fork(after_in_child=register)  # where the thread that forks is the main thread
    global _raise_interrupt
    _raise_interrupt = ctypes.PyDLL(library._name).lrnn_raise_interrupt
    _raise_interrupt.restype = None


def _raise_interrupt() -> None:
    """Until there is a library: nothing was interrupted."""


def reraise() -> None:
    """After a call has failed: raises what a handler raised during it, if one did."""
    _raise_interrupt()
