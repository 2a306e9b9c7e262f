"""docs/fpga.md is run as it stands, and its circuits are proved."""

import re
import shutil

import pytest

from lrnn_kernels import fixed_point
from tests import ROOT


@pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed")
def test_the_walk_to_a_circuit(tmp_path, monkeypatch):
    text = (ROOT / "docs/fpga.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == 7
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks:
        exec(compile(block, "docs/fpga.md", "exec"), names)
    assert (tmp_path / "circuit/weights_0.mem").exists()
    deep, stimulus = names["deep"], fixed_point.traces(names["pixels"][:1].numpy(), 3)
    done = fixed_point.verify_vhdl(tmp_path / "deep", deep, stimulus)
    assert done.values == 3 * (4 * 410 + 10)
    assert (tmp_path / "bits/hysteresis_unit.vhd").exists()
    assert max(names["bits"].sum_bits) <= 25  # as the guide says, or the twin's equality is luck
    assert names["bits"].run(names["rows"]).states.any()
