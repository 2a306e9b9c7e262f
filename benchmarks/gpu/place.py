"""Where the kernels of a proof run: on a GPU or, to try the proof itself, on the CPU, where the
tests' executor and Triton's interpreter stand for one.
"""

from __future__ import annotations

import functools
import importlib
import sys
import time
from typing import TypeVar

Some = TypeVar("Some")

#: What puts the executor in the GPU's place; it is the tests', and needs their checkout.
STAND_IN = "tests.backends.cuda.stand_in"


class Place:
    """One of the two. Nothing is imported before it is asked for."""

    def __init__(self, stands_in: bool) -> None:
        self.stands_in = stands_in
        self.device = "cpu" if stands_in else "cuda"
        self._busy = -1e9  # when a unit last ended
        self.is_lost = False  # set by a unit after which this process must not go on

    @functools.cached_property
    def missing(self) -> dict[str, str]:
        """Both backends: "" where kernels run, else why not."""
        self._install()
        from lrnn_kernels.backends import choose

        known = choose.available()
        return {name: known[name] for name in choose.GPU}

    @property
    def backends(self) -> list[str]:
        """Those whose kernels run here."""
        return [name for name, why in self.missing.items() if not why]

    @functools.cached_property
    def engines(self) -> list[str]:
        """Backends that simulate neurons here."""
        import torch

        from lrnn_kernels.neurons import choosing

        return [name for name in self.backends if not choosing.missing(name, torch.float32)]

    @functools.cached_property
    def clock(self):
        """Times what can be captured in a graph."""
        from . import timing

        return timing.HostClock() if self.stands_in else timing.GraphClock()

    @functools.cached_property
    def events(self):
        """Times what cannot."""
        from . import timing

        return timing.HostClock() if self.stands_in else timing.EventClock()

    def pick(self, full: Some, small: Some) -> Some:
        """The sizes of a GPU, or those of the stand-in, which is thousands of times as slow."""
        self._install()
        return small if self.stands_in else full

    def warm_up(self) -> None:
        """Before something is timed: until the clocks have risen, where the GPU has rested."""
        if self.stands_in:
            return
        from . import timing

        rested = time.monotonic() - self._busy > timing.REST_SECONDS
        timing.warm_up(timing.WARM_SECONDS if rested else timing.STILL_WARM_SECONDS)

    def free_bytes(self) -> int:
        """Memory that can be had."""
        import torch

        if self.stands_in:
            return 1 << 30
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    def wait(self, result: object = None) -> None:
        """For all that was launched, a result among it."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()

    def tidy(self) -> bool:
        """After a unit: gives memory back; whether kernels can still run in this process. After an
        illegal access none can."""
        self._busy = time.monotonic()
        if self.is_lost:
            return False
        if self.stands_in or "torch" not in sys.modules:
            return True
        import torch

        if not torch.cuda.is_initialized():
            return True
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except RuntimeError:
            return False
        return True

    @functools.cache  # noqa: B019 - a place lives as long as its process
    def _install(self) -> None:
        if self.stands_in:
            importlib.import_module(STAND_IN).install()


class Limit:
    """The seconds that a unit has."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    @property
    def over(self) -> bool:
        return self.left <= 0
