"""What the population engines compute, readable: torch, step by step, in any floating dtype; the
oracle in float64, and what runs where nothing is compiled.

"exponential_euler", first order: every gate relaxes exactly with the old V, then calcium with the
fresh current, the pair by implicit Euler, then V exactly towards E, as if E were constant:

    x <- x_inf + (x - x_inf) exp(-dt/tau);   V <- E + (V - E) exp(-dt G)

"default" has one division per gate and the bias of V mended:

    x <- x + (x_inf - x) dt / (tau + dt/2);   the pair by the trapezoid;   calcium with the mean of
    old and new V;   V exactly towards an E that moves linearly in time, at the slope of the last
    two steps: with z = dt G, e = exp(-z), dE = E - E_prev, c = dE / z,
    V <- E + dE/2 - c + (V - E + dE/2 + c) e

where G = sum g, E = (sum g E_k + I) / G, with the new gates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .engine import NoiseSettings
from .model import Model
from .noise import Stream

SCHEMES = ("default", "exponential_euler")


class _Now(NamedTuple):
    """The numbers of B neurons between two steps, in the dtype of the call."""

    V: Tensor  # (B,)
    gates: Tensor  # (B, gates)
    extra: Tensor  # (B, 0 to 2): Ca, or the pair
    E: Tensor  # (B,): of the step before, NaN before the first


def run(
    model: Model,
    g: Tensor,
    state: Tensor,
    times: Tensor,
    counts: Tensor,
    *,
    scheme: str,
    first_step: int,
    steps: int,
    dt: float,
    discard: float,
    threshold: tuple[float, float],
    current: Tensor | None,
    current_rate: float,
    noise: NoiseSettings | None,
    record: Tensor | None,
    record_every: int,
    record_states: tuple[int, ...],
) -> None:
    """Advances B neurons in place: see ``engine.py``, whose contract this is."""
    n, (up, down) = len(model.states), threshold
    now = _Now(*model.split(state[:, :n].to(g.dtype)), state[:, n].to(g.dtype))
    above, crossing = state[:, n + 1] != 0, state[:, n + 2]
    stream = Stream(noise, state[:, n + 3 :], first_step, steps) if noise else None
    injected = _currents(current, current_rate, stream, first_step, steps)
    sample = 0
    for step in range(first_step, first_step + steps):
        if record is not None and step % record_every == 0:
            whole = torch.cat((now.V[:, None], now.gates, now.extra), 1)
            record[sample] = whole.T[list(record_states)]
            sample += 1
        before = now.V
        now = advance(model, now, g, next(injected), dt, scheme)
        opened = ~above & (up <= now.V)
        closed = above & (down > now.V)
        if (opened | closed).any():
            rise = (up - before.double()) / (now.V.double() - before.double())
            crossing = torch.where(opened, (step + rise) * dt, crossing)
            above = (above | opened) & ~closed
            kept = (closed & (crossing >= discard)).nonzero()[:, 0]
            _store(times, counts, kept, crossing[kept])
    state[:, 0] = now.V
    state[:, 1:n] = torch.cat((now.gates, now.extra), 1)
    state[:, n], state[:, n + 1], state[:, n + 2] = now.E, above, crossing
    if stream:
        state[:, n + 3 :] = stream.numbers()


def _store(times: Tensor, counts: Tensor, neurons: Tensor, crossings: Tensor) -> None:
    room = counts[neurons] < times.shape[1]
    times[neurons[room], counts[neurons[room]]] = crossings[room]
    counts[neurons] += 1


def _currents(
    current: Tensor | None, rate: float, stream: Stream | None, first_step: int, steps: int
) -> Iterator[Tensor | float]:
    """The injected current at the middle of every step."""
    for step in range(first_step, first_step + steps):
        I = 0.0  # noqa: E741, the equations' name
        if current is not None:
            I = current[0]  # noqa: E741
        if current is not None and len(current) > 1:
            place = (step + 0.5) * rate
            k = math.floor(place)
            w = torch.tensor(place - k, dtype=current.dtype, device=current.device)
            I = current[k] + w * (current[k + 1] - current[k])  # noqa: E741
        yield I if stream is None else I + stream.at(step)


def advance(
    model: Model, now: _Now, g: Tensor, current: Tensor | float, dt: float, scheme: str
) -> _Now:
    """One step of dt."""
    simple, extra = scheme == "exponential_euler", now.extra
    calcium = extra[:, 0] if model.calcium else None
    relaxed = _share(model, now.V, dt, simple)
    gates = now.gates + relaxed * (model.steady(now.V, calcium) - now.gates)
    if model.pair:
        extra = _advance_pair(model, now.V, extra, dt, 1.0 if simple else 0.5)
    rate = model.conduct(now.V, gates, extra[:, 0] if model.pair else None, g)
    E = (rate.drive + current) / rate.G
    z = dt * rate.G
    decay = torch.exp(-z)
    if simple:
        V = E + (now.V - E) * decay
    else:
        dE = torch.where(now.E.isnan(), 0.0, E - now.E)
        c, half = dE / z, dE / 2
        V = E + half - c + (now.V - E + half + c) * decay
    if model.calcium:
        seen = now.V if simple else (now.V + V) / 2
        rest, factor = model.calcium.rest, model.calcium.factor
        target = rest - factor * model.calcium_current(rate.open, seen)
        extra = (calcium - math.expm1(-dt / model.calcium.tau) * (target - calcium))[:, None]
    return _Now(V, gates, extra, E)


def _share(model: Model, V: Tensor, dt: float, exactly: bool) -> Tensor:
    """How much of its way to x_inf each gate goes in a step, (B, gates)."""
    tau = model.taus(V)
    if exactly:
        return -torch.expm1(-dt / tau)
    share = dt / (tau + dt / 2)
    for column, gate in enumerate(model.dynamic):
        if gate.relaxes_exactly:
            share[:, column] = -torch.expm1(-dt / tau[:, column])
    return share


def _advance_pair(model: Model, V: Tensor, pair: Tensor, dt: float, implicit: float) -> Tensor:
    """The pair's linear system by an implicit rule: 1 Euler's, 1/2 the trapezoid."""
    a0, b0, ai, bi = model.pair.rates(V)
    o, i = pair.unbind(1)
    rate_o, rate_i = a0 * (1 - o - i) + bi * i - o * (ai + b0), ai * o - bi * i
    h = implicit * dt
    m11, m12, m21, m22 = 1 + h * (a0 + ai + b0), h * (a0 - bi), -h * ai, 1 + h * bi
    scale = dt / (m11 * m22 - m12 * m21)
    o = o + scale * (m22 * rate_o - m12 * rate_i)
    return torch.stack((o, i + scale * (m11 * rate_i - m21 * rate_o)), 1)
