"""Twins as files: JSON, CSV, and a figure (pip install "lrnn-kernels[plot]")."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .metrics import FiringClass
from .network import METRICS
from .network.known import OF_CLASS
from .plots import plot_population, plot_raster
from .spikes import Spikes
from .twins import Twins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Units that a figure has room for.
SHOWN = 8
_SPAN = 1500.0  # ms of a raster
_HEIGHT = 2.4  # inches of a unit: of less than 2 the labels take most
#: With what a cell begins that a spreadsheet would compute.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def summary(found: Twins, names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each unit, plain data for JSON: what was predicted, how its twins fire beside it, and
    what is doubtful. None where something is not defined."""
    prediction, units = found.prediction, []
    for b, (name, match) in enumerate(zip(names, found.matches, strict=True)):
        units.append(
            {
                "unit": name,
                "firing_class": match.firing_class.name.lower(),
                "prediction": {
                    "g_s": _number(prediction.g_s[b]),
                    "g_u": _number(prediction.g_u[b]),
                    "uncertainty_g_s": _number(prediction.uncertainty[b, 0]),
                    "uncertainty_g_u": _number(prediction.uncertainty[b, 1]),
                    "firing_class": FiringClass(int(prediction.firing_class[b])).name.lower(),
                    **{
                        metric: _number(prediction.metrics[b, column])
                        for column, metric in enumerate(METRICS)
                        if metric in OF_CLASS.get(match.firing_class, ())
                    },
                },
                "twins": {
                    "of_its_class": _number(match.same_class),
                    "rate_Hz": {
                        "recording": _number(match.rate),
                        "twins": _number(match.twin_rate),
                    },
                    "rate_error": _number(match.rate_error),
                    **{
                        metric: {"recording": _number(ours), "twins": _number(theirs)}
                        for metric, (ours, theirs) in match.metrics.items()
                    },
                },
                "doubts": match.outside,
            }
        )
    return units


def conductances(found: Twins, names: Sequence[str]) -> str:
    """CSV: a line for each twin, its conductances in mS/cm^2 and how many times it spiked."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(
        ["unit", "twin", *(f"g_{name} (mS/cm^2)" for name in found.model.channel_names), "spikes"]
    )
    n = found.g.shape[1]
    for b, name in enumerate(names):
        for i in range(n):
            if found.g[b, i].isfinite().all():
                g = [f"{value:.9g}" for value in found.g[b, i].tolist()]
                write([label(name), i + 1, *g, int(found.spikes.counts[b * n + i])])
    return text.getvalue()


def spike_times(spikes: Spikes, names: Sequence[str], start: float = 0.0) -> str:
    """CSV that can be read as a recording: a line for each spike, its time in ms from ``start``
    on."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["unit", "time_ms"])
    for name, times in zip(names, spikes.to_lists(), strict=True):
        for time in times:
            write([label(name), f"{time - start:.3f}"])
    return text.getvalue()


def of_twins(found: Twins, names: Sequence[str]) -> str:
    """``spike_times`` of all twins, from the end of their settling on."""
    n = found.g.shape[1]
    of_each = [f"{name} twin {i + 1}" for name in names for i in range(n)]
    return spike_times(found.spikes, of_each, found.model.recipe.protocol[1])


def draw(figure: Figure, found: Twins, recorded: Spikes, names: Sequence[str]) -> None:
    """For each of the first 8 units: the recording above its twins' spikes, their conductances,
    and the predicted DICs with their uncertainty."""
    shown = [b for b, m in enumerate(found.matches) if m.firing_class != FiringClass.SILENT][:SHOWN]
    if not shown:
        figure.text(0.5, 0.5, "no unit with 3 spikes or more", ha="center")
        return
    figure.set_figheight(_HEIGHT * len(shown))
    axes = figure.subplots(len(shown), 3, squeeze=False, width_ratios=(2, 2, 1))
    low, high = zip(*found.model.recipe.modulated, strict=True)
    for (raster, population, plane), b in zip(axes, shown, strict=True):
        match, ours = found.matches[b], recorded[b]
        theirs = found.of(b)
        trains = (ours, *(theirs[i] for i in range(len(theirs))))
        rows = [x - x[0] if len(x) else x for x in trains]
        plot_raster(raster, Spikes.from_lists([x[x <= _SPAN] for x in rows]))
        raster.axhspan(-0.5, 0.5, color="tab:orange", alpha=0.3)
        raster.set(
            title=f"{names[b]}: {match.firing_class.name.lower()}, {match.rate:.3g} Hz; "
            f"twins {match.twin_rate:.3g} Hz",
            ylabel="",
        )
        raster.set_yticks((0, len(theirs)), ("recording", f"twin {len(theirs)}"))
        plot_population(
            population, found.model, found.g[b][found.g[b].isfinite().all(1)], alpha=0.4
        )
        g_s, g_u = found.prediction.g_s[b].item(), found.prediction.g_u[b].item()
        off = found.prediction.uncertainty[b].tolist()
        plane.errorbar(g_s, g_u, xerr=off[0], yerr=off[1], fmt="o", capsize=3)
        plane.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="$g_s$", ylabel="$g_u$")
        plane.set_title("in doubt" if match.outside else "DICs", fontsize="medium")
        plane.grid(alpha=0.3)


def _number(x: Any) -> float | None:
    value = float(x)
    return float(f"{value:.6g}") if math.isfinite(value) else None


def label(name: str) -> str:
    """A name as a cell that no spreadsheet computes."""
    return f"'{name}" if name.startswith(_FORMULA) else name
