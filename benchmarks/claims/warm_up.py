"""A warm-up takes networks of one reachable attractor to many, in seconds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from lrnn_kernels import multistability
from lrnn_kernels import nn as rnn
from lrnn_kernels.tasks import copy_first_input as task

from .claim import Claim, Plain, by_setting, of, spread
from .networks import OPTIONS

UNITS, SEQUENCES, LENGTH = 64, 32, 200
HELD = (200, 2_000, 10_000)  # steps of a constant input after which VAA is measured
WARM_UP = 100  # gradient steps, the paper's
_DRAWS = 5  # of the constant input
_MANY = 0.9
#: What a network may be: as it was drawn, warmed, half of each layer warmed, chrono-initialized.
FORMS = ("as drawn", "warmed", "double", "chrono")


def built(
    setting: Plain, inputs: int, sequences: Callable[[], Tensor], generator: torch.Generator
) -> tuple[nn.Module, multistability.WarmUp | None]:
    """The layers that a setting asks for, initialized as its form says, with what the warm-up
    did."""
    layer, form = getattr(rnn, setting["network"]), setting["form"]
    options = {"batch_first": True, **OPTIONS.get(setting["network"], {})}
    make = partial(multistability.double, layer) if form == "double" else layer
    network = make(inputs, UNITS, setting["layers"], **options)
    if form == "chrono":
        multistability.chrono_(network, sequences().shape[1], generator=generator)
    if "warm_up" not in setting:
        return network, None
    done = multistability.warm_up(
        network,
        sequences,
        setting["warm_up"],
        longest=setting.get("longest", 200),
        partial=form == "double",
        generator=generator,
    )
    return network, done


def form(network: str, name: str, layers: int = 1) -> Plain:
    """Of a setting, what ``built`` reads."""
    warm_up = {"warm_up": WARM_UP} if name in ("warmed", "double") else {}
    return {"network": network, "form": name, "layers": layers, **warm_up}


def vaa(network: nn.Module, sequences: Tensor, steps: int, seed: int, draws: int = _DRAWS) -> float:
    """With the same inputs whenever the seed is the same: what changes is the network."""
    generator = torch.Generator().manual_seed(seed)
    return multistability.measure(network, sequences, steps, draws=draws, generator=generator)


def settings(quick: bool) -> list[Plain]:
    names = ("GRU", "MGU", "BRC", "LRU") if quick else ("GRU", "LSTM", "MGU", "BRC", "NBRC", "LRU")
    schedules = [(name, 1, WARM_UP, 200) for name in names]
    if not quick:
        for name in ("GRU", "LSTM"):
            schedules += [(name, 1, 2 * WARM_UP, 200), (name, 1, WARM_UP, 500)]
        schedules += [(name, 2, WARM_UP, 200) for name in names[:-1]]
    warmed = [
        {**form(name, "warmed", layers), "warm_up": steps, "longest": longest}
        for name, layers, steps, longest in schedules
    ]
    chrono = [form(name, "chrono") for name in (("GRU",) if quick else ("GRU", "LSTM"))]
    return warmed + chrono


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """VAA before and after; of a chrono initialization, before and after that."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 50)
    draw = partial(task.draw, batch_size=SEQUENCES, steps=LENGTH, generator=generator)
    sequences = draw().inputs
    plain = form(setting["network"], "as drawn", setting["layers"])
    with torch.random.fork_rng(devices=[]):  # the same parameters for both
        before, _ = built(plain, 1, lambda: sequences, generator)
    started = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        after, done = built(setting, 1, lambda: draw().inputs, generator)
    seconds = time.process_time() - started
    same = zip(before.parameters(), after.parameters(), strict=True)
    return {
        "before": {str(n): vaa(before, sequences, n, seed) for n in HELD},
        "after": {str(n): vaa(after, sequences, n, seed) for n in HELD},
        "changed": any(not torch.equal(a, b) for a, b in same),
        "monostable": bool(done and done.monostable),
        "warned": [str(one.message) for one in said],
        "warm_seconds": round(seconds, 2),
        "vaa_star": [] if done is None else [round(x, 4) for x in done.vaa_star.mean(1).tolist()],
    }


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for (name, layers, warm_up, longest), runs in _networks(found).items():
        monostable = sum(run["monostable"] and not run["changed"] for run in runs)
        rows.append(
            [
                _title(name, layers),
                f"{warm_up} x {longest}" if warm_up else "chrono",
                spread([_last(run["before"]) for run in runs], "{:.3f}"),
                *(spread([run["after"][n] for run in runs], "{:.3f}") for n in runs[0]["after"]),
                of(sum(_last(run["after"]) >= _MANY for run in runs), len(runs)),
                f"{of(monostable, len(runs))}, unchanged" if monostable else "",
                spread([run["warm_seconds"] for run in runs], "{:.1f}") if warm_up else "",
            ]
        )
    return rows


