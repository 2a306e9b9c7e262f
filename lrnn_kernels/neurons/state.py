"""What a simulation goes on from, and what it records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..options import number
from .engine import EXTRA
from .model import Model
from .noise import Noise


class Kept(NamedTuple):
    """What must not change from one piece of a simulation to the next."""

    model: str
    dt: float
    dtype: torch.dtype
    scheme: str
    threshold: tuple[float, float]


@dataclass(frozen=True, eq=False)
class State:
    """All that B neurons carry at one time: give it back to ``simulate`` to go on, to the same
    numbers as in one run."""

    kept: Kept
    step: int  # steps of dt since t = 0
    values: Tensor  # (B, S) float64: see engine.py
    noise: tuple[Noise, int] | None  # with its seed
    names: tuple[str, ...]

    @property
    def time(self) -> float:
        """ms."""
        return self.step * self.kept.dt

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"State({len(self)} neurons of {self.kept.model}, t = {self.time:g} ms)"

    def __getitem__(self, name: str) -> Tensor:
        """One of the model's states, (B,) float64: ``state["V"]`` in mV."""
        if name not in self.names:
            raise KeyError(f"{self.kept.model} has no state {name!r}: {', '.join(self.names)}")
        return self.values[:, self.names.index(name)]

    @property
    def exploded(self) -> Tensor:
        """(B,) bool: neurons of which a state is NaN or infinite."""
        return ~self.values[:, : len(self.names)].isfinite().all(1)


def begin(model: Model, states: Tensor, kept: Kept) -> State:
    """At t = 0 with the given states (B, n)."""
    values = states.new_zeros((len(states), len(model.states) + EXTRA), dtype=torch.float64)
    n = len(model.states)
    values[:, :n] = states.to(kept.dtype)
    values[:, n] = torch.nan  # no E before the first
    values[:, n + 1] = values[:, 0] >= kept.threshold[0]
    values[:, n + 2] = -torch.inf  # a crossing that nobody saw
    return State(kept, 0, values, None, model.states)


class Record(NamedTuple):
    """What to record: some states, every so many ms."""

    every: float
    states: tuple[str, ...] = ("V",)


@dataclass(frozen=True, eq=False)
class Recording:
    """States over time: ``recording["V"]`` is (B, N), N samples at ``t``."""

    t: Tensor  # (N,) float64: ms
    values: Tensor  # (N, states, B)
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise KeyError(f"{name!r} was not recorded: {', '.join(self.names)} were")
        return self.values[:, self.names.index(name)].T

    def __repr__(self) -> str:
        samples, _, B = self.values.shape
        return f"Recording({', '.join(self.names)} of {B} neurons, {samples} samples)"


def recorded(record: object, model: Model, dt: float) -> tuple[int, tuple[str, ...]]:
    """Every how many steps, and what; (1, ()) for None."""
    if record is None:
        return 1, ()
    every, names = record if isinstance(record, Record) else (record, ("V",))
    every = steps_of("record", number("record", every, 0, float("inf"), open_low=True), dt)
    if not isinstance(names, (tuple, list)) or not names:
        raise TypeError(f"record.states must be a tuple of names, got {names!r}")
    for name in names:
        if name not in model.states:
            raise ValueError(f"record.states must be among {', '.join(model.states)}, got {name!r}")
    return every, tuple(names)


def steps_of(name: str, time: float, dt: float) -> int:
    """How many steps of dt a time is; raises where it is no whole number of them."""
    steps = round(time / dt)
    if abs(steps * dt - time) > 1e-6 * dt or (time > 0 and steps == 0):
        raise ValueError(f"{name} must be a multiple of dt, {dt:g} ms, got {time:g} ms")
    return steps
