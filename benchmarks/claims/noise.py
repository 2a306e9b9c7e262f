"""What noise on the input does to a state that is held for 100,000 steps."""

from __future__ import annotations

from pathlib import Path

import torch

from lrnn_kernels.tasks import t_maze as task

from . import horizons, t_maze
from .claim import Claim, Plain, by_setting, of, spread
from .networks import Network

STEPS = 100_000
#: Uniform within these bounds, on each of the four channels of an observation, whose values are 0
#: and 1.
AMPLITUDES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
NETWORKS = ("BMRU", "BRC", "NBRC", "GRU", "LSTM", "MinGRU", "LRU")
_SETTLED = 5  # steps without noise, in which every unit that the corridor writes is written
_PIECE = 5000


def settings(quick: bool) -> list[Plain]:
    names = ("BMRU", "BRC", "LRU") if quick else NETWORKS
    return [{"cue": "shown", "network": name, "steps": 400} for name in names]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Clones the T-maze's policy, and holds its state under noise."""
    network, accuracy = t_maze.cloned(setting, seed)
    bound = margin(network) if setting["network"] == "BMRU" else None
    # The last is as close below the bound as float32 lets a sum of four terms be told from it.
    amplitudes = [*AMPLITUDES, *([0.999 * bound] if bound else [])]
    held = _held(network, amplitudes, seed)
    found = {"accuracy": accuracy, "noise": held[: len(AMPLITUDES)]}
    return found if bound is None else {**found, "bound": bound, "below": held[-1]}


@torch.no_grad()
def margin(network: Network) -> float:
    """Noise of less than this amplitude cannot change the state of a BMRU that waits in the
    corridor: no unit that holds is written, and none that is written gets another sign.

    With noise of at most a on every input, |c| moves by at most a |W_c|_1, |beta| by a |W_beta|_1.
    """
    layer = network.rnn.layers[0]
    corridor = torch.eye(4)[task.CORRIDOR]
    weight, drive = layer.weight_ih_l0, layer.weight_ih_l0 @ corridor + layer.bias_ih_l0
    c, beta = drive.abs().chunk(2)
    moves_c, moves_beta = weight.abs().sum(1).chunk(2)
    return torch.where(c < beta, (beta - c) / (moves_c + moves_beta), c / moves_c).min().item()


@torch.no_grad()
def _held(network: Network, amplitudes: list[float], seed: int) -> list[Plain]:
    """For each amplitude, after so many steps of the corridor with noise: whether the state has the
    same bits as without, by how much it differs, and whether the arm is still known."""
    answer, _, states = horizons.begun(network, "shown")
    _, states = network(horizons.seen(task.CORRIDOR, len(answer), _SETTLED), states)
    scale = torch.tensor([0.0, *amplitudes]).repeat_interleave(len(answer))[:, None, None]
    states = _repeated(states, len(amplitudes) + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS // _PIECE):
        noise = 2 * torch.rand(1, _PIECE, 4, generator=generator) - 1
        seen = horizons.seen(task.CORRIDOR, len(scale), _PIECE) + scale * noise
        _, states = network(seen, states)
    out, _ = network(horizons.seen(task.JUNCTION, len(scale), 1), states)
    right = (out[:, 0].argmax(-1).view(-1, len(answer)) == answer).all(1).tolist()
    clean, *noisy = _flat(states).view(len(amplitudes) + 1, -1)
    return [
        {
            "amplitude": amplitude,
            "exact": torch.equal(state, clean),
            "moved": (state - clean).abs().max().item(),
            "right": known,
        }
        for amplitude, state, known in zip(amplitudes, noisy, right[1:], strict=True)
    ]


def _repeated(states, count: int):
    if isinstance(states, torch.Tensor):
        return states.repeat(1, count, 1)
    return tuple(_repeated(part, count) for part in states)


def _flat(states) -> torch.Tensor:
    """(B, all numbers of a sequence's state)."""
    if isinstance(states, torch.Tensor):
        x = torch.view_as_real(states).flatten(2) if states.is_complex() else states
        return x.transpose(0, 1).flatten(1)
    return torch.cat([_flat(part) for part in states], 1)


def _upto(run: Plain, what: str) -> float:
    """The largest amplitude up to which this is so."""
    upto = 0.0
    for level in run["noise"]:
        if not level[what]:
            break
        upto = level["amplitude"]
    return upto


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for (name,), runs in by_setting(found, "network").items():
        bounds = [run["bound"] for run in runs if "bound" in run]
        below = [run["below"]["exact"] for run in runs if "below" in run]
        moved = [run["noise"][1]["moved"] for run in runs]
        rows.append(
            [
                name,
                spread([_upto(run, "exact") for run in runs], "{:g}"),
                spread([_upto(run, "right") for run in runs], "{:g}"),
                spread(moved, "{:.1g}"),
                spread(bounds, "{:.3f}") if bounds else "",
                of(sum(below), len(below)) if below else "",
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    """How far the state has moved, against the noise."""
    axes = figure.subplots()
    colors = [f"tab:{x}" for x in ("green", "blue", "cyan", "purple", "pink", "orange", "red")]
    least = 1e-9
    for color, ((name,), runs) in zip(colors, by_setting(found, "network").items(), strict=False):
        for run in runs:
            points = [(level["amplitude"], max(level["moved"], least)) for level in run["noise"]]
            axes.plot(*zip(*points, strict=True), "o-", color=color, lw=1.2, ms=4)
            if "bound" in run:
                axes.axvline(run["bound"], color=color, ls=":", lw=1)
        axes.plot([], "o-", color=color, label=name)
    axes.plot([], ":", color="tab:green", label="bound that the BMRU's thresholds give")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_yticks([least, 1e-6, 1e-4, 1e-2, 1], ["exact", "1e-6", "1e-4", "0.01", "1"])
    axes.set_xlabel("noise on every input, uniform within +-")
    axes.set_ylabel("change of the state after 100,000 steps")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


CLAIM = Claim(
    name="noise",
    says="Policies cloned in the T-maze wait in the corridor for 100,000 steps, with noise on "
    "every input. Below a bound that its weights and thresholds give, a BMRU's state keeps its "
    "very bits; others' states follow the noise, though a BRC's fixed points bound by how much.",
    settings=settings,
    run=run,
    header=(
        "network",
        "state exact up to +-",
        "arm right up to +-",
        "moved at 0.02",
        "bound",
        "exact just below it",
    ),
    table=table,
    plot=plot,
)
