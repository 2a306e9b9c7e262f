"""First-quadrant BMRUs as a circuit: simulated, every state is the golden model's; synthesized, it
has no latch and short paths."""

import shutil
import subprocess

import numpy as np
import pytest

from benchmarks.claims import netlists
from lrnn_kernels import fixed_point as fp
from lrnn_kernels.fixed_point.__main__ import main
from lrnn_kernels.fixed_point.vhdl import hysteresis, sizes, verify
from lrnn_kernels.fixed_point.vhdl.hysteresis import documents
from lrnn_kernels.fixed_point.vhdl.hysteresis.sizes import network_sizes

CASES = {case.name.removeprefix("FQ-BMRU, "): case for case in hysteresis.cases.cases()}

needs_ghdl = pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed")
needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
every_style = pytest.mark.parametrize("style", sizes.STYLES)


def random(*shape: int, bits: int = 3, classes: int = 0) -> fp.HysteresisNetwork:
    rng = np.random.default_rng(0)
    return hysteresis.cases.random_network(rng, shape, 8, input_bits=bits, classes=classes)


def test_stimuli_reach_the_edges():
    """Ties, held states, sums below 0, and the largest there are."""
    u, state = (
        getattr(CASES["ties"].network.states(CASES["ties"].stimulus).layers[0], name)
        for name in ("u", "state")
    )
    layer = CASES["ties"].network.layers[0]
    before = np.concatenate([layer.initial[None], state[:-1]])
    for tied in (u == layer.low, u == layer.high, u == layer.low + 1, u == layer.high - 1):
        assert all((tied & (before == was)).any() for was in (False, True))
    held = CASES["held"].network.states(CASES["held"].stimulus).layers[0]
    assert all((held.state[:, k] == was).sum() > 10 for k in range(2) for was in (False, True))
    below = CASES["below zero"]
    assert (below.network.states(below.stimulus).layers[0].u == 0).sum() > 20
    largest = CASES["largest sums"]
    assert largest.network.sum_bits == (32,)
    assert largest.network.states(largest.stimulus).layers[0].u.max() == 2**31 - 1
    sums = (
        largest.stimulus[0] @ largest.network.layers[0].weights.T + largest.network.layers[0].bias
    )
    assert sums.min() == -(2**31 - 1)


@needs_ghdl
@every_style
@pytest.mark.parametrize("name", CASES)
def test_every_state_is_the_golden_models(name, style, tmp_path):
    assert "values equal" in verify.verify_case(CASES[name], style, tmp_path)


@needs_ghdl
@every_style
def test_handshakes_may_stall(style, tmp_path):
    verify.verify_case(CASES["random"], style, tmp_path, stalls=True)


#: Bugs: in which file, what stands there, what is planted, and the case that notices.
BUGS = {
    "> for >= at high": ("hysteresis_unit", "if u >= high then", "if u > high then", "ties"),
    "< for <= at low": ("hysteresis_unit", "elsif u <= low", "elsif u < low", "ties"),
    "low comes first": (
        "hysteresis_unit",
        "if u >= high then\n          state <= '1';\n        elsif u <= low then\n"
        "          state <= '0';",
        "if u <= low then\n          state <= '0';\n        elsif u >= high then\n"
        "          state <= '1';",
        "ties",
    ),
    "held where it should clear": (
        "hysteresis_unit",
        "state <= '0';",
        "state <= state;",
        "held",
    ),
    "cleared where it should hold": (
        "hysteresis_unit",
        "elsif first = '1' then",
        "else\n          state <= '0';\n        end if;\n        if false then",
        "held",
    ),
    "no rectifier": (
        "hysteresis_unit",
        "u <= sum when sum >= 0 else (others => '0');",
        "u <= sum;",
        "below zero",
    ),
    "thresholds of the next unit": (
        "hysteresis_layer",
        "HIGHS(k)",
        "HIGHS((k + 1) mod WIDTH)",
        "ties",
    ),
    "a state is kept": ("hysteresis_unit", "state <= start;", "state <= state;", "first frames"),
    "the bias is forgotten": (
        "weighted_sums",
        "to_signed(BIASES(k)",
        "to_signed(0 * BIASES(k)",
        "held",
    ),
    "a bit of an input is left out": (
        "weighted_sums",
        "shift_left(resize(weight, SHIFTED_BITS), b)",
        "shift_left(resize(weight, SHIFTED_BITS), b mod 2)",
        "random",
    ),
    "shifted weights that are cut": (
        "weighted_sums",
        "WEIGHT_BITS + INPUT_BITS - 1;",
        "WEIGHT_BITS + INPUT_BITS - 2;",
        "largest sums",
    ),
    "the last largest": ("hysteresis_read_out", "compared > most", "compared >= most", "ties"),
}


