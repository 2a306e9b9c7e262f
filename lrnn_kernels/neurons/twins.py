"""Twins of recorded neurons: populations of a model that have the DICs of a recording."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..options import integer
from . import arguments
from .metrics import FEWEST_SPIKES, FiringClass, firing_class, intervals, metrics
from .model import Model
from .models import STG
from .network import DICsNet, Prediction
from .network.known import OF_CLASS, outside
from .populations import neuromodulate, spiking_population
from .simulate import simulate
from .spikes import Holder, Spikes, held

#: How many base neurons are tried for each twin, at most.
_TRIED = 64
#: By which factor the twins' median rate may be off the recording's, either way. Of recordings of
#: the model itself, whose DICs are in the recipe's ranges, all but one in a hundred are within it.
_RATE = 1.25


@dataclass(frozen=True)
class Match:
    """How one recorded unit and its twins fire.

    firing_class: of the recording. same_class: the share of its twins that have it.
    rate: spikes per second of the recording, between its first and last. twin_rate, rate_error: the
        median of the twins', and its relative error.
    metrics: by name, (recording, median of the twins of its class); NaN where there is none.
    outside: why the recording is unlike what the network was trained on, and other reasons for
        doubt; empty where there is none.
    """

    firing_class: FiringClass
    same_class: float
    rate: float
    twin_rate: float
    rate_error: float
    metrics: dict[str, tuple[float, float]]
    outside: list[str]


@dataclass(frozen=True, eq=False)
class Twins:
    """B recorded units, and n twins of each.

    prediction: of the recordings.
    g: (B, n, channels) mS/cm^2; NaN where no neuron without a negative conductance was found.
    spikes: of the B n twins, unit after unit, ms.
    matches: of each unit.
    """

    model: Model
    prediction: Prediction
    g: Tensor
    spikes: Spikes
    matches: list[Match]

    def __repr__(self) -> str:
        return f"Twins({len(self.g)} units, {self.g.shape[1]} of {self.model.name} for each)"

    def of(self, unit: int) -> Spikes:
        """The spikes of a unit's twins."""
        n = self.g.shape[1]
        return self.spikes[unit * n : (unit + 1) * n]


def twins(
    spikes: Spikes | Holder,
    n: int = 16,
    *,
    model: Model | str = STG,
    net: DICsNet | None = None,
    T: float | None = None,
    discard: float | None = None,
    seed: int = 0,
    progress: bool | Callable[[float], object] = False,
) -> Twins:
    """Predicts the DICs of recorded units, makes n neurons of a model with these DICs and
    conductances that differ widely, simulates them, and compares how they fire.

    Args:
        spikes: of B units, ms: ``Spikes.from_lists``, or what ``neurons.recordings`` reads.
        n: twins of each unit.
        model: which neurons.
        net: what predicts; the model's pretrained one by default.
        T, discard: ms of simulation, and without spikes from its start; the published protocol's.
        seed: of the base population. A unit's twins do not depend on the other units.
        progress: as of ``simulate``, whose cancellation by an exception it is too.

    Raises TypeError and ValueError for a bad argument. Silent units have no twins.
    """
    spikes = held(spikes)
    n = integer("n", n)
    model = arguments.model(model)
    net = DICsNet.pretrained(model) if net is None else net
    prediction = net.predict(spikes)
    g = population(model, prediction.g_s, prediction.g_u, n, seed=seed)
    protocol = model.recipe.protocol
    T, discard = protocol[0] if T is None else T, protocol[1] if discard is None else discard
    fired = simulate(model, g.flatten(0, 1), T, discard=discard, progress=progress).spikes
    return Twins(model, prediction, g, fired, matches(net, prediction, spikes, g, fired))


