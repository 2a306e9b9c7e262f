"""Which entities circuits are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

#: By which a folder of ours is known.
MARK = "network_package.vhd"

#: What test benches have in common.
BENCH = ("tb_package", "tb_check_values")


@dataclass(frozen=True)
class Circuit:
    """A kind of network as VHDL: names of sources, each after those that it needs.

    Attributes:
        folder: of its own sources, beside those that all circuits share.
        packages, parts: sources before and after the weight memories are generated; a part may be
            missing where a network has no use for it.
        top: of the network.
        wrapper: around it, between two AXI4-Streams.
        unit: what a layer has many of, in words.
    """

    folder: str
    packages: tuple[str, ...]
    parts: tuple[str, ...]
    top: str
    wrapper: str | None
    unit: str

    def sources(self) -> Iterator[tuple[str, str]]:
        """Name and text of each source that is the same for every network."""
        for folder in ("shared", self.folder):
            for source in (resources.files(__package__) / "sources" / folder).iterdir():
                if source.name.endswith(".vhd"):
                    yield source.name, source.read_text()

    def order(self, folder: Path) -> list[str]:
        """The sources of a written folder, in the order in which they must be analysed; without
        test benches."""
        layers = len(list(folder.glob("weights_*.vhd")))
        memories = [f"weights_{number}" for number in range(layers)]
        names = [*self.packages, MARK.removesuffix(".vhd"), *self.parts, *memories, self.top]
        optional = {*self.parts, self.wrapper}
        names += [self.wrapper] if self.wrapper else []
        return [n for n in names if n not in optional or (folder / f"{n}.vhd").exists()]


_SUMS = ("masked_sum", "walk_all", "walk_events")

SRC = Circuit(
    folder="spiking",
    packages=("bits_package", "src_package"),
    parts=(*_SUMS, "src_neuron", "src_layer", "src_read_out", "src_limits"),
    top="src_network",
    wrapper="src_axi_stream",
    unit="neuron",
)
HYSTERESIS = Circuit(
    folder="bistable",
    packages=("bits_package",),
    parts=(
        *_SUMS,
        "weighted_sums",
        "hysteresis_unit",
        "hysteresis_layer",
        "hysteresis_read_out",
    ),
    top="hysteresis_network",
    wrapper=None,
    unit="unit",
)


def of(folder: Path) -> Circuit:
    """Which circuit a folder holds."""
    for circuit in (SRC, HYSTERESIS):
        if (folder / f"{circuit.top}.vhd").exists():
            return circuit
    raise FileNotFoundError(f"directory must hold what write_vhdl wrote, got {folder}")
