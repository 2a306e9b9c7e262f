"""A folder with the circuit of a network."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import numpy as np

from .. import arguments
from ..coding import Traces, traces
from ..network import Network
from . import documents, generated, vectors
from .sizes import STYLES, LayerSizes, network_sizes

#: By which a folder of ours is known.
MARK = "network_package.vhd"


def write_vhdl(
    directory: str | os.PathLike,
    network: Network,
    *,
    style: str = "serial",
    stimulus: Traces | None = None,
    axi_stream: bool = True,
    backend: str = "cpu",
) -> None:
    """Writes a network as synthesizable, vendor-neutral VHDL-2008, with its test bench and its
    proof: README.md in the folder begins with what is there.

    All neurons of a layer work in parallel, layers in a pipeline, weights are constants in LUTs,
    stored exactly in the narrowest width that holds the matrix. The styles give the same bits:

        serial      one input of a layer in a clock: 784 + 10 clocks a frame.
        parallel8   eight inputs in a clock: 98 + 11.
        events      only inputs that spike, one in a clock: spikes + 12.

    Args:
        directory: made where it is missing; one that an earlier call wrote is written anew.
        stimulus: what the test bench sends; ``traces(...)`` of some digits. By default some noise.
        axi_stream: whether to write the AXI4-Stream wrapper, and a test bench for it.
        backend: of the golden model, which computes what the test bench compares with.

    Raises TypeError and ValueError for a bad argument, FileExistsError for a directory that holds
    something else, OverflowError, before anything is written, if a current or an accumulator of
    the golden model overflows on the stimulus.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}")
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(map(repr, STYLES))}, got {style!r}")
    if stimulus is None:
        stimulus = noise(network.inputs)
    vectors.check(stimulus)
    network.run(stimulus, backend=backend)  # raises here what it would raise below
    sizes = network_sizes(network, style)
    folder = Path(directory)
    write_circuit(folder, network, sizes, style, axi_stream=axi_stream)
    (folder / "data").mkdir(exist_ok=True)
    expected = vectors.write(folder / "data", network, stimulus, backend=backend)
    files = {
        "Makefile": documents.makefile(sizes, axi_stream=axi_stream),
        "README.md": documents.readme(network, sizes, style, expected, axi_stream=axi_stream),
    }
    for name, text in files.items():
        (folder / name).write_text(text)


def write_circuit(
    folder: Path,
    network: Network,
    sizes: tuple[LayerSizes, ...],
    style: str,
    *,
    axi_stream: bool = True,
) -> None:
    """The sources alone."""
    _clear(folder)
    sources = resources.files(__package__) / "sources"
    for source in sources.iterdir():
        if source.name.endswith(".vhd") and (axi_stream or "axi_stream" not in source.name):
            (folder / source.name).write_text(source.read_text())
    (folder / MARK).write_text(generated.network_package(network, sizes))
    (folder / "src_network.vhd").write_text(generated.top(network, sizes, style))
    for number, (weights, layer) in enumerate(zip(network.weights, sizes, strict=True)):
        (folder / f"weights_{number}.vhd").write_text(
            generated.weight_memory(number, weights, layer)
        )
        (folder / f"weights_{number}.mem").write_text(generated.memory_file(number, weights, layer))


def noise(inputs: int, sequences: int = 4, steps: int = 22) -> Traces:
    """Traces of sequences of noise, the first two steps of each silent."""
    images = np.random.default_rng(0).integers(0, 256, (sequences, inputs), np.uint8)
    return traces(images, arguments.integer("steps", steps, 1, 2**31 - 1), backend="reference")


def _clear(folder: Path) -> None:
    """An empty folder, where there was none or one of ours."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise FileExistsError(
            f"directory must be new, empty, or one that write_vhdl wrote, got {folder}, which has "
            f"files but no {MARK}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    for place, endings in ((data, ("*.txt",)), (folder, ("*.vhd", "*.mem"))):
        for ending in endings:
            for path in place.glob(ending):
                path.unlink()
    if data.is_dir() and not any(data.iterdir()):
        data.rmdir()
