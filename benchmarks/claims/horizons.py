"""At which horizons a policy of the T-maze is optimal: steps between the cue and the action that
needs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lrnn_kernels.tasks import horizon, t_maze

from .claim import Plain, by_setting, of

#: How far a policy is walked that is neither proved nor broken.
MAX_STEPS = 100_000
#: Horizons at which margins are shown.
SHOWN = tuple(sorted({round(5 * 10 ** (k / 12)) for k in range(30)}))


def judged(policy: nn.Module, env: object) -> Plain:
    """What is decided of a policy at all horizons, over all cues: "proved" where it is for each of
    them, else the smallest horizon that fails for one."""
    verdicts = horizon.decide(policy, env, max_steps=MAX_STEPS)
    breaks = [verdict.horizon for verdict in verdicts if verdict.horizon is not None]
    kinds = {verdict.verdict for verdict in verdicts}
    return {
        "verdict": "breaks" if breaks else "undecided" if "undecided" in kinds else "proved",
        "breaks_at": min(breaks, default=None),
        "cues": {
            v.cue: [v.verdict, v.horizon, v.period, v.how, v.form.arithmetic] for v in verdicts
        },
    }


def margins(policy: nn.Module, env: object) -> list[tuple[int, float]]:
    """The margin at the junction of the cue that does worst, at some horizons."""
    shown = horizon.trace(policy, env, SHOWN)
    worst = shown.asked.amin(1).double().round(decimals=4).tolist()
    return list(zip(SHOWN, worst, strict=True))


def ends(runs: list[Plain]) -> str:
    """From which to which horizon networks of several seeds are optimal."""
    names = {"proved": "never", "undecided": f"beyond {MAX_STEPS:,}"}
    order = {"breaks": 0, "undecided": 1, "proved": 2}
    known = sorted(runs, key=lambda run: (order[run["verdict"]], run["breaks_at"] or 0))
    first, last = (
        names.get(run["verdict"], f"{run['breaks_at'] or 0:,}") for run in (known[0], known[-1])
    )
    return first if first == last else f"{first} to {last}"


def count(runs: list[Plain], verdict: str) -> str:
    return of(sum(run["verdict"] == verdict for run in runs), len(runs))


def panel(axes, runs: list[Plain], trained: tuple[int, int]) -> None:
    """Networks from top to bottom, how far each is optimal to the right; arrows have no end."""
    groups = by_setting(runs, "network")
    for row, group in enumerate(groups.values()):
        for place, run in enumerate(group):
            y = row + (place - (len(group) - 1) / 2) * 0.7 / max(len(group), 2)
            color = {"proved": "tab:green", "breaks": "tab:red"}.get(run["verdict"], "0.5")
            reach = run["breaks_at"] or MAX_STEPS
            axes.plot([trained[0], reach], [y, y], color=color, lw=4 if len(group) < 3 else 2)
            marker = "|" if run["verdict"] == "breaks" else ">"
            axes.plot(reach, y, marker, color=color, ms=7)
    axes.axvspan(*trained, color="0.85", lw=0)
    axes.text(10, -0.65, "trained", ha="center", fontsize=8, color="0.4")
    axes.set_yticks(range(len(groups)), [name for (name,) in groups])
    axes.set_xscale("log")
    axes.set_xlim(4, 3e5)
    axes.set_ylim(len(groups) - 0.4, -0.9)
    axes.set_xlabel("steps between cue and action (green: proved for any)")
    axes.grid(axis="x", alpha=0.3)


def margins_panel(axes, runs: list[Plain]) -> None:
    """By how much the worst cue's arm is ahead, one seed of each network."""
    for place, ((network,), group) in enumerate(by_setting(runs, "network").items()):
        axes.plot(*zip(*group[0]["margins"], strict=True), color=f"C{place}", lw=1.2, label=network)
    axes.axhline(0, color="0.4", lw=0.8)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_xlabel("steps between cue and action")
    axes.set_ylabel("margin of the right arm's logit (seed 0)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower left")


def seen(what: int, batch: int, steps: int) -> Tensor:
    """The same observation at every step."""
    return torch.eye(4)[what].expand(batch, steps, 4)


def begun(network: nn.Module, cue: str) -> tuple[Tensor, bool, object]:
    """After each cue there is: the arms to take, whether all the cells so far were left to the
    right, and the states, as those of one batch."""
    arms, starts = zip(*t_maze.cues(cue), strict=True)
    after = [network(torch.eye(4)[start][None]) for start in starts]
    right = all(bool((out.argmax(-1) == t_maze.RIGHT).all()) for out, _ in after)
    return torch.tensor(arms), right, _joined([states for _, states in after])


def _joined(states: list) -> object:
    """States of several sequences as those of one batch."""
    if isinstance(states[0], Tensor):
        return torch.cat(states, 1)
    return tuple(_joined(list(part)) for part in zip(*states, strict=True))
