"""The claim about circuits: its quick runs are shown, and agree with what was counted by hand."""

import shutil

import numpy as np
import pytest

from benchmarks.claims import fpga, shown
from lrnn_kernels.fixed_point.vhdl import sizes

SHORT = {"digits": 1, "columns": 1}


@pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed")
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
def test_its_quick_runs_are_shown(tmp_path):
    found = []
    for setting in fpga.settings(True):
        short = {**setting, **{key: x for key, x in SHORT.items() if key in setting}}
        found.append({**setting, "seed": 0, **fpga.run(short, 0, tmp_path / "state.pt")})
    (row,) = fpga.table(found)
    assert len(row) == len(fpga.CLAIM.header)
    json, plot = shown.save(fpga.CLAIM, found, tmp_path, quick=True)
    assert plot.stat().st_size > 5000
    assert shown.load(json)[0][0]["values"] == 44 * (4 * 100 + 10)
    (counted,) = fpga._rows(found)
    assert counted["neuron"] <= 180
    assert counted["lut_levels"] <= 15
    assert counted["fits"]


@pytest.mark.parametrize("levels", fpga.FRAMES)
def test_clocks_of_mnist(levels):
    """What was to be reached, from the spikes of 10,000 digits."""
    costs = {style: fpga.cost(style, levels) for style in sizes.STYLES}
    assert costs["serial"]["clocks"] <= 800
    assert costs["events"]["clocks"] <= 60
    assert costs["events"]["most"] <= costs["events"]["bound"] <= 800
    assert costs["events"]["ms"] <= {256: 0.14, 16: 0.04, 8: 0.03}[levels]
    frames = fpga._trained()[f"spikes_{levels}"].sum()
    assert frames == 10_000 * fpga.FRAMES[levels]


def test_weights_fill_what_the_paper_gives_them():
    """9, 5 and 4 bits, where no positive weight reaches the scale."""
    found = {b: fpga._trained()[f"weights_{b}"] for b in fpga.FRAMES}
    assert {b: np.abs(w.astype(int)).max() for b, w in found.items()} == {b: b for b in found}
    assert {b: fpga.cost("serial", b)["bits"] for b in found} == {256: 9, 16: 5, 8: 4}
