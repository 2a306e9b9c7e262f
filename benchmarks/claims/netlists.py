"""Circuits through GHDL and yosys to cells of Xilinx 7 series: what they take, and how long their
paths are. Nothing is placed or routed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from lrnn_kernels.fixed_point.vhdl import simulate

#: Cells by what a table calls them.
_KINDS = (
    ("luts", re.compile(r"LUT[1-6]$")),
    ("registers", re.compile(r"FD[RSCP]E(_1)?$")),
    ("carries", re.compile(r"CARRY4$")),
    ("muxes", re.compile(r"MUXF[78]$")),
    ("inverters", re.compile(r"INV$")),  # which LUTs and registers take in
)

_SYNTHESIS = "synth_xilinx -family xc7 -noiopad -noclkbuf -nobram"


def missing() -> str | None:
    """Which tool is not installed, if one is not."""
    for tool in ("ghdl", "yosys"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None


def synthesize(folder: Path, top: str, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """An entity of a folder that ``write_vhdl`` wrote, in cells.

    Args:
        without: entities that are left out: their inputs are ends of paths, their outputs starts.

    Returns "modules": for each entity its kinds of cells without those of entities in it, and how
    often it is there; "total": their sum; "path": the longest one that ends at a register or
    port, in LUTs, and in LUTs, CARRY4 and MUXF together; "path_to_left_out": the same of paths
    that end at what is left out.

    Raises RuntimeError for a latch, or another cell that no kind counts.
    """
    with tempfile.TemporaryDirectory() as work:
        std = ["--std=08", f"--workdir={work}"]
        sources = map(str, simulate.order(folder))
        subprocess.run(["ghdl", "-a", *std, *sources], check=True, capture_output=True)
        command = ["ghdl", "--synth", *std, "--out=verilog", top]
        verilog = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (Path(work) / "in.v").write_text(verilog)
        script = [
            "read_verilog in.v",
            *(f"blackbox {name}" for name in without),
            f"{_SYNTHESIS} -top {top}",
            "write_json cells.json",
            "flatten",
            "write_json flat.json",
        ]
        subprocess.run(
            ["yosys", "-q", "-p", "; ".join(script)], cwd=work, check=True, capture_output=True
        )
        cells = json.loads((Path(work) / "cells.json").read_text())["modules"]
        flat = json.loads((Path(work) / "flat.json").read_text())["modules"][top]
    return {**count(cells, top, without), **levels(flat, without)}


def count(modules: dict, top: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Cells by kind, of each module and of all."""
    times: Counter[str] = Counter()

    def visit(name: str) -> None:
        times[name] += 1
        for cell in modules[name]["cells"].values():
            if cell["type"] in modules and not _is_leaf(cell["type"], modules, without):
                visit(cell["type"])

    visit(top)
    found, total = {}, Counter()
    for name, number in times.items():
        kinds: Counter[str] = Counter()
        for cell in modules[name]["cells"].values():
            kind = next((kind for kind, form in _KINDS if form.match(cell["type"])), None)
            if kind:
                kinds[kind] += 1
            elif cell["type"] not in times and cell["type"] not in without:
                raise RuntimeError(f"{name} has a cell that nothing counts: {cell['type']}")
        generics = re.compile(r"(_[0-9]+)+(_[0-9a-f]{40})?$")  # which GHDL adds to names
        plain = name if name == top or name.startswith("weights_") else generics.sub("", name)
        found[plain] = {"times": number, **kinds}
        for kind, n in kinds.items():
            total[kind] += number * n
    return {"modules": found, "total": dict(total)}


def _is_leaf(name: str, modules: dict, without: tuple[str, ...]) -> bool:
    return name in without or bool(int(modules[name]["attributes"].get("blackbox", "0"), 2))


def levels(flat: dict, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The longest paths of a flat netlist."""
    arcs: dict[int, list[int]] = {}  # what drives a wire, for combinational cells
    weights: dict[int, tuple[int, int]] = {}  # of the cell that drives it, in LUTs and in cells
    ends: list[int] = []
    to_left_out: list[int] = []
    for cell in flat["cells"].values():
        pins = cell["connections"]
        inputs = [
            bit
            for name, bits in pins.items()
            if cell["port_directions"][name] == "input"
            for bit in bits
            if isinstance(bit, int)
        ]
        if cell["type"].startswith("FD"):
            ends += inputs
        elif cell["type"] in without:
            to_left_out += inputs
        else:
            lut = int(cell["type"].startswith("LUT"))
            own = (lut, int(cell["type"] != "INV"))
            for output, sources in _arcs(cell, inputs):
                arcs[output], weights[output] = sources, own
    for port in flat["ports"].values():
        if port["direction"] == "output":
            ends += [bit for bit in port["bits"] if isinstance(bit, int)]
    longest: dict[int, tuple[int, int]] = {}
    for bit in TopologicalSorter(arcs).static_order():
        before = [longest[source] for source in arcs.get(bit, ())]
        own = weights.get(bit, (0, 0))
        longest[bit] = tuple(own[i] + max((one[i] for one in before), default=0) for i in range(2))  # type: ignore[assignment]

    def worst(bits: list[int]) -> list[int]:
        return [max((longest.get(bit, (0, 0))[i] for bit in bits), default=0) for i in range(2)]

    return {"path": worst(ends), "path_to_left_out": worst(to_left_out)}


def _arcs(cell: dict, inputs: list[int]) -> list[tuple[int, list[int]]]:
    """For each output the inputs that it depends on; of a CARRY4 those at and below it."""
    pins = cell["connections"]
    if cell["type"] != "CARRY4":
        return [
            (bit, inputs)
            for name, bits in pins.items()
            if cell["port_directions"][name] == "output"
            for bit in bits
            if isinstance(bit, int)
        ]
    found = []
    for output in ("O", "CO"):
        for i, bit in enumerate(pins.get(output, [])):
            sources = [
                *pins["CI"],
                *pins["CYINIT"],
                *pins["S"][: i + 1],
                *pins["DI"][: i + (output == "CO")],
            ]
            found.append((bit, [source for source in sources if isinstance(source, int)]))
    return [(bit, sources) for bit, sources in found if isinstance(bit, int)]
