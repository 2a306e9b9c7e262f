"""MNIST's test digits through the circuit of the spiking network: GHDL simulates it at its full
size, and every state of every neuron in every step is compared with the golden model."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lrnn_kernels import fixed_point
from lrnn_kernels.fixed_point.vhdl import simulate, sizes
from lrnn_kernels.tasks import mnist

from .fpga import FRAMES, WEIGHTS
from .src_mnist import CODING_SEED

HEADER = (
    "style",
    "levels",
    "frames",
    "values equal",
    "classes equal",
    "right",
    "clocks a frame",
    "most",
    "CPU s",
)
DIGITS = 100

#: Widths of weights that each style is simulated with. What differs between widths is how wide
#: registers are and how many frames a digit has; only the cheapest style takes all three.
LEVELS = {"events": (8, 16, 256), "parallel8": (8,), "serial": (8,)}


def run(
    data: str | Path, digits: int = DIGITS, styles: tuple[str, ...] = sizes.STYLES
) -> Iterator[dict]:
    """A row for each circuit, as soon as it is simulated: the first test digits, with the spikes
    that ``src-mnist`` classifies.

    Raises RuntimeError if GHDL is missing, Mismatch where a value is not the golden model's.
    """
    if not simulate.available():
        raise RuntimeError("ghdl is not installed: apt-get install ghdl, or see ghdl.github.io")
    *_, x, labels = mnist.load(data)
    with np.load(WEIGHTS) as arrays:
        weights = {levels: arrays[f"weights_{levels}"] for levels in FRAMES}
    for style in styles:
        for levels in LEVELS[style]:
            yield _row(style, levels, weights[levels], x[:digits], labels[:digits])


def _row(style: str, levels: int, weights: np.ndarray, x: np.ndarray, labels: np.ndarray) -> dict:
    network = fixed_point.Network([weights])
    stimulus = fixed_point.traces(x, FRAMES[levels], seed=CODING_SEED)
    before = _cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        fixed_point.write_vhdl(folder, network, style=style, stimulus=stimulus, axi_stream=False)
        done = fixed_point.verify_vhdl(folder)
    return {
        "style": style,
        "levels": levels,
        "frames": FRAMES[levels],
        "digits": done.results,
        "values": done.values,
        "right": int((network.run(stimulus).labels == labels).sum()),
        "clocks_a_frame": done.clocks_a_frame,
        "longest": done.longest,
        "cpu_seconds": round(_cpu_seconds() - before, 1),
    }


def _cpu_seconds() -> float:
    """Of children that ended: the simulator."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cells(row: dict) -> list[str]:
    """A row of ``run`` for the table."""
    return [
        row["style"],
        str(row["levels"]),
        str(row["frames"]),
        f"{row['values']:,}",
        str(row["digits"]),
        str(row["right"]),
        f"{row['clocks_a_frame']:.1f}",
        str(row["longest"]),
        f"{row['cpu_seconds']:.0f}",
    ]