def _networks(found: list[Plain]) -> dict[tuple, list[Plain]]:
    defaults = {"warm_up": 0, "longest": 0}
    runs = [{**defaults, **run} for run in found]
    return by_setting(runs, "network", "layers", "warm_up", "longest")


def _title(name: str, layers: int) -> str:
    return f"{name}, {layers} layer{'s' if layers > 1 else ''}"


def _last(measured: dict[str, float]) -> float:
    """After the most steps."""
    return list(measured.values())[-1]


def plot(figure, found: list[Plain]) -> None:
    left, right = figure.subplots(1, 2)
    groups = _networks(found)
    for row, runs in enumerate(groups.values()):
        for color, key in (("tab:gray", "before"), ("tab:green", "after")):
            left.plot([_last(r[key]) for r in runs], [row] * len(runs), "o", color=color, alpha=0.6)
    for color, key in (("tab:gray", "before"), ("tab:green", "after")):
        left.plot([], [], "o", color=color, label=key)
    left.set_yticks(
        range(len(groups)),
        [
            f"{_title(name, layers)}, {f'{warm_up} x {longest}' if warm_up else 'chrono'}"
            for name, layers, warm_up, longest in groups
        ],
        fontsize=8,
    )
    left.invert_yaxis()
    left.set_xlabel("VAA, after 10,000 steps of one input")
    colors = ("tab:blue", "tab:red", "tab:orange", "tab:green", "tab:purple", "tab:gray")
    paper = [key for key in groups if key[1:] == (1, WARM_UP, 200)]
    for color, key in zip(colors, paper, strict=False):
        curves = torch.tensor([run["vaa_star"] for run in groups[key]])
        right.plot(curves.median(0).values, color=color, label=key[0])
    right.set_xlabel("gradient steps of the warm-up, 1 layer")
    right.set_ylabel("VAA*, the median of seeds")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)


CLAIM = Claim(
    name="warm-up",
    says="A warm-up before training takes most GRUs and MGUs, and LSTMs of two layers, from one "
    "reachable attractor to as many as there are sequences, in seconds. VAA of 32 sequences of 200 "
    "values, 64 units a layer: 1/32 where all reach one attractor, 1 where each keeps its own, "
    "after up to 10,000 steps of one constant input. 100 x 200 is the paper's warm-up: gradient "
    "steps x constant inputs at most. LSTMs of one layer need twice the steps. Where the paper's "
    "fails, states are apart for the 200 steps that it sees, and meet later. BRC and nBRC start "
    "with many attractors, and in the median it takes some away. Chrono initialization by itself "
    "keeps states apart for 200 steps, not for 2,000; an LRU is reported as monostable, and left "
    "alone.",
    settings=settings,
    run=run,
    header=(
        "network",
        "warm-up",
        "VAA before",
        *(f"after, {n:,} steps" for n in HELD),
        f"at least {_MANY}",
        "monostable",
        "warm-up CPU s",
    ),
    table=table,
    plot=plot,
)
