"""DICsNet, trained from scratch on neurons that the package simulates: how far its predictions are
off, and what more neurons to train on would bring."""

from __future__ import annotations

import fcntl
import math
import statistics
import time
from pathlib import Path

import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import datasets, network

from ..measure import machine
from . import progress
from .claim import Claim, Plain, by_setting, spread

#: Neurons of a pair (g_s, g_u), and the largest training set, which 24 shards of pairs have.
PER_PAIR, MOST = 8, 156_676
#: Neurons that errors are of, those on the way, and those that have twins made.
TESTED, VALIDATED, TWINNED = 12_000, 2_000, 200
#: Neurons of the training whose ranges are kept with the weights, and trains that are timed.
RANGED, TIMED = 20_000, 1_000
#: As printed by the authors, of a test set of theirs: the network of the release, trained on 1.2
#: million neurons and 190 million samples.
PUBLISHED = {
    "g_s": 2.846,
    "g_s of bursting": 0.807,
    "g_s of spiking": 4.654,
    "g_u": 1.751,
    "g_u of bursting": 1.137,
    "g_u of spiking": 2.296,
    "class accuracy": 0.99839,
    "spiking_rate": 0.192,
    "intra_burst_rate": 2.636,
    "inter_burst_rate": 0.166,
    "burst_duration": 0.813,
    "spikes_per_burst": 0.161,
}


def settings(
    quick: bool,
    neurons: int | None = None,
    samples: int | None = None,
    hours: float | None = None,
) -> list[Plain]:
    if samples is None and hours is None:
        samples = 20_000 if quick else 1_200_000
    if neurons is None:
        neurons = 5_000 if quick else MOST
    return [{"neurons": neurons, "samples": None if hours else samples, "hours": hours}]


def curve_settings(quick: bool) -> list[Plain]:
    sizes = (500, 2_500) if quick else (2_500, 20_000, MOST)
    samples = 5_000 if quick else 50_000
    return [{"neurons": size, "samples": samples, "hours": None} for size in sizes]


