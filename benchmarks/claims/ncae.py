"""Autoencoders whose manifold follows its context, beside others, on two systems."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lrnn_kernels.models import History, fitting

from . import moving, moving_models, pools, progress
from .claim import Claim, Plain, by_setting, cpu_seconds, median, spread
from .moving import Moving
from .networks import parameters

EPOCHS, PATIENCE, QUICK_EPOCHS = 900, 50, 30
_SAVE_EVERY = 20.0  # seconds
_MEASURED = 300  # rows of which the geometry is measured
#: The model whose states are drawn, and how many of a context.
DRAWN, _DRAWN = "NcAE", 60


@dataclass(frozen=True)
class System:
    """Where data come from, the widths of the neuromodulated autoencoder, learning rates (of 3e-3,
    1e-2 and 3e-2 the one whose loss of rows held out was the least after 600 epochs, with another
    seed), contexts whose states are drawn, and the two coordinates in which."""

    data: Callable[[int], Moving]
    dims: tuple[int, ...]
    lr: dict[str, float]
    drawn: tuple[int, ...]
    axes: tuple[int, int]
    names: tuple[str, str]


LORENZ = System(
    data=moving.waves,
    dims=(14, 14, 8, 2),
    lr=dict.fromkeys(moving_models.MODELS, 1e-2) | {"FiLM-AE": 3e-2, "cAE": 3e-2},
    drawn=(3, 5, 7, 9, 11),
    axes=(0, 2),
    names=("site 1", "site 3"),
)
CHAIN = System(
    data=moving.chains,
    dims=(32, 16, 8, 2),
    lr=dict.fromkeys(moving_models.MODELS, 3e-2) | {"cAE": 1e-2, "cAE, context beside x": 1e-2},
    drawn=(1, 11, 13, 23),
    axes=(1, 15),
    names=("angle of pendulum 2", "angle of pendulum 16"),
)


def settings(quick: bool) -> list[Plain]:
    epochs = QUICK_EPOCHS if quick else EPOCHS
    names = ("NcAE", "conditional AE", "cAE") if quick else moving_models.MODELS
    return [{"model": "PCA"}, *({"model": name, "epochs": epochs} for name in names)]


def run(system: System, setting: Plain, seed: int, state: Path) -> Plain:
    """Fits a model to the seen contexts, and tests it on both."""
    data = system.data(seed)
    x, c = data.rows(seen=True)
    started = time.process_time()
    if setting["model"] == "PCA":
        model, found = moving_models.PCA(x, system.dims[-1]), {}
    else:
        model, history = fitted(system, setting, seed, state, x, c)
        found = {"held_out": history.held_out[-1], "parameters": parameters(model)}
        found["dims"] = list(model.dims)
    seconds = time.process_time() - started
    both = {"seen": measured(model, x, c), "unseen": measured(model, *data.rows(seen=False))}
    found |= {"train_seconds": round(seconds, 1), **both, **by_context(model, data)}
    if setting["model"] == DRAWN:
        found["drawn"] = drawn(system, model, data)
    return found


def fitted(
    system: System, setting: Plain, seed: int, state: Path, x: Tensor, c: Tensor
) -> tuple[torch.nn.Module, History]:
    """From its state, where it was interrupted."""
    name, epochs = setting["model"], setting["epochs"]
    torch.manual_seed(seed)
    model, history = moving_models.make(name, system.dims, c.shape[1]), History()
    if state is not None and state.exists():
        kept = torch.load(state, weights_only=True)
        model.load_state_dict(kept["model"])
        history.load_state_dict(kept["history"])
    saved = time.monotonic()

    def told(history: History) -> None:
        nonlocal saved
        if state is not None and time.monotonic() - saved > _SAVE_EVERY:
            kept = {"model": model.state_dict(), "history": history.state_dict()}
            pools.save(kept, state)
            saved = time.monotonic()
        progress.at(history.epoch / epochs)

    options = {"lr": system.lr[name], "epochs": epochs, "patience": PATIENCE, "seed": seed}
    sizes = {"size": x.shape[1], "context": c.shape[1]}
    fitting.fit(model, x, c, **sizes, **options, progress=told, history=history)
    return model, history


@torch.no_grad()
def measured(model: torch.nn.Module, x: Tensor, c: Tensor) -> Plain:
    """The root of the mean square error, as a share of that of x (whose mean is 0 where seen);
    idempotency; of the latent space, how its distances go with those of x within a context, and the
    condition number of the decoder's slopes."""
    y = model.project(x, c)
    again = model.project(y, c)
    picked = torch.linspace(0, len(x) - 1, _MEASURED).long()
    return {
        "rmse": ((y - x).norm() / x.norm()).item(),
        "idempotency": ((again - y).norm() / y.norm()).item(),
        "correlation": _correlation(model, x, c),
        "condition": _condition(model, x[picked], c[picked]),
    }


