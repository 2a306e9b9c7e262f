"""What a conductance-based neuron is: a table of channels and gates, from which everything else
follows.

    C dV/dt = I - sum_k g_k prod_x x^p (V - E_k)          C = 1 uF/cm^2
    dx/dt   = (x_inf - x) / tau                           for every gate x

Voltages in mV, times in ms, conductances in mS/cm^2, currents in uA/cm^2. A model is one object of
``Model``, in a file of ``models/``; nothing asks for one by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from .curves import Curve, Curves
from .given import Numbers, numbers

#: In which time scale a variable acts, where its time constant does not say it: (w_fs, w_su).
Weights = tuple[float, float]
FAST: Weights = (1.0, 1.0)
ULTRASLOW: Weights = (0.0, 0.0)


@dataclass(frozen=True)
class Gate:
    """A gating variable.

    Without tau it follows the voltage at once and is no state, or is the first state of the
    model's pair, of the same name. ``calcium`` is the concentration K at which a factor
    Ca/(Ca + K) of its steady state is 1/2.
    """

    name: str
    x_inf: Curve  # mV -> steady state
    tau: Curve | None = None  # mV -> ms
    calcium: float | None = None
    weights: Weights | None = None  # of its time scale; by tau where None
    relaxes_exactly: bool = False  # 1 - exp(-dt/tau) in the default scheme: tau may be below dt


@dataclass(frozen=True)
class Channel:
    """An ion channel: its gates with their powers, and its reversal potential."""

    name: str
    E: float  # mV
    gates: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Calcium:
    """dCa/dt = (rest - Ca - factor sum of the channels' currents) / tau."""

    channels: tuple[str, ...]
    factor: float
    rest: float
    tau: float  # ms
    start: float


@dataclass(frozen=True)
class Pair:
    """Two coupled states, open o and inactivated i:

    do/dt = a0 (1-o-i) + bi i - o (ai + b0);  di/dt = ai o - bi i, with rates per ms.
    """

    names: tuple[str, str]
    rates: Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]  # mV -> a0, b0, ai, bi
    start: tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """How a population of the model is generated: see ``populations.py``."""

    leak: tuple[float, float]  # mS/cm^2: of the uniform law that the gamma law matches
    ranges: Mapping[str, tuple[float, float]]  # mS/cm^2: uniform at the mean leak
    solved: tuple[str, str, str]
    targets: tuple[float, float, float]  # g_f, g_s, g_u of the base population, spiking
    #: The pair that is solved for (g_s, g_u): the first whose condition holds.
    pairs: tuple[tuple[tuple[str, str], Callable[[Tensor, Tensor], Tensor]], ...]
    #: First guess a + b g_s of a conductance, mS/cm^2, on which sensitivities depend.
    guesses: Mapping[str, tuple[float, float]]
    monte_carlo: Mapping[str, float]  # mS/cm^2: the ends of ranges from 0
    #: Of the published data sets: uniform ranges of g_s and g_u, and the ms that are simulated, of
    #: which the first are discarded.
    modulated: tuple[tuple[float, float], tuple[float, float]]
    protocol: tuple[float, float]


class Rate(NamedTuple):
    """Of the channels with open fractions: what they make of the voltage's equation."""

    G: Tensor  # mS/cm^2: total conductance
    drive: Tensor  # uA/cm^2: sum of g x E
    open: Tensor  # (..., channels): open conductances, mS/cm^2


