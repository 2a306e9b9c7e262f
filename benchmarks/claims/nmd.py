"""Networks that adapt within an episode to what it hides: the neuromodulated net, and a recurrent
network of as many parameters."""

from __future__ import annotations

import math
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from lrnn_kernels import agents, models
from lrnn_kernels import nn as rnn
from lrnn_kernels.tasks import adaptation

from . import adapted, pools, progress
from .claim import Claim, Plain, by_setting, cpu_seconds, spread
from .networks import parameters

#: By the number of the paper's benchmark: the modulator's units, z's, the main network's; those of
#: the recurrent network's dense layers, the paper's but for 40 units in place of 30, as many as
#: make its parameters as many; episodes at once, and their steps.
BENCHMARKS = {
    1: ((50,), 20, (10,), (20, 10), (200, 100)),
    2: ((100, 75), 45, (30, 10), (45, 40, 10), (100, 200)),
    3: ((100, 75), 45, (30, 10), (45, 40, 10), (100, 200)),
}
#: What differs from the paper's settings, for both networks alike.
_ALL = {
    "epochs": 8,
    "value_epochs": 3,
    "value_batch": 50,
    "value_walks": 1,
    "lr": 2e-3,
    "last_lr": 0.2,
    "kl": 0.02,
    "adapt_lr": True,
}
_WALKS = {"reward": 0.01, "observation": 0.5, **_ALL}
TRAINED = {1: {"reward": 0.1, "observation": 0.2, **_ALL}, 2: _WALKS, 3: _WALKS}
#: Discounts, with the lambda of each: the longer suits the RNN better.
LAMBDAS = {0.9: 0.9, 0.98: 0.95}
ITERATIONS, QUICK = 400, 10
NETWORKS = ("NMD", "RNN")
#: The discounted sum of an episode's rewards, gamma 0.998, as the paper reports it: of who knows
#: nothing and acts best, which ``adapted.bayes`` does, and of the paper's NMD net.
BAYES, PUBLISHED = 4679, 4534
POINTS, LEAST = 16, 3  # of the curve; iterations from one to the next, at least
SAVE_EVERY = 20.0  # seconds
PLAYED, TESTED = 100, 400  # episodes, for a point of the curve and at the end
STEPS = 1400  # of these episodes, at the least
_APART = 0.02  # of the parameters, at most


def settings(quick: bool, benchmark: int = 1) -> list[Plain]:
    if benchmark not in BENCHMARKS:
        raise ValueError(f"benchmark must be 1, 2 or 3, got {benchmark}")
    same = {
        "benchmark": benchmark,
        "iterations": QUICK if quick else ITERATIONS,
        "steps": STEPS if quick else adaptation.ENVIRONMENTS[benchmark - 1].STEPS,
        "tested": PLAYED if quick else TESTED,
    }
    discounts = LAMBDAS if benchmark == 1 and not quick else (0.98,)
    return [{"network": name, "discount": d, **same} for d in discounts for name in NETWORKS]


def network(name: str, benchmark: int, outputs: int | tuple[int, ...]) -> torch.nn.Module:
    units, modulators, hidden, dense, _ = BENCHMARKS[benchmark]
    env = adaptation.ENVIRONMENTS[benchmark - 1]
    seen, before = env.observation_size, env.action_size + 1 + env.observation_size

    def memory(inputs: int) -> torch.nn.Module:
        sizes = (inputs, *units)
        layers = [rnn.GRU(a, b, batch_first=True) for a, b in pairwise(sizes)]
        return layers[0] if len(layers) == 1 else rnn.Stack(*layers)

    if name == "NMD":
        return models.NMDNet(memory(before), seen, outputs, modulators=modulators, hidden=hidden)
    activation = "relu" if benchmark == 1 else "srelu"
    return models.RecurrentNet(memory(before + seen), outputs, hidden=dense, activation=activation)