def population(model: Model | str, g_s: Tensor, g_u: Tensor, n: int, *, seed: int = 0) -> Tensor:
    """Conductances (B, n, channels) of n neurons for each of B pairs of DICs (B,): the first n of a
    base population, the same for all, that have no negative one at these DICs. NaN where there are
    not enough."""
    model = arguments.model(model)
    found = torch.full((len(g_s), n, len(model.channels)), torch.nan, dtype=torch.float64)
    left = (g_s.isfinite() & g_u.isfinite()).nonzero()[:, 0]
    tried = 2 * n
    while len(left) and tried <= _TRIED * n:
        base = spiking_population(model, tried, seed=seed).g
        pairs = len(left), len(base)
        made = neuromodulate(
            model,
            base.repeat(pairs[0], 1),
            g_s=g_s[left].double().repeat_interleave(pairs[1]),
            g_u=g_u[left].double().repeat_interleave(pairs[1]),
        )
        kept = made.kept.view(pairs)
        g = torch.full((*pairs, found.shape[2]), torch.nan, dtype=torch.float64)
        g[kept] = made.g
        enough = kept.sum(1) >= n
        best = kept.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :n]
        picked = g.gather(1, best[..., None].expand(-1, -1, g.shape[2]))
        found[left, : picked.shape[1]] = picked
        left, tried = left[~enough], 4 * tried
    return found


def rates(spikes: Spikes) -> Tensor:
    """(B,) Hz: intervals between the first and the last spike; NaN with fewer than 3 spikes."""
    isi, whose = intervals(spikes)
    total = isi.new_zeros(len(spikes)).index_add(0, whose, isi)
    count = torch.bincount(whose, minlength=len(spikes))
    return (1000 * count / total).masked_fill(count < FEWEST_SPIKES - 1, torch.nan)


def matches(
    net: DICsNet, prediction: Prediction, recorded: Spikes, g: Tensor, fired: Spikes
) -> list[Match]:
    """How each of B recorded units and its n neurons fire: g (B, n, channels), and the spikes of
    the B n neurons, unit after unit. NaN in g are no neurons, and are left out."""
    B, n = g.shape[:2]
    ours, theirs = metrics(recorded), metrics(fired)
    kinds = firing_class(fired).view(B, n)
    rate, twin_rates = rates(recorded), rates(fired).view(B, n)
    whole = (g == g).all(2)
    found = []
    for b in range(B):
        kind = FiringClass(int(ours.firing_class[b]))
        same = (kinds[b] == kind) & whole[b]
        compared = {
            name: (
                getattr(ours, name)[b].item(),
                _median(getattr(theirs, name).view(B, n)[b, same]),
            )
            for name in OF_CLASS.get(kind, ())
        }
        its_rate, twin_rate = rate[b].item(), _median(twin_rates[b, whole[b]])
        share = same.sum().item() / n if kind != FiringClass.SILENT else torch.nan
        doubts = outside(net, prediction, recorded, b)
        doubts += _doubts(kind, whole[b], share, its_rate, twin_rate)
        match = Match(
            kind,
            share,
            its_rate,
            twin_rate,
            abs(twin_rate / its_rate - 1),
            compared,
            doubts,
        )
        found.append(match)
    return found


def _doubts(
    kind: FiringClass, whole: Tensor, share: float, rate: float, twin_rate: float
) -> list[str]:
    """What the twins say against themselves."""
    if kind == FiringClass.SILENT:
        return []
    doubts = []
    if not whole.all():
        doubts.append(
            f"only {int(whole.sum())} of {len(whole)} neurons with these DICs have no negative "
            "conductance"
        )
    if share < 0.5:
        doubts.append(f"only {100 * share:.0f} % of the twins are {kind.name.lower()} as it is")
    if not (math.isnan(twin_rate) or rate / _RATE <= twin_rate <= rate * _RATE):
        doubts.append(
            f"the twins' rate differs from the recording's by {100 * (twin_rate / rate - 1):+.0f} %"
            f": {twin_rate:.3g} Hz, and {rate:.3g} Hz"
        )
    return doubts


def _median(x: Tensor) -> float:
    x = x[x.isfinite()]
    return x.median().item() if len(x) else torch.nan
