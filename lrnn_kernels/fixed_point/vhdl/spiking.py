"""The circuit of spiking recurrent cells, as the writer and the proof ask for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..coding import Traces, traces
from ..network import Network
from . import circuits, documents, generated, vectors
from .sizes import network_sizes

CIRCUIT = circuits.SRC


def checked(network: Network, stimulus: Traces | None, backend: str) -> Traces:
    """The stimulus, if the golden model can run on it; by default noise, four sequences of 22
    steps, the first two of each silent."""
    if stimulus is None:
        images = np.random.default_rng(0).integers(0, 256, (4, network.inputs), np.uint8)
        stimulus = traces(images, 22, backend="reference")
    vectors.check(stimulus)
    network.run(stimulus, backend=backend)  # raises here what it would raise below
    return stimulus


def files(network: Network, style: str) -> dict[str, str]:
    """What differs from network to network, by the names of files."""
    sizes = network_sizes(network, style)
    found = {
        circuits.MARK: generated.network_package(network, sizes),
        f"{CIRCUIT.top}.vhd": generated.top(network, sizes, style),
    }
    for number, (weights, layer) in enumerate(zip(network.weights, sizes, strict=True)):
        found |= generated.memory(number, weights, layer, "neuron")
    return found


def write_vectors(
    folder: Path, network: Network, stimulus: Traces, *, backend: str
) -> vectors.Expected:
    """What the test bench sends, and what the golden model makes of it."""
    return vectors.write(folder, network, stimulus, backend=backend)


def readme(network: Network, style: str, expected: vectors.Expected, *, axi_stream: bool) -> str:
    sizes = network_sizes(network, style)
    return documents.readme(network, sizes, style, expected, axi_stream=axi_stream)