def data(count: int, folder: Path) -> Path:
    """A data set with so many neurons to train on, made where it is missing; of runs at the same
    time one makes it."""
    pairs = math.ceil(count / (0.8 * PER_PAIR) / 1024) * 1024
    made = folder / f"stg-{pairs}-pairs"
    made.mkdir(parents=True, exist_ok=True)
    with (folder / f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        settings = datasets.Settings("stg", pairs=pairs, neurons=PER_PAIR)
        datasets.make(settings, made, progress=lambda done, total: progress.at(0.1 * done / total))
    return made


def run(setting: Plain, seed: int, state: Path) -> Plain:
    folder = data(setting["neurons"], state.parent.parent / "dicsnet-data")
    examples = network.Examples.load(folder, "train", setting["neurons"])
    torch.manual_seed(seed)
    # Few passes over many neurons have no use for dropout, which would cost an eighth of the time.
    net = neurons.DICsNet(dropout=0.0)
    seconds = setting["hours"] and 3600 * setting["hours"]
    training = network.Training(
        net,
        examples,
        network.Schedule(samples=setting["samples"], seconds=seconds),
        validation=network.Examples.load(folder, "validation", VALIDATED),
        seed=seed,
        path=state,
    )
    training.run(lambda share: progress.at(0.1 + 0.85 * share))
    test = network.Examples.load(folder, "test", TESTED)
    errors = network.evaluate(net, test)
    net.provenance = {
        "model": "stg",
        "neurons": len(examples),
        "samples": training.samples,
        "hours": round(training.seconds / 3600, 2),
        "seed": seed,
        "machine": machine.describe()["cpu"],
        "data": datasets.described(folder).plain(),
        "test": {name: round(value, 4) for name, value in errors.items()},
        "known": network.ranges(net, examples[torch.randperm(len(examples))[:RANGED]]),
    }
    weights = state.with_name(f"stg-{len(examples)}-neurons-seed-{seed}.safetensors")
    net.save(weights)
    return {
        "trained_on": len(examples),
        "trained": training.samples,
        "training_hours": training.seconds / 3600,
        "curve": training.curve,
        "on_the_way": training.errors,
        "errors": errors,
        "twins": twins(net, test),
        "inference": {str(count): inference(net, count) for count in (100, 250)},
        "weights": weights.name,
    }


def twins(net: neurons.DICsNet, test: network.Examples) -> Plain:
    """How 16 twins fire of each of some neurons that the network has not seen."""
    matches = neurons.twins(test.spikes[:TWINNED], 16, net=net).matches
    return {
        "same_class": statistics.mean(match.same_class for match in matches),
        "rate_error": statistics.median(match.rate_error for match in matches),
    }


def inference(net: neurons.DICsNet, count: int) -> float:
    """CPU seconds for 1,000 trains of so many spikes each, on one thread."""
    generator = torch.Generator().manual_seed(0)
    times = torch.rand(TIMED, count, generator=generator, dtype=torch.float64).cumsum(1) * 50
    spikes = neurons.Spikes.from_lists(times)
    started = time.process_time()
    net.predict(spikes)
    return time.process_time() - started


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for runs in by_setting(found, "neurons", "samples", "hours").values():
        errors = [run["errors"] for run in runs]
        rows.append(
            [
                f"{runs[0]['trained_on']:,}",
                spread([run["trained"] / 1e6 for run in runs], "{:.3g}"),
                *_errors(errors),
                f"{100 * statistics.mean(run['twins']['same_class'] for run in runs):.1f}",
                f"{100 * statistics.median(run['twins']['rate_error'] for run in runs):.1f}",
                f"{statistics.mean(run['training_hours'] for run in runs):.2f}",
                f"{statistics.median(run['inference']['250'] for run in runs):.1f}",
            ]
        )
    return [*rows, ["published: 1,200,000", "190", *_errors([PUBLISHED]), "", "", "", ""]]


def _errors(errors: list[dict[str, float]]) -> list[str]:
    shown = []
    for name in ("g_s", "g_u"):
        for group in (" of bursting", " of spiking"):
            shown.append(spread([each[f"{name}{group}"] for each in errors]))
    shown.append(spread([100 * each["class accuracy"] for each in errors], "{:.2f}"))
    shown.append(spread([each["spiking_rate"] for each in errors]))
    return shown


_LINES = (
    ("g_s of bursting", "tab:orange"),
    ("g_u of bursting", "tab:green"),
    ("g_s of spiking", "tab:red"),
    ("g_u of spiking", "tab:blue"),
)


def plot(figure, found: list[Plain]) -> None:
    left, right = figure.subplots(1, 2)
    for run in found:
        left.plot([x[0] for x in run["curve"]], [x[2] for x in run["curve"]], "tab:blue", lw=0.8)
        for name, colour in _LINES:
            points = [(samples, errors[name]) for samples, errors in run["on_the_way"]]
            right.plot(*zip(*points, strict=True), ".-", color=colour, lw=0.8)
    left.set_ylabel("loss in training")
    for name, colour in _LINES:
        right.plot([], [], color=colour, label=name)
        right.axhline(PUBLISHED[name], color=colour, ls=":", lw=0.8)
    right.set_ylabel("mean absolute error, validation (dotted: published)")
    for axes in (left, right):
        axes.set_xlabel("samples")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    right.legend(fontsize=8)


def plot_sizes(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    for name, colour in _LINES:
        sizes = by_setting(found, "trained_on")
        middle = [statistics.median(r["errors"][name] for r in runs) for runs in sizes.values()]
        axes.plot([size for (size,) in sizes], middle, color=colour, label=name)
        for (size,), runs in sizes.items():
            axes.plot([size] * len(runs), [r["errors"][name] for r in runs], ".", color=colour)
        axes.axhline(PUBLISHED[name], color=colour, ls=":", lw=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="neurons that it was trained on",
        ylabel="mean absolute error, test (dotted: published)",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


_HEADER = (
    "neurons",
    "million samples",
    "g_s of bursting",
    "g_s of spiking",
    "g_u of bursting",
    "g_u of spiking",
    "class, %",
    "rate, Hz",
    "twins of its class, %",
    "twins' rate off, %",
    "hours",
    "1,000 trains of 250, CPU s",
)

CLAIM = Claim(
    name="dicsnet",
    says="The network that reads dynamic input conductances off spike times, trained from scratch "
    "on STG neurons simulated by the package, on one thread: mean absolute errors over neurons of "
    "other pairs of DICs, beside those that its authors print for a test set of their own; how "
    "often 16 neurons made to the predicted DICs fire in the class of the neuron that was read, "
    "and how far their median rate is off. The weights that come with the package are of this run.",
    settings=settings,
    run=run,
    header=_HEADER,
    table=table,
    plot=plot,
    seeds=1,
    options=(
        ("neurons", int, f"to train on (default: {MOST:,}; --quick: 5,000)"),
        ("samples", int, "windows of trains (default: 1,200,000; --quick: 20,000)"),
        ("hours", float, "of training, in place of samples"),
    ),
)

SIZES = Claim(
    name="dicsnet-sizes",
    says="The same network, trained on fewer neurons with the same 50,000 samples for all: what "
    "more neurons to train on bring, which at so few samples is little.",
    settings=curve_settings,
    run=run,
    header=_HEADER,
    table=table,
    plot=plot_sizes,
    seeds=3,
)
