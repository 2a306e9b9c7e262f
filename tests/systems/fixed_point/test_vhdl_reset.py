"""A reset drops the frames that are in work, wherever it comes; what is sent then is as new."""

import shutil

import numpy as np
import pytest

from lrnn_kernels import fixed_point as fp
from lrnn_kernels.fixed_point.check import random_network
from lrnn_kernels.fixed_point.vhdl import hysteresis

rng = np.random.default_rng(0)
NETWORKS = {
    "spiking": random_network(rng, (9, 6, 5), 100),
    "bistable": hysteresis.cases.random_network(rng, (9, 6, 5), 8, input_bits=3, classes=3),
}

#: What is put into the test bench: frames of ones from the start on, of which nothing is compared,
#: then a reset of one clock, and the frames of the file.
PLANTED = (
    (
        "  rst <= '0' after 42 ns;",
        "  rst <= '1', '0' after 42 ns, '1' after RESET_AT, '0' after RESET_AT + 10 ns;",
    ),
    (
        "\nbegin\n\n",
        "\n  signal again : std_logic := '0';\nbegin\n\n  again <= '1' after RESET_AT + 11 ns;\n",
    ),
    (
        "    wait until rising_edge(clk) and rst = '0';\n",
        "    frame_valid <= '1';\n    frame_first <= '1';\n    frame <= (others => '1');\n"
        "    wait until again = '1';\n    frame_valid <= '0';\n",
    ),
    (
        "  begin\n    while not endfile(golden)",
        "  begin\n    wait until again = '1';\n    while not endfile(golden)",
    ),
)


@pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed")
@pytest.mark.parametrize("style", ["serial", "events"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_reset_drops_what_is_in_work(network, style, tmp_path):
    fp.write_vhdl(tmp_path, NETWORKS[network], style=style)
    path = tmp_path / "tb.vhd"
    text = path.read_text()
    for right, planted in PLANTED:
        assert text.count(right) == 1
        text = text.replace(right, planted)
    for valid in ("watch_valid(l)", "counted"):
        text = text.replace(f"valid    => {valid},", f"valid    => {valid} and again,")
    for clock in (18, 36, 38):  # among them one in which a read-out ends
        path.write_text(text.replace("RESET_AT", f"{10 * clock + 2} ns"))
        fp.verify_vhdl(tmp_path)
