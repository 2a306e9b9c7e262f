"""What test benches read: frames, and what the golden model makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import reference
from ..coding import Traces
from ..network import Network


class Expected(NamedTuple):
    """How much a simulation of these vectors has to have compared."""

    frames: int
    values: int
    results: int


def write(folder: Path, network: Network, traces: Traces, *, backend: str = "cpu") -> Expected:
    """Writes frames.txt, states_N.txt for each layer, votes.txt and results.txt.

    Raises what ``Network.states`` raises, OverflowError included, before there is a file.
    """
    check(traces)
    watched = [network.states(traces, image, backend=backend) for image in range(len(traces))]
    return _write(folder, traces, [(one.layers, one.votes) for one in watched])


def check(traces: Traces) -> None:
    """Raises where there is nothing to send."""
    if not isinstance(traces, Traces):
        raise TypeError(f"stimulus must be Traces, got {type(traces).__name__}")
    if not len(traces) or not traces.bits.shape[1]:
        raise ValueError(
            f"stimulus must hold at least one sequence of one step, got {len(traces)} of "
            f"{traces.bits.shape[1]}"
        )


def write_beyond(folder: Path, network: Network, traces: Traces) -> None:
    """The same of a network that overflows: the circuit must stop there, not go on to the end."""
    accumulators = -(2**31), 2**31 - 1
    watched = [
        reference.watch(list(network.weights), traces[i : i + 1].unpack(), *accumulators)
        for i in range(len(traces))
    ]
    _write(folder, traces, [(layers, votes) for layers, votes, _ in watched])


def expected(folder: Path) -> Expected:
    """How much there is in a folder."""
    compared = [*folder.glob("states_*.txt"), *folder.glob("votes.txt")]
    values = sum(len(path.read_text().split()) for path in compared)
    frames, results = (
        (folder / name).read_text().count("\n") for name in ("frames.txt", "results.txt")
    )
    return Expected(frames, values, results)


def _write(folder: Path, traces: Traces, watched: list[tuple]) -> Expected:
    write_frames(folder, traces)
    for number in range(len(watched[0][0])):
        states = np.concatenate(
            [
                np.stack([s.I, s.h, s.h_s, s.spike.astype(np.int16)], 2)
                for s in (layers[number] for layers, _ in watched)
            ]
        )
        write_lines(folder / f"states_{number}.txt", states.reshape(len(states), -1))
    votes = np.concatenate([votes for _, votes in watched])
    write_lines(folder / "votes.txt", votes)
    write_lines(folder / "results.txt", np.array([[votes[-1].argmax()] for _, votes in watched]))
    values = 4 * sum(layer.I.shape[1] for layer in watched[0][0]) + votes.shape[1]
    return Expected(len(votes), values * len(votes), len(traces))


def write_frames(folder: Path, traces: Traces) -> None:
    """Writes frames.txt: whether it is the first and the last frame of its sequence, and the
    spikes in hexadecimal, input 0 in the lowest bit."""
    digits = -(-traces.inputs // 4)
    steps = traces.bits.shape[1]
    lines = [
        f"{step == 0:d} {step == steps - 1:d} "
        f"{int.from_bytes(traces.bits[image, step].tobytes(), 'little'):0{digits}X}"
        for image in range(len(traces))
        for step in range(steps)
    ]
    (folder / "frames.txt").write_text("\n".join(lines) + "\n")


def write_lines(path: Path, rows: np.ndarray) -> None:
    """A line for each row, values apart."""
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows.tolist()))
