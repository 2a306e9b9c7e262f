"""What the test bench reads: frames, and what the golden model makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...hysteresis import HysteresisNetwork, HysteresisStates
from ..vectors import Expected, write_lines
from .sizes import network_sizes, result_bits


def write(folder: Path, network: HysteresisNetwork, x: np.ndarray) -> Expected:
    """Writes frames.txt, states_N.txt for each layer, and results.txt.

    A line of frames.txt is whether it is the first and the last step of its sequence, and the
    inputs in hexadecimal, input 0 in the lowest bits; of results.txt, whether it is the last step,
    and what comes out.
    """
    N, T, _ = x.shape
    watched = [network.states(x, i) for i in range(N)]
    places = [(i, t) for i in range(N) for t in range(T)]
    frames = _hexadecimal(x.reshape(N * T, -1), network.input_bits)
    (folder / "frames.txt").write_text(
        "".join(
            f"{t == 0:d} {t == T - 1:d} {frame}\n"
            for (_, t), frame in zip(places, frames, strict=True)
        )
    )
    for number in range(len(network.layers)):
        states = [one.layers[number] for one in watched]
        rows = np.concatenate([np.stack([s.u, s.state.astype(np.int64)], 2) for s in states])
        write_lines(folder / f"states_{number}.txt", rows.reshape(N * T, -1))
    results = [result for one in watched for result in _results(network, one)]
    (folder / "results.txt").write_text(
        "".join(
            f"{t == T - 1:d} {result}\n" for (_, t), result in zip(places, results, strict=True)
        )
    )
    units = sum(len(layer.bias) for layer in network.layers)
    return Expected(N * T, 2 * units * N * T, N * T)


def _results(network: HysteresisNetwork, one: HysteresisStates) -> list[str]:
    """What comes out after each step, as the port ``result`` has it."""
    if one.values is None:
        return _hexadecimal(one.layers[-1].state, 1)
    sizes = network_sizes(network, "serial")  # a sum is as wide in all styles
    digits = -(-result_bits(network, sizes) // 4)
    bits, classes = sizes[-1].sum_bits, one.values.shape[1]
    return [
        f"{(int(row.argmax()) << classes * bits) + _joined(row, bits):0{digits}X}"
        for row in one.values
    ]


def _hexadecimal(rows: np.ndarray, bits: int) -> list[str]:
    """Each row as one number, its first value in the lowest bits."""
    digits = -(-rows.shape[1] * bits // 4)
    return [f"{_joined(row, bits):0{digits}X}" for row in rows]


def _joined(row: np.ndarray, bits: int) -> int:
    """Values side by side, in two's complement of so many bits."""
    digits = (row.astype(np.int64)[:, None] >> np.arange(bits)) & 1
    return int.from_bytes(np.packbits(digits.ravel().astype(np.uint8), bitorder="little"), "little")