@dataclass(frozen=True, eq=False)
class Model:
    """A neuron: channels in the order of g's columns, gates in the order of its states."""

    name: str
    title: str
    source: str
    channels: tuple[Channel, ...]  # the last is the leak
    gates: tuple[Gate, ...]
    time_scales: tuple[str, str, str | float]  # gates whose tau are fast, slow, ultraslow; or ms
    V_start: float  # mV
    V_threshold: float  # mV: where DICs of a population are set
    V_range: tuple[float, float]  # mV: what tables cover
    dt: float  # ms
    sampling: float  # ms: of the protocol's noise
    calcium: Calcium | None = None
    pair: Pair | None = None
    recipe: Recipe | None = None

    def __repr__(self) -> str:
        return f"<{self.title}: {' '.join(self.channel_names)}>"

    @cached_property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)

    @cached_property
    def dynamic(self) -> tuple[Gate, ...]:
        """The gates that are states by themselves."""
        return tuple(gate for gate in self.gates if gate.tau is not None)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """V, the gates, then Ca, or the pair."""
        names = ["V", *(gate.name for gate in self.dynamic)]
        names += ["Ca"] if self.calcium else []
        return (*names, *(self.pair.names if self.pair else ()))

    def channel(self, name: str) -> int:
        """The column of a channel; raises ValueError where the model has none of this name."""
        if name not in self.channel_names:
            raise ValueError(
                f"{self.name} has no channel {name!r}: it has {', '.join(self.channel_names)}"
            )
        return self.channel_names.index(name)

    def gate(self, name: str) -> Gate:
        return next(gate for gate in self.gates if gate.name == name)

    def steady(self, V: Tensor, calcium: Tensor | None = None) -> Tensor:
        """x_inf of the gates that are states, (..., gates)."""
        values = self._x_inf(V)
        for column, half in self._calcium_gates:
            factor = torch.ones_like(values)
            factor[..., column] = calcium / (calcium + half)
            values = values * factor
        return values

    def taus(self, V: Tensor) -> Tensor:
        """tau of the gates that are states, ms, (..., gates)."""
        return self._tau(V)

    def start(self, batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """The states at rest, (batch, states): gates at steady state at ``V_start``."""
        V = torch.tensor(self.V_start, dtype=torch.float64)
        calcium = torch.tensor(self.calcium.start if self.calcium else 0.0, dtype=torch.float64)
        values = [V[None], self.steady(V, calcium)]
        values += [calcium[None]] if self.calcium else []
        values += [torch.tensor(self.pair.start, dtype=torch.float64)] if self.pair else []
        return torch.cat(values).to(dtype).expand(batch, -1).clone()

    def conduct(self, V: Tensor, gates: Tensor, pair: Tensor | None, g: Tensor) -> Rate:
        """Total conductance and drive with gates (..., gates) and the pair's open fraction."""
        parts = [gates, torch.ones_like(gates[..., :1])]
        parts += [pair[..., None]] if self.pair else []
        parts += [gate.x_inf(V)[..., None] for gate in self._instant]
        columns, powers, E = self._products
        values = torch.cat(parts, -1)[..., columns.to(g.device)]
        opened = g * (values ** powers.to(g)).prod(-1)
        return Rate(opened.sum(-1), (opened * E.to(g)).sum(-1), opened)

    def calcium_current(self, opened: Tensor, V: Tensor) -> Tensor:
        """The sum of the currents that bring calcium in, uA/cm^2."""
        columns, E = self._calcium_channels
        current = opened[..., columns.to(V.device)] * (V[..., None] - E.to(V))
        return current.sum(-1)

    def derivative(self, states: Tensor, g: Tensor, current: Tensor | float = 0.0) -> Tensor:
        """d states/dt per ms of states (..., n) under g (..., channels), mS/cm^2, and an injected
        current, uA/cm^2; differentiable."""
        batch = torch.broadcast_shapes(states.shape[:-1], g.shape[:-1])
        states, g = states.expand(*batch, -1), g.expand(*batch, -1)
        V, gates, extra = self.split(states)
        calcium = extra[..., 0] if self.calcium else None
        pair = extra[..., -2:] if self.pair else None
        rate = self.conduct(V, gates, None if pair is None else pair[..., 0], g)
        parts = [(current + rate.drive - rate.G * V)[..., None]]
        parts.append((self.steady(V, calcium) - gates) / self.taus(V))
        if self.calcium:
            drive = self.calcium.rest - self.calcium.factor * self.calcium_current(rate.open, V)
            parts.append(((drive - calcium) / self.calcium.tau)[..., None])
        if self.pair:
            a0, b0, ai, bi = self.pair.rates(V)
            o, i = pair.unbind(-1)
            opening = a0 * (1 - o - i) + bi * i - o * (ai + b0)
            parts.append(torch.stack((opening, ai * o - bi * i), -1))
        return torch.cat(parts, -1)

    def split(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """V (...), the gates (..., gates), and Ca or the pair (..., 0 to 2)."""
        gates = len(self.dynamic)
        return states[..., 0], states[..., 1 : 1 + gates], states[..., 1 + gates :]

    @cached_property
    def _x_inf(self) -> Curves:
        return Curves([gate.x_inf for gate in self.dynamic])

    @cached_property
    def _tau(self) -> Curves:
        return Curves([gate.tau for gate in self.dynamic])

    @cached_property
    def _calcium_gates(self) -> list[tuple[int, float]]:
        gates = enumerate(self.dynamic)
        return [(column, gate.calcium) for column, gate in gates if gate.calcium is not None]

    @cached_property
    def _instant(self) -> list[Gate]:
        paired = self.pair.names if self.pair else ()
        return [gate for gate in self.gates if gate.tau is None and gate.name not in paired]

    @cached_property
    def _products(self) -> tuple[Tensor, Tensor, Tensor]:
        """Which values each channel multiplies, (channels, 2), to which powers, and its E: values
        are the gates, 1, the pair's open fraction where there is one, the instantaneous ones."""
        names = [gate.name for gate in self.dynamic] + [""]
        names += [self.pair.names[0]] if self.pair else []
        names += [gate.name for gate in self._instant]
        most = max(len(channel.gates) for channel in self.channels)
        factors = [(*c.gates, *[("", 1)] * (most - len(c.gates))) for c in self.channels]
        return (
            torch.tensor([[names.index(name) for name, _ in f] for f in factors]),
            torch.tensor([[power for _, power in f] for f in factors], dtype=torch.float64),
            torch.tensor([channel.E for channel in self.channels], dtype=torch.float64),
        )

    @cached_property
    def _calcium_channels(self) -> tuple[Tensor, Tensor]:
        columns = [self.channel(name) for name in self.calcium.channels]
        E = [self.channels[column].E for column in columns]
        return torch.tensor(columns), torch.tensor(E, dtype=torch.float64)


def to_siemens(g: Numbers) -> Tensor:
    """Conductances from mS/cm^2, this package's unit, to S/cm^2, NEURON's and Jaxley's."""
    return numbers("g", g) / 1000
