"""The circuit of first-quadrant BMRUs, as the writer and the proof ask for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...hysteresis import HysteresisNetwork
from .. import circuits
from ..generated import memory
from ..vectors import Expected
from . import cases, documents, generated, vectors
from .sizes import layers_of, network_sizes

__all__ = ["CIRCUIT", "cases", "checked", "files", "readme", "write_vectors"]

CIRCUIT = circuits.HYSTERESIS


def checked(network: HysteresisNetwork, stimulus: np.ndarray | None, _backend: str) -> np.ndarray:
    """The stimulus, if the golden model can run on it; by default noise, four sequences of 22
    steps, a third of the inputs 0."""
    if stimulus is None:
        rng = np.random.default_rng(0)
        shape = (4, 22, network.inputs)
        stimulus = rng.integers(0, 2**network.input_bits, shape) * (rng.random(shape) < 2 / 3)
    network.run(stimulus)  # raises here what it would raise below
    if not stimulus.shape[0] or not stimulus.shape[1]:
        raise ValueError(
            f"stimulus must hold at least one sequence of one step, got {stimulus.shape[0]} of "
            f"{stimulus.shape[1]}"
        )
    return stimulus


def files(network: HysteresisNetwork, style: str) -> dict[str, str]:
    """What differs from network to network, by the names of files."""
    sizes = network_sizes(network, style)
    found = {
        circuits.MARK: generated.network_package(network, sizes),
        f"{CIRCUIT.top}.vhd": generated.top(network, sizes, style),
    }
    for number, (layer, size) in enumerate(zip(layers_of(network), sizes, strict=True)):
        found |= memory(number, layer.weights, size, "unit")
    return found


def write_vectors(
    folder: Path, network: HysteresisNetwork, stimulus: np.ndarray, **_backend: str
) -> Expected:
    """What the test bench sends, and what the golden model makes of it."""
    return vectors.write(folder, network, stimulus)


def readme(network: HysteresisNetwork, style: str, expected: Expected, **_axi_stream: bool) -> str:
    return documents.readme(network, network_sizes(network, style), style, expected)