@needs_ghdl
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug, tmp_path, monkeypatch):
    name, right, wrong, case = BUGS[bug]
    write = verify.write_circuit

    def write_with_the_bug(folder, *args, **kwargs):
        write(folder, *args, **kwargs)
        path = folder / f"{name}.vhd"
        text = path.read_text()
        assert text.count(right) == 1
        path.write_text(text.replace(right, wrong))

    monkeypatch.setattr(verify, "write_circuit", write_with_the_bug)
    with pytest.raises(fp.vhdl.Mismatch, match="values are not those of the golden model"):
        verify.verify_case(CASES[case], "serial", tmp_path)


@needs_ghdl
@every_style
def test_clocks_are_those_of_the_documents(style, tmp_path):
    """Of a layer and, where it is slower, of the read-out."""
    for network in (random(19, 4), random(2, 3, classes=9)):
        x = np.random.default_rng(1).integers(0, 8, (1, 12, network.inputs))
        x[0, 3:6] = 0
        fp.write_vhdl(tmp_path, network, style=style, stimulus=x)
        done = fp.verify_vhdl(tmp_path)
        *_, last = network_sizes(network, style)
        if network.read_out is None:
            nonzero = (x[0, :-1] != 0).sum(1)
            assert done.clocks == sum(documents.clocks(last, style, int(n)) for n in nonzero)
        else:
            states = network.states(x).layers[0].state.sum(1)
            slowest = max(documents.clocks(last, style, int(n), is_read_out=True) for n in states)
            assert done.longest == slowest


@needs_ghdl
def test_a_folder_proves_itself(tmp_path, capsys):
    """By its Makefile and by the command; a wrong result is named."""
    fp.write_vhdl(tmp_path, random(7, 5, classes=3), style="parallel8")
    made = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert made.stdout.count("PASS: 88 frames, 880 values and 88 results") == 1
    readme = (tmp_path / "README.md").read_text()
    names = {path.name for path in tmp_path.glob("*.vhd")}
    assert all(f"`{name}`" in readme for name in names if name[:2] != "tb" and name[:2] != "we")
    assert not any(name.startswith("src_") for name in names)
    assert main(["verify-vhdl", str(tmp_path)]) == 0
    assert "880 values and 88 results equal the golden" in capsys.readouterr().out
    results = tmp_path / "data/results.txt"
    text = results.read_text()
    results.write_text("1" + text[1:])
    assert main(["verify-vhdl", str(tmp_path)]) == 1
    assert "result 0 is" in capsys.readouterr().err
    other = np.random.default_rng(5).integers(0, 8, (2, 9, 7))
    assert fp.verify_vhdl(tmp_path, random(7, 5, classes=3), other).values == 2 * 9 * 10


def test_what_cannot_be_written_says_so(tmp_path):
    network = random(4, 3)
    with pytest.raises(ValueError, match="axi_stream must be False for a HysteresisNetwork"):
        fp.write_vhdl(tmp_path / "x", network, axi_stream=True)
    with pytest.raises(ValueError, match=r"x must be in \[0, 7\], got 8"):
        fp.write_vhdl(tmp_path / "x", network, stimulus=np.full((1, 2, 4), 8))
    with pytest.raises(ValueError, match="stimulus must hold at least one sequence of one step"):
        fp.write_vhdl(tmp_path / "x", network, stimulus=np.zeros((1, 0, 4), int))
    with pytest.raises(TypeError, match="x must be a NumPy array, got Traces"):
        fp.write_vhdl(tmp_path / "x", network, stimulus=fp.Traces.pack(np.ones((1, 2, 4), bool)))
    assert not (tmp_path / "x").exists()
    fp.write_vhdl(tmp_path / "x", network)
    with pytest.raises(FileNotFoundError, match=r"directory must hold tb_axi_stream\.vhd"):
        fp.verify_vhdl(tmp_path / "x", bench="tb_axi_stream")
    fp.write_vhdl(tmp_path / "x", fp.Network([np.ones((3, 4), np.int16)]))  # a folder of ours
    assert not (tmp_path / "x/hysteresis_unit.vhd").exists()


@needs_ghdl
@needs_yosys
def test_it_synthesizes(tmp_path):
    fp.write_vhdl(tmp_path, random(12, 4, classes=3), style="events")
    found = netlists.synthesize(tmp_path, "hysteresis_network")
    assert found["modules"]["hysteresis_unit"]["times"] == 4
    assert found["modules"]["hysteresis_unit"]["luts"] <= 40
    assert found["path"][0] <= 15


@needs_ghdl
@pytest.mark.parametrize("inputs", [1, 8, 9])
def test_memories_of_few_words_have_netlists(inputs, tmp_path):
    """Of a choice among one word GHDL makes none."""
    for network in (random(inputs, 3), fp.Network([np.ones((3, inputs), np.int16)])):
        fp.write_vhdl(tmp_path, network, style="parallel8", axi_stream=False)
        made = subprocess.run(
            ["make", "-n", "synth"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        for command in made.stdout.splitlines():
            if "yosys" not in command:
                subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
