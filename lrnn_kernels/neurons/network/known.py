"""What a network was trained on, and what lies outside of it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..metrics import FiringClass, metrics, with_gaps_filled
from ..spikes import Spikes
from .dicsnet import METRICS, DICsNet, Prediction
from .examples import Examples

#: Shares of the trained neurons that are below and above what is called known.
_TAIL = 0.005
#: The metrics of a class, and their units.
OF_CLASS = {
    FiringClass.SPIKING: {"spiking_rate": "Hz"},
    FiringClass.BURSTING: {
        "intra_burst_rate": "Hz",
        "inter_burst_rate": "Hz",
        "burst_duration": "ms",
        "spikes_per_burst": "",
    },
}


def ranges(net: DICsNet, examples: Examples) -> dict[str, dict[str, list[float]]]:
    """Of the spiking and of the bursting examples: from where to where their DICs are, and all but
    one in a hundred of their metrics and of the uncertainties that the network states."""
    found = net.predict(examples.spikes)
    said = {}
    for kind, names in OF_CLASS.items():
        rows = examples.targets.spiking_or_bursting == kind - FiringClass.SPIKING
        columns = {
            "uncertainty of g_s": found.uncertainty[rows, 0],
            "uncertainty of g_u": found.uncertainty[rows, 1],
        }
        for name in names:
            columns[name] = examples.targets.metrics[rows, METRICS.index(name)].expm1()
        dics = examples.targets.dics[rows]
        said[kind.name.lower()] = {
            "g_s": _ends(dics[:, 0], tail=0),
            "g_u": [0.0, _ends(dics[:, 1], tail=0)[1]],  # a prediction below is clipped there
            **{name: _ends(x) for name, x in columns.items()},
        }
    return said


def outside(net: DICsNet, prediction: Prediction, trains: Spikes, unit: int) -> list[str]:
    """Why a unit's train is unlike those that the network was trained on, a sentence each; empty
    where nothing says so."""
    recorded = metrics(trains[unit : unit + 1])
    kind = FiringClass(int(recorded.firing_class))
    if kind == FiringClass.SILENT:
        return ["it has fewer than 3 spikes: nothing is predicted"]
    reasons = []
    said = FiringClass(int(prediction.firing_class[unit]))
    if said != kind:
        reasons.append(
            f"it is {kind.name.lower()} by its intervals, and the network calls it "
            f"{said.name.lower()}"
        )
    filled = with_gaps_filled(trains[unit])
    if filled is not None:
        reasons.append(
            "spikes may be missing: most of its long intervals are about twice the median, and "
            f"with these gaps filled it would be spiking, every {filled.mean():.3g} ms"
        )
    ranges = net.provenance.get("known", {}).get(kind.name.lower(), {})
    values = {
        "g_s": prediction.g_s[unit],
        "g_u": prediction.g_u[unit],
        "uncertainty of g_s": prediction.uncertainty[unit, 0],
        "uncertainty of g_u": prediction.uncertainty[unit, 1],
        **{name: getattr(recorded, name)[0] for name in OF_CLASS[kind]},
    }
    for name, (low, high) in ranges.items():
        value = values[name].item()
        if "uncertainty" in name:
            if value > high:
                reasons.append(f"{name} is {value:.3g}, more than {high:.3g} in training")
        elif value == value and not low <= value <= high:
            unit_of = f" {OF_CLASS[kind].get(name, '')}".rstrip()
            reasons.append(
                f"{spoken(name)} is {value:.3g}{unit_of}, and was from {low:.3g} to {high:.3g} in "
                "training"
            )
    return reasons


def spoken(name: str) -> str:
    """A metric's name as words; a DIC's as it is."""
    return name if name in ("g_s", "g_u") else name.replace("_", " ")


def _ends(x: Tensor, tail: float = _TAIL) -> list[float]:
    x = x[x.isfinite()].double()
    if not len(x):
        return [float("nan"), float("nan")]
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    return [float(f"{value:.5g}") for value in x.quantile(ends).tolist()]
