"""DRQN in the T-maze, with and without a warm-up of its network before training."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from lrnn_kernels import agents, multistability
from lrnn_kernels import nn as rnn
from lrnn_kernels.tasks import t_maze

from . import pools, progress
from .claim import Claim, Plain, by_setting, cpu_seconds, median, of, spread
from .ppo import FIRST

UNITS, LAYERS = 32, 2
#: Episodes of random actions whose histories the warm-up reads: twice as many as it draws at once.
COLLECTED = 64
#: Mazes at once: for every episode that ends there are ten updates all the same.
BATCH = 8
POINTS = 20  # of the curve
SAVE_EVERY = 10.0  # seconds
_LEARNED = 3.5
#: Corridors: from, to; and episodes.
_SHORT, _LONG = (5, 20, 300), (40, 40, 300)
SETTINGS = (
    ("GRU", False, _SHORT),
    ("GRU", True, _SHORT),
    ("GRU", False, _LONG),
    ("GRU", True, _LONG),
    ("BRC", False, _LONG),
    ("BRC", True, _LONG),
)


def settings(quick: bool) -> list[Plain]:
    return [
        {
            "network": network,
            "warmed": warmed,
            "shortest": shortest,
            "longest": longest,
            "episodes": 200 if quick else episodes,
            "tested": 200,
        }
        for network, warmed, (shortest, longest, episodes) in SETTINGS
        if not quick or (network == "GRU" and longest == _LONG[1])
    ]


def run(setting: Plain, seed: int, state: Path) -> Plain:
    """Trains with the lab's settings; says how many attractors the network reaches before, after
    the warm-up and after training, and its greedy reward on the way."""
    began = time.process_time()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    layer = getattr(rnn, setting["network"])(9, UNITS, LAYERS, batch_first=True)
    policy = agents.Policy(layer, 4, critic=False)
    maze = t_maze.Maze(setting["shortest"], setting["longest"])
    env = agents.PreviousActionReward(t_maze.TMaze(maze, BATCH, seed=1000 * seed))
    options = agents.DRQNSettings(setting["episodes"], probabilities=FIRST)
    agent = agents.DRQN(policy, env, options, seed=seed)
    kept = torch.load(state, weights_only=True) if state.exists() else None
    if kept is not None:
        agent.load_state_dict(kept["agent"])
        vaa, curve = kept["vaa"], [tuple(point) for point in kept["curve"]]
        began -= kept["seconds"]
    else:
        agent.collect(COLLECTED)
        vaa, curve = [_vaa(agent, generator)], []
        if setting["warmed"]:
            multistability.warm_up(
                policy.rnn,
                lambda: agent.replay.sequences(32, generator),
                generator=generator,
            )
            agent.target.load_state_dict(policy.state_dict())
        vaa.append(_vaa(agent, generator))
    saved, every = time.monotonic(), max(1, setting["episodes"] // POINTS)

    def after(done: agents.DRQNProgress) -> None:
        nonlocal saved
        if done.episode // every > len(curve):
            curve.append((done.episode, _reward(policy, maze, setting["tested"])))
        progress.at(min(done.episode / done.episodes, 1.0))
        if time.monotonic() - saved > SAVE_EVERY:
            seconds = time.process_time() - began
            pools.save(
                {"agent": agent.state_dict(), "vaa": vaa, "curve": curve, "seconds": seconds},
                state,
            )
            saved = time.monotonic()

    agent.train(after)
    vaa.append(_vaa(agent, torch.Generator().manual_seed(seed + 1)))
    return {
        "reward": _reward(policy, maze, setting["tested"]),
        "learned_at": next((n for n, reward in curve if reward > _LEARNED), None),
        "vaa": vaa,
        "curve": curve,
        "cpu_seconds": round(time.process_time() - began, 2),
    }


def _vaa(agent: agents.DRQN, generator: torch.Generator) -> float:
    histories = agent.replay.sequences(32, generator)
    found = multistability.measure(agent.policy.rnn, histories, generator=generator)
    return round(found, 3)


def _reward(policy: agents.Policy, maze: t_maze.Maze, count: int) -> float:
    """The mean of greedy episodes, 4 at best, in mazes that are the same for all."""
    env = agents.PreviousActionReward(t_maze.TMaze(maze, count, seed=10**6))
    return round(agents.play(policy, env)[0].mean().item(), 3)


def _cells(setting: Plain) -> str:
    low, high = setting["shortest"], setting["longest"]
    return str(low) if low == high else f"{low} to {high}"


def _called(network: str, warmed: bool) -> str:
    return f"{network}, warmed" if warmed else network


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for (_, network, warmed), runs in by_setting(found, "longest", "network", "warmed").items():
        learned = [run["learned_at"] for run in runs if run["learned_at"] is not None]
        rows.append(
            [
                _cells(runs[0]),
                _called(network, warmed),
                of(sum(run["reward"] > _LEARNED for run in runs), len(runs)),
                spread([run["reward"] for run in runs]),
                spread(learned, "{:.0f}") if learned else "never",
                *(spread([run["vaa"][k] for run in runs]) for k in (1, 2)),
                cpu_seconds(runs, 0),
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    groups = by_setting(found, "longest")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    colors = ("tab:red", "tab:green", "tab:orange", "tab:blue")
    for axes, (_, group) in zip(panels, groups.items(), strict=True):
        for color, ((network, warmed), runs) in zip(
            colors, by_setting(group, "network", "warmed").items(), strict=False
        ):
            _median(axes, runs, color, _called(network, warmed))
        axes.axhline(4, color="0.6", ls=":")
        axes.set_title(f"corridors of {_cells(group[0])} cells")
        axes.set_xlabel("episodes of training")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower right")
    panels[0].set_ylabel("reward of a greedy episode (4: optimal)")


def _median(axes, runs: list[Plain], color: str, label: str) -> None:
    """The median of all seeds as training goes on, and each of them faintly."""
    for run in runs:
        axes.plot(*zip(*run["curve"], strict=True), color=color, lw=0.8, alpha=0.2)
    points = zip(*(run["curve"] for run in runs), strict=False)
    middle = [[median([point[k] for point in group]) for k in (0, 1)] for group in points]
    axes.plot(*zip(*middle, strict=True), color=color, lw=2, label=label)


CLAIM = Claim(
    name="drqn",
    says="The lab's DRQN in the T-maze, 300 episodes, with and without a warm-up on 64 histories "
    "of random actions. In corridors of 40 cells the warmed GRU ends above 3.5 of 4 in 5 of 5 "
    "seeds, and is there after 120 episodes; as it is built, in 3 of 5, after 165. In corridors of "
    "5 to 20 cells warming does not help: it is there after 75 episodes in place of 90, but ends "
    "above 3.5 in 2 of 5 seeds in place of 5 of 5. The BRC, bistable as it is built, gains little. "
    "Greedy rewards still swing when training ends.",
    settings=settings,
    run=run,
    header=(
        "corridor",
        "network",
        "above 3.5 at the end",
        "reward",
        "first above 3.5 at episode",
        "VAA before training",
        "after",
        "CPU s",
    ),
    table=table,
    plot=plot,
)
