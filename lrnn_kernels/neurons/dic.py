"""Dynamic input conductances (DICs): what a neuron's channels do to its voltage in three time
scales.

At a voltage V, gates at steady state, with q_x = -(d(dV/dt)/dx)(dx_inf/dV) and weights w_fs, w_su
in [0, 1] that say, by its time constant on a logarithmic scale, in which scale a variable x acts:

    g_f = sum_k g_k (open fraction_k + sum_x w_fs q_x) / g_leak
    g_s = sum_k g_k sum_x (w_su - w_fs) q_x / g_leak
    g_u = sum_k g_k sum_x (1 - w_su) q_x / g_leak

They are dimensionless. At the spike threshold g_f < 0; g_s > 0 makes neurons spike, g_s < 0 burst;
g_u > 0 sets what is between bursts. Sources: Drion, Franci, Dethier and Sepulchre, eNeuro 2015;
Fyon, Franci, Sacre and Drion, PNAS Nexus 2024.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..calls.arguments import shape
from ..options import one_of
from . import arguments
from .curves import Curve, slope
from .given import Numbers, real
from .model import ULTRASLOW, Channel, Gate, Model

#: How calcium is weighted where it gates channels: by its time constant, or wholly ultraslow, as an
#: older code of the method's authors has it.
CALCIUM = ("tau", "ultraslow")
#: Where a threshold is looked for, mV: first on a grid, then by bisection.
LOW, HIGH, GRID, TOLERANCE = -100.0, 0.0, 0.5, 1e-6
ROWS = 8192  # neurons at a time, of each of which all of the grid is in memory


def dic(
    model: Model | str, g: Numbers, V: float | Numbers | None = None, *, calcium: str = "tau"
) -> Tensor:
    """DICs (..., 3), as (g_f, g_s, g_u), of conductances g (..., channels) in mS/cm^2.

    V in mV is a number, or a tensor, an array or lists of them that broadcast with g's leading
    dimensions; where it is None, the threshold of each neuron (NaN where there is none).
    Differentiable in g, and in V where it is given; a threshold that is looked for counts as a
    constant.
    """
    model = arguments.model(model)
    g = arguments.conductances(g, model)
    V = threshold_voltage(model, g) if V is None else _voltage(V, g)
    return At(model, V, calcium).dics(g)


def sensitivities(
    model: Model | str, g: Numbers, V: float | Numbers, *, calcium: str = "tau"
) -> Tensor:
    """S (..., 3, channels), dimensionless, with dic = S g / g_leak; it depends on g where calcium
    gates a channel. Differentiable in g and V."""
    model = arguments.model(model)
    g = arguments.conductances(g, model)
    return At(model, _voltage(V, g), calcium).sensitivities(g)


def dic_curves(model: Model | str, g: Numbers, V: Numbers, *, calcium: str = "tau") -> Tensor:
    """DICs over voltages V (n,), mV, of neurons g (..., channels): (..., n, 3)."""
    model = arguments.model(model)
    g = arguments.conductances(g, model)
    V = real("V", V)
    if V.dim() != 1:
        raise ValueError(f"V must have shape (n,), got {shape(V)}")
    return At(model, V.to(g), calcium).dics(g[..., None, :])


@torch.no_grad()
def threshold_voltage(model: Model | str, g: Numbers) -> Tensor:
    """The voltage (...), mV, at which g_f + g_s + g_u first crosses zero downward, as V rises from
    -100 to 0 mV; NaN where it does not. To 1e-6 mV in float64."""
    model = arguments.model(model)
    g = arguments.conductances(g, model)
    rows = [_thresholds(model, part) for part in g.reshape(-1, g.shape[-1]).split(ROWS)]
    return torch.cat(rows).reshape(g.shape[:-1]) if rows else g.new_empty(g.shape[:-1])


def _thresholds(model: Model, g: Tensor) -> Tensor:
    """Of g (B, channels): (B,)."""
    grid = torch.linspace(LOW, HIGH, round((HIGH - LOW) / GRID) + 1, dtype=torch.float64).to(g)
    is_above = At(model, grid).totals(g) >= 0  # (B, grid)
    falls = is_above[:, :-1] & ~is_above[:, 1:]
    found = torch.where(falls.any(1), grid[1:][falls.int().argmax(1)], torch.nan)
    high, low = found, found - GRID
    for _ in range(math.ceil(math.log2(GRID / TOLERANCE))):
        V = (low + high) / 2
        is_below = At(model, V).sums(g).sum(-1) < 0
        low, high = torch.where(is_below, low, V), torch.where(is_below, V, high)
    return (low + high) / 2


class At:
    """A model's sensitivities at voltages V (...): all but a channel that calcium gates are the
    same for every neuron there, and computed once."""

    def __init__(self, model: Model, V: Tensor, calcium: str = "tau") -> None:
        one_of("calcium", calcium, CALCIUM)
        self.model, self.V = model, V
        self._scales = self._time_scales()
        columns = [self._column(channel) for channel in model.channels]
        self.rows = torch.stack(columns, -1)  # (..., 3, channels), where factors of calcium are 1
        self.gated = [
            (column, gate, power)
            for column, channel in enumerate(model.channels)
            for gate, power in ((model.gate(name), power) for name, power in channel.gates)
            if gate.calcium is not None
        ]
        if self.gated:
            self._prepare_calcium(calcium)

    def sensitivities(self, g: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(g.shape[:-1], self.V.shape)
        S = self.rows.expand(*batch, 3, -1)
        columns = list(S.unbind(-1))
        for column, values in self.calcium_columns(g):
            columns[column] = values
        return torch.stack(columns, -1)

    def dics(self, g: Tensor) -> Tensor:
        return self.sums(g) / g[..., -1:]

    def sums(self, g: Tensor) -> Tensor:
        """S g, (..., 3)."""
        rows, extra = self.rows, 0.0
        for column, values in self.calcium_columns(g):
            extra = extra + (values - rows[..., column]) * g[..., column, None]
        return (rows @ g[..., None])[..., 0] + extra if self.V.dim() else g @ rows.T + extra

    def totals(self, g: Tensor) -> Tensor:
        """The sums over all three scales, (B, V), of neurons g (B, channels) at voltages (V,)."""
        total = g @ self.rows.sum(-2).T
        for column, values in self.calcium_columns(g[:, None]):
            extra = (values - self.rows[..., column]).sum(-1)
            total = total + extra * g[:, None, column]
        return total

    def calcium_columns(self, g: Tensor) -> list[tuple[int, Tensor]]:
        """The columns (..., 3) of S that depend on g, and which they are."""
        if not self.gated:
            return []
        calcium = self.model.calcium
        flows = zip(calcium.channels, self._flows, strict=True)
        current, slope_of_it = 0.0, 0.0
        for name, (flow, its_slope) in flows:
            conductance = g[..., self.model.channel(name)]
            current = current + conductance * flow
            slope_of_it = slope_of_it + conductance * its_slope
        level, its_slope = calcium.rest - calcium.factor * current, -calcium.factor * slope_of_it
        found = []
        for (column, gate, power), reach in zip(self.gated, self._reach, strict=True):
            half = gate.calcium
            factor = level / (level + half)
            by_calcium = power * factor ** (power - 1) * half / (level + half) ** 2 * its_slope
            by_voltage = (factor**power)[..., None] * self.rows[..., column]
            found.append((column, by_voltage + by_calcium[..., None] * reach))
        return found

    def _prepare_calcium(self, calcium: str) -> None:
        """Of each channel that brings calcium in, its flow u per unit conductance, with du/dV; of
        each that calcium gates, in which scales it acts by way of calcium."""
        channels = [self.model.channels[self.model.channel(n)] for n in self.model.calcium.channels]
        self._flows = [slope(self._flow(c), self.V) for c in channels]
        tau = torch.full_like(self.V, self.model.calcium.tau)
        weights = self._weights(tau, None if calcium == "tau" else ULTRASLOW)
        self._reach = []
        for column, _, _ in self.gated:
            channel = self.model.channels[column]
            drive = self._open(channel, self.V) * (self.V - channel.E)
            self._reach.append(_in_scales(drive, *weights))

    def _flow(self, channel: Channel) -> Curve:
        return lambda V: self._open(channel, V) * (V - channel.E)

    def _open(self, channel: Channel, V: Tensor) -> Tensor:
        value = torch.ones_like(V)
        for name, power in channel.gates:
            value = value * self.model.gate(name).x_inf(V) ** power
        return value

    def _column(self, channel: Channel) -> Tensor:
        """(..., 3): how a channel acts per unit conductance."""
        gates = [(self.model.gate(name), power) for name, power in channel.gates]
        at = [slope(gate.x_inf, self.V) for gate, _ in gates]
        total = torch.ones_like(self.V)
        for (x, _), (_, power) in zip(at, gates, strict=True):
            total = total * x**power
        column = torch.stack((total, torch.zeros_like(total), torch.zeros_like(total)), -1)
        for i, (gate, power) in enumerate(gates):
            x, its_slope = at[i]
            q = power * x ** (power - 1) * its_slope * (self.V - channel.E)
            for j, (_, other) in enumerate(gates):
                q = q * at[j][0] ** other if j != i else q
            column = column + _in_scales(q, *self._gate_weights(gate))
        return column

    def _time_scales(self) -> tuple[Tensor, ...]:
        return tuple(
            self.model.gate(scale).tau(self.V)
            if isinstance(scale, str)
            else torch.full_like(self.V, scale)
            for scale in self.model.time_scales
        )

    def _gate_weights(self, gate: Gate) -> tuple[Tensor, Tensor]:
        tau = gate.tau(self.V) if gate.weights is None else self.V
        return self._weights(tau, gate.weights)

    def _weights(self, tau: Tensor, forced: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
        """(w_fs, w_su) of a variable."""
        if forced is not None:
            return tuple(torch.full_like(self.V, w) for w in forced)
        fast, slow, ultraslow = self._scales
        return _weight(tau, fast, slow), _weight(tau, slow, ultraslow)


def _weight(tau: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """1 up to low, 0 beyond high, linear in the logarithm between them."""
    share = (high.log() - tau.log()) / (high.log() - low.log())
    inside = share.clamp(0, 1)
    return torch.where(tau <= low, 1.0, torch.where(tau > high, 0.0, inside))


def _in_scales(q: Tensor, w_fs: Tensor, w_su: Tensor) -> Tensor:
    return torch.stack((w_fs * q, (w_su - w_fs) * q, (1 - w_su) * q), -1)


def _voltage(V: object, g: Tensor) -> Tensor:
    V = real("V", V)
    try:
        torch.broadcast_shapes(V.shape, g.shape[:-1])
    except RuntimeError:
        raise ValueError(
            f"V must broadcast with {tuple(g.shape[:-1])}, the neurons of g, got {shape(V)}"
        ) from None
    return V.to(g)
