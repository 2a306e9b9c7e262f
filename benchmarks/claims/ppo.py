"""The T-mazes learned by reinforcement, and decided at all horizons."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from lrnn_kernels import agents
from lrnn_kernels.tasks import t_maze as task

from . import horizons, progress
from .claim import Claim, Plain, by_setting, cpu_seconds, curves, of, spread
from .networks import layers
from .t_maze import ANNEALED, MAZES, TRAINED, UNITS, named

#: Mazes at once, and steps of a window: flashes make long episodes, which windows should not cut.
WINDOWS = {"shown": (128, 32), "flashes": (64, 64)}
#: The lab's first probabilities of right, up, left and down.
FIRST = (1 / 2, 1 / 6, 1 / 6, 1 / 6)
ITERATIONS = {"shown": 60, "flashes": 160}
#: Networks, with more iterations where they learn later.
SHOWN = (
    ("BMRU", 1),
    ("BRC", 1),
    ("NBRC", 1),
    ("CMRU", 1),
    (ANNEALED, 2),
    ("GRU", 2),
    ("LSTM", 2),
    ("MinGRU", 3),
    ("LRU", 3),
)
SHOWN_QUICK = (("BMRU", 1), ("BRC", 1), ("LRU", 3))
FLASHES = (("BMRU", 1), ("LRU", 1), ("LRU>BMRU", 1), ("BRC", 1), ("GRU", 1))
FLASHES_QUICK = (("LRU>BMRU", 1),)
#: The greedy policy's reward is 4 where every arm is right.
_LEARNED = 3.9
_PLAYED = 256


def _settings(cue: str, all_: tuple, few: tuple, quick: bool) -> list[Plain]:
    return [
        {"cue": cue, "network": name, "iterations": times * ITERATIONS[cue]}
        for name, times in (few if quick else all_)
    ]


def trained(setting: Plain, seed: int) -> tuple[agents.Policy, list[tuple[int, float]]]:
    """A policy, and the mean reward of an episode by iteration."""
    torch.manual_seed(seed)
    cue, iterations = setting["cue"], setting["iterations"]
    name, anneal, options = named(setting["network"], cue)
    policy = agents.Policy(layers(name, 4, UNITS, options), 4, first=FIRST)
    mazes, steps = WINDOWS[cue]
    env = task.TMaze(MAZES[cue], mazes, seed=seed * 10**6)
    curve = []

    def told(done: agents.PPOProgress) -> None:
        curve.append((done.iteration, round(done.reward, 3)))
        progress.at(done.iteration / iterations)

    settings = agents.PPOSettings(iterations=iterations, steps=steps, anneal=anneal)
    agents.PPO(policy, env, settings, seed=seed).train(told)
    return policy, curve


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Trains a policy, plays it greedily, and decides at which horizons it is optimal."""
    policy, curve = trained(setting, seed)
    reward, _ = agents.play(policy, task.TMaze(MAZES[setting["cue"]], _PLAYED, seed=2**40))
    return {
        "reward": reward.mean().item(),
        "curve": [(step, x) for step, x in curve if x == x],
        **horizons.judged(policy, MAZES[setting["cue"]]),
    }


def table(found: list[Plain]) -> list[list[str]]:
    return [
        [
            network,
            str(iterations),
            spread([run["reward"] for run in runs]),
            of(sum(run["reward"] > _LEARNED for run in runs), len(runs)),
            horizons.count(runs, "proved"),
            horizons.ends(runs),
            cpu_seconds(runs),
        ]
        for (network, iterations), runs in by_setting(found, "network", "iterations").items()
    ]


def plot(figure, found: list[Plain]) -> None:
    left, right = figure.subplots(1, 2)
    horizons.panel(left, found, TRAINED)
    for place, ((network,), runs) in enumerate(by_setting(found, "network").items()):
        curves(right, runs, f"C{place}", network)
    right.set_xlabel("iterations of PPO")
    right.set_ylabel("reward of an episode, exploring")
    right.grid(alpha=0.3)
    right.legend(fontsize=8)


_claim = partial(
    Claim,
    run=run,
    header=(
        "network",
        "iterations",
        "greedy reward (best: 4)",
        "learned",
        "proved at all horizons",
        "breaks at",
        "CPU s",
    ),
    table=table,
    plot=plot,
)

SHOWN_CUE = _claim(
    name="t-maze-ppo",
    says="The same task learned by reinforcement: PPO on 128 mazes with corridors of 5 to 20. "
    "What holds of cloned policies holds of these: BMRU, BRC, nBRC, and a BMRU trained as a CMRU, "
    "are proved optimal at every horizon, here the LSTM too; GRU, minGRU and LRU are as good "
    "where they were trained and break beyond, though for one GRU no break was found. The CMRU, "
    "whose levels run away, seldom learns it in 60 iterations.",
    settings=partial(_settings, "shown", SHOWN, SHOWN_QUICK),
)

TWO_FLASHES = _claim(
    name="hybrid-ppo",
    says="Two flashes, learned by reinforcement: PPO on 64 mazes with corridors of 5 to 20. The "
    "stack LRU>BMRU, and the BRC alone, learn to measure the interval and are proved to keep what "
    "it said at every horizon; neither part of the stack learns it, the BMRU as it cannot and the "
    "LRU not in this time; some GRUs do.",
    settings=partial(_settings, "flashes", FLASHES, FLASHES_QUICK),
)