def _correlation(model: torch.nn.Module, x: Tensor, c: Tensor) -> float:
    """Of |z_i - z_j| and |x_i - x_j|, the mean over contexts."""
    z = model.encode(x, c)
    found = []
    for context in c.unique(dim=0):
        mine = (c == context).all(-1)
        pairs = torch.stack([torch.pdist(part[mine]) for part in (z, x)])
        found.append(torch.corrcoef(pairs)[0, 1].item())
    return sum(found) / len(found)


def _condition(model: torch.nn.Module, x: Tensor, c: Tensor) -> float:
    """The median over rows."""
    z = model.encode(x, c)
    units = torch.eye(z.shape[1]).expand(len(z), -1, -1).unbind(1)
    columns = [torch.func.jvp(lambda z: model.decode(z, c), (z,), (unit,))[1] for unit in units]
    return torch.linalg.cond(torch.stack(columns, -1)).median().item()


@torch.no_grad()
def by_context(model: torch.nn.Module, data: Moving) -> Plain:
    """The error at each context."""
    c = data.c[:, None, None].expand(*data.x.shape[:3], -1)
    y = model.project(data.x, c)
    errors = (y - data.x).flatten(1).norm(dim=1) / data.x.flatten(1).norm(dim=1)
    return {
        "contexts": [[round(value, 4) for value in row] for row in data.c.tolist()],
        "labels": data.labels,
        "is_seen": data.seen.tolist(),
        "errors": [round(error, 5) for error in errors.tolist()],
    }


@torch.no_grad()
def drawn(system: System, model: torch.nn.Module, data: Moving) -> Plain:
    """Some states of some contexts, and what they are projected to."""
    found = {}
    for i in system.drawn:
        y = model.project(data.x[i], data.c[i])
        both = torch.stack([data.x[i], y]).flatten(1, 2)[..., list(system.axes)]
        few = both[:, torch.linspace(0, both.shape[1] - 1, _DRAWN).long()]
        found[data.labels[i]] = [[[round(v, 3) for v in p] for p in part] for part in few.tolist()]
    return found


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for (name,), runs in by_setting(found, "model").items():
        rows.append(
            [
                name,
                f"{runs[0].get('parameters', 0):,}" if name != "PCA" else "",
                *(
                    spread([100 * run[which]["rmse"] for run in runs], "{:.2f}") + " %"
                    for which in ("seen", "unseen")
                ),
                spread([run["unseen"]["idempotency"] for run in runs], "{:.1e}"),
                spread([run["unseen"]["correlation"] for run in runs], "{:.3f}"),
                spread([run["unseen"]["condition"] for run in runs], "{:.3g}"),
                cpu_seconds([{"cpu_seconds": run["train_seconds"]} for run in runs], 0),
            ]
        )
    return rows


def plot(system: System, figure, found: list[Plain]) -> None:
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.1, 1))
    groups = {name: runs for (name,), runs in by_setting(found, "model").items()}
    names = list(groups)
    colors = dict(
        zip(names, ("0.5", "g", "tab:blue", "c", "tab:purple", "r", "tab:orange"), strict=False)
    )
    for place, (name, runs) in enumerate(groups.items()):
        for which, marker, move in (("seen", "o", -0.15), ("unseen", "D", 0.15)):
            errors = [100 * run[which]["rmse"] for run in runs]
            left.plot(errors, [place + move] * len(runs), marker, color=colors[name], ms=5)
    for marker, which in (("o", "seen contexts"), ("D", "unseen")):
        left.plot([], [], marker, color="0.3", label=which)
    left.set_yticks(range(len(names)), names, fontsize=8)
    for label in left.get_yticklabels():
        label.set_color(colors[label.get_text()])
    left.invert_yaxis()
    _percents(left, "x")
    left.set_xlabel("error of the projection, % of |x|")
    left.legend(fontsize=8)
    _errors(middle, groups, colors)
    _manifolds(right, system, groups[DRAWN][0])
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)


