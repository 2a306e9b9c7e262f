"""What a peer is: another program that simulates STG neurons for their spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

#: ms per step, of those that have a fixed one; spikes that are kept of a neuron.
DT, SLOTS = 0.025, 512

#: Spikes of each neuron from ``discard`` on, (B,).
Counts = np.ndarray


@dataclass(frozen=True)
class Peer:
    """Another program.

    Args:
        name: of its row.
        packages: that it needs, as they are imported.
        prepare: ``prepare(g, start, T, discard)``: conductances (B, 8) in the order of the STG's
            channels, the state (13,) of all neurons at t = 0, ms. Compiles, and returns what is
            timed, which gives the counts.
        sizes: numbers of neurons it is timed with.
        goal: how many times as fast the package means to be.
        golden: its spikes of the three golden neurons over the last 3 s of 6: those of tight
            solvers, but where its own error is known to make others.
        ms: of model time, in what is timed.
        steps: whether it takes steps of DT.
    """

    name: str
    packages: tuple[str, ...]
    prepare: Callable[[np.ndarray, np.ndarray, float, float], Callable[[], Counts]]
    sizes: tuple[int, ...]
    goal: float | None = None
    golden: tuple[int, int, int] = (58, 111, 40)
    ms: float = 1000.0
    steps: bool = True

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        for name in self.packages:
            try:
                import_module(name)
            except Exception as error:  # of a package that another's version breaks, any
                if isinstance(error, ModuleNotFoundError) and error.name == name:
                    return f"{name} is not installed"
                return f"{name} cannot be imported: {type(error).__name__}: {error}"
        return None
