"""Conductance-based neurons: how exactly populations are simulated."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lrnn_kernels import neurons

from . import progress
from .claim import Claim, Plain, by_setting

#: Neurons of an accuracy, as of the populations that are published.
JUDGED = 208
#: What they are held against: the default scheme in float64 with steps so small (ms) that halving
#: them changes a mean interval by a few thousandths of a percent.
EXACT_DT = 0.005
#: Steps that are tried, ms: of the default, and twice it.
STEPS = {"stg": (0.025, 0.05), "da": (0.0125, 0.025)}


def settings(quick: bool) -> list[Plain]:
    laws = (("stg", "dic"),) if quick else (("stg", "dic"), ("stg", "uniform"), ("da", "uniform"))
    return [
        {"model": model, "law": law, "dtype": "float32", "dt": dt}
        for model, law in laws
        for dt in STEPS[model]
    ]


def population(model: str, law: str, count: int, seed: int) -> Tensor:
    """Conductances of neurons that are modulated all over the published range, or independent."""
    if law != "dic":
        return neurons.monte_carlo(model, count, law=law, seed=seed)
    g = neurons.spiking_population(model, 2 * count, seed=seed).g
    generator = torch.Generator().manual_seed(seed)
    g_s, g_u = (
        low + (high - low) * torch.rand(len(g), generator=generator, dtype=torch.float64)
        for low, high in neurons.MODELS[model].recipe.modulated
    )
    return neurons.neuromodulate(model, g, g_s=g_s, g_u=g_u).g[:count]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """How far mean intervals are from those of far smaller steps, and how often the class is
    another: over the part of the protocol that is not discarded."""
    model, T, discard = setting["model"], *neurons.MODELS[setting["model"]].recipe.protocol
    g = population(model, setting["law"], JUDGED, seed)
    given = {"discard": discard, "backend": "cpu"}
    exact, _, _ = neurons.simulate(model, g, T, dt=EXACT_DT, dtype=torch.float64, **given)
    progress.at(0.8)
    tried, _, _ = neurons.simulate(
        model, g, T, dt=setting["dt"], dtype=getattr(torch, setting["dtype"]), **given
    )
    classes = [neurons.firing_class(spikes) for spikes in (exact, tried)]
    means = [mean_interval(spikes) for spikes in (exact, tried)]
    error = (100 * (means[1] / means[0] - 1)).abs()
    error = error[error.isfinite()].sort().values
    return {
        "classes": [int((classes[0] == k).sum()) for k in range(3)],
        "wrong": int((classes[0] != classes[1]).sum()),
        "counts": (exact.counts == tried.counts).double().mean().item(),
        "median": error.quantile(0.5).item(),
        "p90": error.quantile(0.9).item(),
        "p99": error.quantile(0.99).item(),
    }


def mean_interval(spikes: neurons.Spikes) -> Tensor:
    """(B,): the mean interval between spikes, ms; NaN where there is none."""
    isi, whose = neurons.intervals(spikes)
    total = torch.zeros(len(spikes), dtype=torch.float64).index_add(0, whose, isi)
    return total / torch.bincount(whose, minlength=len(spikes))


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for (model, law, dtype, dt), runs in by_setting(found, "model", "law", "dtype", "dt").items():
        run = runs[0]
        silent, spiking, bursting = run["classes"]
        rows.append(
            [
                f"{model.upper()}, {law} ({silent} silent, {spiking} spiking, {bursting} bursting)",
                dtype,
                f"{dt:g}",
                *(f"{run[name]:.3f}" for name in ("median", "p90")),
                f"{100 * run['counts']:.0f}",
                f"{run['wrong']} of {JUDGED}",
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    for place, run in enumerate(found):
        for name, marker in (("median", "o"), ("p90", "^"), ("p99", "s")):
            axes.plot(place, run[name], marker, color="tab:blue")
    axes.plot([], [], "ko", label="median")
    axes.plot([], [], "k^", label="90 %")
    axes.plot([], [], "ks", label="99 %")
    axes.set_xticks(
        range(len(found)),
        [f"{run['model'].upper()}\n{run['law']}\ndt {run['dt']:g}" for run in found],
    )
    axes.set_yscale("log")
    axes.set_ylabel("error of a neuron's mean interval, %")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)


CLAIM = Claim(
    name="neurons",
    says="Populations of conductance-based neurons, simulated for their spikes alone: how far the "
    "mean interval between spikes is from that of 0.005 ms steps in float64, over 208 neurons. "
    "What is off by percents are irregular bursters, which no two solvers agree on; the class of "
    "firing is another for one neuron of 208 at most.",
    settings=settings,
    run=run,
    header=(
        "population",
        "dtype",
        "dt, ms",
        "error of mean ISI, median %",
        "90 %",
        "same count, %",
        "other class",
    ),
    table=table,
    plot=plot,
    seeds=1,
)