def agent(setting: Plain, seed: int) -> agents.ActorCritic:
    """Of a network's actor and critic, whose parameters are as many as the other network's within
    2 %."""
    benchmark, iterations = setting["benchmark"], setting["iterations"]
    *_, (count, steps) = BENCHMARKS[benchmark]
    Environment = adaptation.ENVIRONMENTS[benchmark - 1]
    size = Environment.action_size
    for outputs in ((size, size), 1):
        sizes = [parameters(network(name, benchmark, outputs)) for name in NETWORKS]
        assert max(sizes) <= (1 + _APART) * min(sizes), sizes
    torch.manual_seed(seed)
    actor, critic = (network(setting["network"], benchmark, o) for o in ((size, size), 1))
    env = Environment(count, seed=seed * 10**6, steps=steps)
    discount = {"gamma": setting["discount"], "lam": LAMBDAS[setting["discount"]]}
    trained = agents.ActorCriticSettings(iterations, steps + 1, **TRAINED[benchmark], **discount)
    return agents.ActorCritic(actor, critic, env, trained, seed=seed)


def run(setting: Plain, seed: int, state: Path) -> Plain:
    """Trains an agent; plays other episodes of the paper's length, on the way and at the end; and
    says what its signal is about."""
    began = time.process_time()
    found = agent(setting, seed)
    Environment = adaptation.ENVIRONMENTS[setting["benchmark"] - 1]
    curve: list[tuple[int, float]] = []
    if state.exists():
        kept = torch.load(state, weights_only=True)
        found.load_state_dict(kept["agent"])
        curve = [tuple(point) for point in kept["curve"]]
        began -= kept["seconds"]
    saved, every = time.monotonic(), max(LEAST, setting["iterations"] // POINTS)

    def episodes(count: int, seed: int, steps: int):
        return Environment(count, seed=seed, steps=steps)

    def after(done: agents.ActorCriticProgress) -> None:
        nonlocal saved
        if done.iteration % every == 0:
            env = episodes(min(PLAYED, setting["tested"]), 2**41, setting["steps"])
            score = adapted.discounted(adapted.play(found, env)).mean().item()
            curve.append((done.steps, round(score, 1)))
        progress.at(done.iteration / done.iterations)
        if time.monotonic() - saved > SAVE_EVERY:
            seconds = time.process_time() - began
            pools.save({"agent": found.state_dict(), "curve": curve, "seconds": seconds}, state)
            saved = time.monotonic()

    found.train(after)
    return {
        "parameters": parameters(found.actor.net),
        "steps_walked": found.steps,
        "curve": curve,
        **adapted.tested(found, partial(episodes, setting["tested"], 2**42), setting["steps"]),
        "cpu_seconds": round(time.process_time() - began, 2),
    }


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    by = by_setting(found, "benchmark", "network", "discount")
    for (benchmark, name, discount), runs in by.items():
        frozen = [run["frozen"] for run in runs if "frozen" in run]
        rows.append(
            [
                str(benchmark),
                name,
                f"{discount:g}",
                f"{runs[0]['parameters']:,}",
                f"{runs[0]['steps_walked'] / 1e6:.1f} M",
                spread([run["score"] for run in runs], "{:.0f}"),
                _moments([run["score"] for run in runs]),
                f"{max(runs, key=lambda r: r['score'])['known']:.0f}",
                spread([run["unit"] for run in runs]),
                spread([run["r2"] for run in runs], "{:.3f}"),
                *(
                    spread([one[key] for one in frozen])
                    for key in ("free", "frozen", "frozen, another hidden")
                ),
                cpu_seconds(runs, 0),
            ]
        )
    return rows


def _moments(scores: list[float]) -> str:
    """The mean, and the standard deviation where there are several."""
    mean = sum(scores) / len(scores)
    if len(scores) == 1:
        return f"{mean:.0f}"
    variance = sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)
    return f"{mean:.0f}, {math.sqrt(variance):.0f}"


def _mean(curves: list[list[tuple[float, float]]]) -> list[list[float]]:
    """The mean of all seeds as training goes on."""
    return [[sum(x) / len(x) for x in zip(*at, strict=True)] for at in zip(*curves, strict=False)]


