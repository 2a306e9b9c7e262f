"""A folder with the circuit of a network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..coding import Traces
from ..hysteresis import HysteresisNetwork
from ..network import Network
from . import documents
from .circuits import MARK
from .kinds import kind_of
from .sizes import STYLES


def write_vhdl(
    directory: str | os.PathLike,
    network: Network | HysteresisNetwork,
    *,
    style: str = "serial",
    stimulus: Traces | np.ndarray | None = None,
    axi_stream: bool | None = None,
    backend: str = "cpu",
) -> None:
    """Writes a network as synthesizable, vendor-neutral VHDL-2008, with its test bench and its
    proof: README.md in the folder begins with what is there.

    All neurons of a layer work in parallel, layers in a pipeline, weights are constants in LUTs,
    stored exactly in the narrowest width that holds the matrix. The styles give the same bits, and
    differ in the clocks that a frame takes, of a ``Network`` and of a ``HysteresisNetwork``:

        serial      one input of a layer in a clock: inputs + 10, inputs + 6.
        parallel8   eight inputs in a clock: inputs / 8 + 11, inputs / 8 + 6.
        events      only inputs that are not 0, one in a clock: those + 12, those + 8.

    Args:
        directory: made where it is missing; one that an earlier call wrote is written anew.
        stimulus: what the test bench sends; ``traces(...)`` of some digits for a Network, integers
            (N, T, inputs) for a HysteresisNetwork. By default some noise.
        axi_stream: whether to write the AXI4-Stream wrapper, and a test bench for it; by default
            where there is one, which is for a Network.
        backend: of the golden model of a Network, which computes what the test bench compares with.

    Raises TypeError and ValueError for a bad argument, FileExistsError for a directory that holds
    something else, OverflowError, before anything is written, if a current or an accumulator of
    the golden model overflows on the stimulus.
    """
    kind = kind_of(network)
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(map(repr, STYLES))}, got {style!r}")
    if axi_stream and kind.CIRCUIT.wrapper is None:
        raise ValueError(
            f"axi_stream must be False for a {type(network).__name__}, for which there is no "
            "wrapper, got True"
        )
    axi_stream = kind.CIRCUIT.wrapper is not None and axi_stream is not False
    stimulus = kind.checked(network, stimulus, backend)
    folder = Path(directory)
    write_circuit(folder, network, style, axi_stream=axi_stream)
    (folder / "data").mkdir(exist_ok=True)
    expected = kind.write_vectors(folder / "data", network, stimulus, backend=backend)
    files = {
        "Makefile": documents.makefile(folder),
        "README.md": kind.readme(network, style, expected, axi_stream=axi_stream),
    }
    for name, text in files.items():
        (folder / name).write_text(text)


def write_circuit(
    folder: Path, network: Network | HysteresisNetwork, style: str, *, axi_stream: bool = True
) -> None:
    """The sources alone."""
    kind = kind_of(network)
    _clear(folder)
    for name, text in kind.CIRCUIT.sources():
        if axi_stream or "axi_stream" not in name:
            (folder / name).write_text(text)
    for name, text in kind.files(network, style).items():
        (folder / name).write_text(text)


def _clear(folder: Path) -> None:
    """An empty folder, where there was none or one of ours."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"directory must be a folder, got {folder}, which is a file")
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