def _errors(axes, groups: dict[str, list[Plain]], colors: dict[str, str]) -> None:
    """The median error at each context, in the order of its first number where there is one, else
    of the grid."""
    for name, runs in groups.items():
        errors = [
            100 * median(list(each)) for each in zip(*(r["errors"] for r in runs), strict=True)
        ]
        contexts = runs[0]["contexts"]
        at = [c[0] for c in contexts] if len(contexts[0]) == 1 else list(range(len(contexts)))
        axes.plot(at, errors, "-", color=colors[name], lw=1.2)
        for seen, marker in ((True, "o"), (False, "D")):
            places = [i for i, is_seen in enumerate(runs[0]["is_seen"]) if is_seen == seen]
            points = [at[i] for i in places], [errors[i] for i in places]
            axes.plot(*points, marker, color=colors[name], ms=3.5)
    if len(at) < 20:
        axes.set_xticks(at[::3], runs[0]["labels"][::3], fontsize=7)
    else:
        tapers = [label.split(",")[0].removeprefix("taper ") for label in runs[0]["labels"]]
        axes.set_xticks(at[2::5], tapers[2::5], fontsize=7)
        axes.set_xlabel("taper; within each, springs from weak to strong", fontsize=8)
    _percents(axes, "y")
    axes.set_ylabel("error at the context, %")
    axes.set_title("median of seeds; dots seen, diamonds unseen", fontsize=8)


def _percents(axes, which: str) -> None:
    """A logarithmic axis whose ticks can be read."""
    getattr(axes, f"set_{which}scale")("log")
    low, high = getattr(axes, f"get_{which}lim")()
    low, high = min(low, high), max(low, high)
    ticks = [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    getattr(axes, f"set_{which}ticks")(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    getattr(axes, f"set_{which}ticks")([], minor=True)


def _manifolds(axes, system: System, run: Plain) -> None:
    """States, and what the neuromodulated autoencoder of one seed projects them to."""
    colors = ("tab:purple", "tab:blue", "tab:green", "tab:olive", "tab:red")
    for color, (label, (x, y)) in zip(colors, run["drawn"].items(), strict=False):
        axes.plot(*zip(*x, strict=True), "o", color=color, ms=5, mfc="none", mew=0.6, alpha=0.6)
        axes.plot(*zip(*y, strict=True), ".", color=color, ms=3.5, label=label)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    axes.set_xlabel(system.names[0])
    axes.set_ylabel(system.names[1])
    axes.set_title("NcAE, unseen: states (rings), projected (dots)", fontsize=8)
    axes.legend(fontsize=7)


HEADER = (
    "model",
    "parameters",
    "error, seen",
    "error, unseen",
    "P(Px) - Px, unseen",
    "distances' correlation",
    "decoder's condition",
    "training, CPU s",
)
_HOW = (
    "The error is ||P(x) - x|| / ||x|| of states less their mean over seen contexts (so that it is "
    "large where a context's own states are near that); distances of latent states and of states "
    "are correlated within a context; the condition number is that of the decoder's slopes. All "
    "train for 900 epochs in batches of 400 with Adam, each at the best of three rates by what was "
    "held out, with another seed, and have as many parameters to 2 %."
)


def _claim(name: str, says: str, system: System) -> Claim:
    return Claim(
        name=name,
        says=f"{says} {_HOW}",
        settings=settings,
        run=partial(run, system),
        header=HEADER,
        table=table,
        plot=partial(plot, system),
        seeds=3,
    )


WAVES = _claim(
    "ncae",
    "Lorenz 96 of 14 sites, from rest to waves: forcings F from 0.5 to 3, across the Hopf "
    "bifurcation at 0.89; 7 are seen, 6 between them are not. Two latent variables. The NcAE stays "
    "a projection at every forcing, and errs a third of what the cAE does, the best other that "
    "stays one. A conditional AE, free to mix context and state in every layer, errs less still on "
    "unseen forcings, and is no projection: the aim of half the best other's error is missed.",
    LORENZ,
)
PENDULUMS = _claim(
    "ncae-chain",
    "A chain of 16 pendulums, with their velocities 32 variables, in its slowest oscillation, "
    "whose shape the context sets: how lengths taper, and how strong the springs between "
    "neighbours are; 13 contexts of a grid are seen, 12 are not. Two latent variables. The NcAE "
    "errs a quarter of what the cAE does, the best other that stays a projection. FiLM and a "
    "conditional AE, which do not, err about as much as it: the aim of half the best other's error "
    "is missed. They are as close on contexts that they saw, so that the fit limits all three, not "
    "what is new.",
    CHAIN,
)