def plot(figure, found: list[Plain]) -> None:
    left, middle, right = figure.subplots(1, 3, width_ratios=(3, 2, 2))
    benchmark = found[0]["benchmark"]
    colors = dict(zip(NETWORKS, ("tab:green", "tab:red"), strict=True))
    styles = dict(zip(sorted(LAMBDAS, reverse=True), ("-", "--"), strict=True))
    for (name, discount), runs in by_setting(found, "network", "discount").items():
        points = [[(steps / 1e6, score) for steps, score in run["curve"]] for run in runs]
        look = {"color": colors[name], "ls": styles[discount]}
        for curve in points:
            left.plot(*zip(*curve, strict=True), **look, lw=0.6, alpha=0.4)
        label = f"{name}, discount {discount:g}"
        left.plot(*zip(*_mean(points), strict=True), **look, lw=2, label=f"{label}, mean")
        places = [int(step) for step in runs[0]["read"]]
        for run in runs:
            middle.plot(places, list(run["read"].values()), **look, lw=1, alpha=0.8)
        middle.plot([], [], **look, label=label)
    if benchmark == 1:
        left.axhline(BAYES, color="black", ls="--", lw=1, label=f"Bayes-optimal, {BAYES}")
        left.axhline(PUBLISHED, color="tab:blue", ls=":", lw=1.5, label=f"published, {PUBLISHED}")
    else:
        left.axhline(found[0]["known"], color="black", ls="--", lw=1, label="told what is hidden")
    left.set_xlabel("million steps of training")
    left.set_ylabel("discounted reward of an episode")
    left.legend(fontsize=7, loc="lower right")
    middle.set_xscale("log")
    middle.set_ylim(-0.05, 1.05)
    middle.set_xlabel("steps of the episode")
    middle.set_ylabel("R² of what is hidden, read from the signal")
    middle.legend(fontsize=7, loc="lower right")
    _told(right, next(run for run in found if run["network"] == "NMD"))
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)


def _told(axes, run: Plain) -> None:
    """What is hidden and what is read from z, of the first seed; as text, what freezing leaves."""
    axes.plot(*zip(*run["told"], strict=True), ".", color="tab:green", ms=5, alpha=0.7)
    ends = [min(x for x, _ in run["told"]), max(x for x, _ in run["told"])]
    axes.plot(ends, ends, color="0.6", lw=1)
    axes.set_xlabel(f"hidden, NMD of seed {run['seed']}")
    axes.set_ylabel(f"read from z after {adapted.FROZEN_AT} steps")
    says = [f"{key}: {value:.2f}" for key, value in run["frozen"].items() if "wrong" not in key]
    text = "reward of a step, z\n" + "\n".join(says)
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=7)


CLAIM = Claim(
    name="nmd",
    says="Within an episode a neuromodulated net adapts to what it hides, in benchmark 1 how far a "
    "target is off; it learns this to more, and with less spread over seeds, than a recurrent "
    "network of as many parameters, trained with a short discount, which was chosen with NMD nets, "
    "and with a longer one, which suits the RNN better. The reward is of new episodes of 1,400 "
    "steps, actions drawn as in training, discounted by 0.998: 4679 is the best without being "
    "told, 4534 what the paper reports. What is hidden can be read from the signal z after ten "
    "steps, nearly all of it from one unit, and from the other network's first dense layer as "
    "well. With z frozen after 200 steps most seeds earn as much as before, and where something "
    "else is hidden from there on they miss it.",
    settings=settings,
    run=run,
    header=(
        "benchmark",
        "network",
        "trained with a discount of",
        "parameters",
        "steps",
        "discounted reward",
        "mean, deviation",
        "told what is hidden",
        "best unit's correlation",
        "R² of the read-out",
        "a step's reward, z free",
        "z frozen",
        "z frozen, another hidden",
        "CPU s",
    ),
    table=table,
    plot=plot,
    seeds=3,
    options=(("benchmark", int, "1 (default), 2 or 3 of the paper's"),),
)
