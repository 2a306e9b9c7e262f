"""The network as a circuit: simulated, every state is the golden model's; synthesized, it takes
what the documents say."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from benchmarks.claims import __main__ as claims
from benchmarks.claims import fpga_digits, netlists
from lrnn_kernels import fixed_point as fp
from lrnn_kernels import nn
from lrnn_kernels.fixed_point.__main__ import main
from lrnn_kernels.fixed_point.check import random_network
from lrnn_kernels.fixed_point.vhdl import cases, documents, generated, sizes, verify

CASES = {case.name: case for case in cases.cases()}

needs_ghdl = pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed")
needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
every_style = pytest.mark.parametrize("style", sizes.STYLES)


def small(seed: int = 0) -> fp.Network:
    return random_network(np.random.default_rng(seed), (45, 13, 11), 200)


def digits(count: int = 1, frames: int = 22) -> fp.Traces:
    """Full-size digits: 28 x 28, of scikit-learn's 8 x 8."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:count].repeat(3, 1).repeat(3, 2) / 16
    return fp.traces(np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(count, 784), frames)


def classifier(neurons: int, levels: int) -> fp.Network:
    """Weights as trained ones are: most are small, currents go both ways."""
    weights = np.random.default_rng(1).standard_t(4, (neurons, 784))
    return fp.Network([fp.quantize(weights, levels)])


@needs_ghdl
@every_style
@pytest.mark.parametrize("name", CASES)
def test_every_state_is_the_golden_models(name, style, tmp_path):
    """Where the golden model overflows, simulation stops with the same place and value."""
    found = verify.verify_case(CASES[name], style, tmp_path)
    assert ("overflow noticed" if CASES[name].overflows else "values equal") in found


@needs_ghdl
@every_style
@pytest.mark.parametrize("bench", ["tb", "tb_axi_stream"])
def test_handshakes_may_stall(bench, style, tmp_path):
    verify.verify_case(CASES["random"], style, tmp_path, bench=bench, stalls=True)


@needs_ghdl
@every_style
def test_a_full_size_digit(style, tmp_path):
    network, stimulus = classifier(100, 16), digits(frames=11)
    fp.write_vhdl(tmp_path, network, style=style, stimulus=stimulus)
    done = fp.verify_vhdl(tmp_path)
    assert done.values == 11 * (4 * 100 + 10)
    spikes = stimulus.unpack().sum(2)[0, :-1]  # of the frames before the last
    layer = sizes.layer_sizes(network.weights[0], style)
    assert done.clocks == sum(documents.clocks(layer, style, int(n)) for n in spikes)
    if style == "serial":
        assert done.longest <= 800


#: Bugs: in which file, what stands there, what is planted, and the style and case that notice.
BUGS = {
    "h_s from the new h": (
        "src_neuron",
        "elsif phase(5) = '1' then\n        sum ",
        "elsif phase(1) = '1' then\n        sum ",
        "serial",
        "random",
    ),
    "a logical shift": (
        "src_neuron",
        "shift_right(i_reg, 4)",
        "signed(shift_right(unsigned(i_reg), 4))",
        "serial",
        "negative shifts",
    ),
    "I >= 0": ("src_neuron", "when i_reg > 0", "when i_reg >= 0", "serial", "saturations"),
    "z at 500": ("src_neuron", "h_reg < 500", "h_reg < 490", "serial", "thresholds"),
    "h_s below -800": ("src_neuron", "fresh < -800", "fresh < -801", "serial", "thresholds"),
    "no clip below": ("src_neuron", "to_signed(-1024,", "to_signed(-1023,", "serial", "random"),
    "a state is kept": (
        "src_neuron",
        "if clear = '1' then\n        hs_reg <= (others => '0');",
        "if clear = '1' then\n        hs_reg <= hs_reg;",
        "serial",
        "first frames",
    ),
    "the last input is left out": (
        "walk_all",
        "count = GROUPS - 1",
        "count = GROUPS - 2",
        "serial",
        "random",
    ),
    "the last word is left out": (
        "walk_events",
        "flags(w) <= or in_words(w);",
        "flags(w) <= (or in_words(w)) when w < WORDS - 1 else '0';",
        "events",
        "words of an encoder",
    ),
    "a lane without its mask": (
        "masked_sum",
        "if mask(lane) = '1' then",
        "if mask(lane) = '1' or lane = 3 then",
        "parallel8",
        "random",
    ),
    "a vote of 9": ("src_read_out", "to_signed(11 -", "to_signed(10 -", "serial", "a deep stack"),
    "the last largest": ("src_read_out", "compared > most", "compared >= most", "serial", "random"),
    "no limit of a current": (
        "src_limits",
        "abs value > MOST_CURRENT",
        "abs value > MOST_CURRENT + 1",
        "events",
        "a current overflows below",
    ),
    "a weight": ("weights_0", '    3 => 117X"0', '    3 => 117X"1', "serial", "random"),
}


@needs_ghdl
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug, tmp_path, monkeypatch):
    name, right, wrong, style, case = BUGS[bug]
    write = verify.write_circuit

    def write_with_the_bug(folder, *args, **kwargs):
        write(folder, *args, **kwargs)
        path = folder / f"{name}.vhd"
        text = path.read_text()
        assert text.count(right) == 1
        path.write_text(text.replace(right, wrong))

    monkeypatch.setattr(verify, "write_circuit", write_with_the_bug)
    with pytest.raises(fp.vhdl.Mismatch) as raised:
        verify.verify_case(CASES[case], style, tmp_path)
    assert "cannot" not in str(raised.value)  # a compile error would say nothing


@needs_ghdl
def test_a_bench_that_compares_less_proves_nothing(tmp_path):
    fp.write_vhdl(tmp_path, small())
    path = tmp_path / "src_read_out.vhd"
    path.write_text(path.read_text().replace("counted      <= done", "counted      <= '0'"))
    with pytest.raises(fp.vhdl.Mismatch, match=r"compared Simulation.*expected Expected"):
        fp.verify_vhdl(tmp_path)


@needs_ghdl
def test_the_command(tmp_path, capsys):
    fp.write_vhdl(tmp_path / "circuit", small())
    assert main(["verify-vhdl", str(tmp_path / "circuit")]) == 0
    assert "equal the golden model's" in capsys.readouterr().out
    votes = tmp_path / "circuit/data/votes.txt"
    votes.write_text(votes.read_text().replace("0", "1", 1))
    assert main(["verify-vhdl", str(tmp_path / "circuit")]) == 1
    assert "class 0, row 0: accumulator is 0, expected 1" in capsys.readouterr().err


@needs_ghdl
def test_digits_of_a_file_are_simulated(tmp_path, capsys, monkeypatch):
    """The benchmark's command: of trained weights, the classes that the golden model gives."""
    monkeypatch.setattr(fpga_digits, "LEVELS", {"events": (8,)})
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 4:24, 13:16] = 255  # a one
    arrays = {"x_train": images, "y_train": [1, 7], "x_test": images, "y_test": [1, 7]}
    np.savez(tmp_path / "mnist.npz", **{k: np.asarray(x) for k, x in arrays.items()})
    given = ["fpga-digits", "--digits", "1", "--out", str(tmp_path), "--data"]
    assert claims.main([*given, str(tmp_path / "mnist.npz")]) == 0
    assert "18,040" in capsys.readouterr().out  # 44 (4 100 + 10)
    (saved,) = tmp_path.glob("fpga-digits-*.json")
    (row,) = json.loads(saved.read_text())["fpga_digits"]
    assert (row["digits"], row["right"], row["values"]) == (1, 1, 18040)
    assert claims.main([*given, str(tmp_path / "nowhere.npz")]) == 1
    assert "nowhere.npz does not exist" in capsys.readouterr().err


@needs_ghdl
@needs_yosys
def test_the_makefile_of_a_folder(tmp_path):
    fp.write_vhdl(tmp_path, small(), style="events")
    made = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert made.stdout.count("PASS: 88 frames") == 2
    made = subprocess.run(["make", "synth"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "LUT6" in made.stdout


@every_style
def test_memories_hold_the_weights(style):
    """In the narrowest width that holds them all: negative ends reach one further."""
    for low, high, bits in ((-16, 16, 6), (-16, 15, 5), (-1, 0, 1), (0, 1, 2), (-256, 256, 10)):
        weights = np.random.default_rng(0).integers(low, high + 1, (7, 21))
        weights[0, :2] = low, high
        layer = sizes.layer_sizes(weights, style)
        assert layer.weight_bits == bits
        lanes = layer.lanes
        for address, word in enumerate(generated.packed(weights, layer)):
            for k in range(7):
                for lane in range(lanes):
                    x = word >> (k * lanes + lane) * bits & 2**bits - 1
                    x -= 2**bits * (x >> bits - 1)
                    j = address * lanes + lane
                    assert x == (weights[k, j] if j < 21 else 0)


def test_currents_have_room_for_all_that_can_happen():
    """And no more: the range is reached."""
    rng = np.random.default_rng(0)
    low, high = sizes.current_range(-37, 60)
    current, seen = 0, [0]
    for t in range(3000):
        current += -((current >> 4) + (current >> 5)) + (60 if t < 1500 else -37)
        seen.append(current)
    assert (low, high) == (min(seen), max(seen))
    for _ in range(3000):
        current += -((current >> 4) + (current >> 5)) + int(rng.choice([-37, 60, 0]))
        assert low <= current <= high
    assert sizes.signed_bits(*sizes.current_range(-30000, 30000)) == 17


def test_h_s_lies_between_h_and_h_s():
    """What lets the circuit leave out the clip at 1023."""
    h, h_s = np.meshgrid(np.arange(-1024, 1024), np.arange(-800, 1024))
    unclipped = h + (((h_s - h) * np.where(h < 500, 900, 100)) >> 10)
    assert (unclipped <= np.maximum(h, h_s)).all()
    assert unclipped.min() >= -1024


def test_folders_are_written_anew(tmp_path):
    fp.write_vhdl(tmp_path, small())
    fp.write_vhdl(tmp_path, fp.Network([np.ones((3, 4), np.int16)]), axi_stream=False)
    names = {path.name for path in tmp_path.iterdir()}
    assert "weights_0.mem" in names
    assert not names & {"weights_1.vhd", "weights_1.mem", "src_axi_stream.vhd", "tb_axi_stream.vhd"}
    assert not (tmp_path / "data/states_1.txt").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other, which has files but no network_package"):
        fp.write_vhdl(tmp_path / "other", small())
    assert (tmp_path / "other/notes.txt").read_text() == "mine"


def test_what_cannot_be_written_says_so(tmp_path):
    with pytest.raises(
        TypeError, match="network must be a Network or a HysteresisNetwork, got list"
    ):
        fp.write_vhdl(tmp_path / "x", [np.ones((3, 4))])
    with pytest.raises(TypeError, match=r"got IntegerSRC: give its network\(\)"):
        fp.write_vhdl(tmp_path / "x", nn.IntegerSRC(4, 3))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"directory must be a folder, got .*file, which"):
        fp.write_vhdl(tmp_path / "file", small())
    with pytest.raises(ValueError, match=r"style must be one of 'serial', .*, got 'fast'"):
        fp.write_vhdl(tmp_path / "x", small(), style="fast")
    with pytest.raises(ValueError, match="traces must have 45 inputs, got 1"):
        fp.write_vhdl(tmp_path / "x", small(), stimulus=fp.Traces.pack(np.ones((1, 2, 1), bool)))
    with pytest.raises(ValueError, match="stimulus must hold at least one sequence"):
        fp.write_vhdl(tmp_path / "x", small(), stimulus=fp.Traces.pack(np.ones((0, 2, 45), bool)))
    case = CASES["a current overflows at once"]
    with pytest.raises(OverflowError, match="layer 0, neuron 0, step 0"):
        fp.write_vhdl(tmp_path / "x", case.network, stimulus=case.stimulus)
    assert not (tmp_path / "x").exists()
    with pytest.raises(FileNotFoundError, match=r"directory must hold tb\.vhd"):
        fp.verify_vhdl(tmp_path / "x")
    fp.write_vhdl(tmp_path / "x", small())
    with pytest.raises(ValueError, match="network and stimulus must be given together"):
        fp.verify_vhdl(tmp_path / "x", small())
    with pytest.raises(ValueError, match="bench must be 'tb' or"):
        fp.verify_vhdl(tmp_path / "x", bench="mine")


@needs_ghdl
@needs_yosys
@pytest.mark.parametrize("style", ["parallel8", "events"])
def test_a_full_size_memory_of_ten_neurons_synthesizes(style, tmp_path):
    fp.write_vhdl(tmp_path, classifier(10, 16), style=style, stimulus=digits(frames=1))
    found = netlists.synthesize(tmp_path, "src_network")
    modules = found["modules"]
    assert modules["src_neuron"]["times"] == 10
    assert modules["src_neuron"]["luts"] <= 180
    bits = 784 * 10 * sizes.layer_sizes(classifier(10, 16).weights[0], style).weight_bits
    # A LUT holds 64 bits; equal columns and regular ones need fewer, selection needs more.
    assert 0.6 * bits / 64 <= modules["weights_0"]["luts"] <= 1.4 * bits / 64
    assert found["path"][0] <= 15


def test_a_latch_is_refused():
    """GHDL refuses those that are written; yosys makes others of GHDL's case statements."""
    modules = {"top": {"cells": {"a": {"type": "LUT3"}, "b": {"type": "FDRE"}}}}
    assert netlists.count(modules, "top")["total"] == {"luts": 1, "registers": 1}
    modules["top"]["cells"]["c"] = {"type": "LDCE"}
    with pytest.raises(RuntimeError, match="top has a cell that nothing counts: LDCE"):
        netlists.count(modules, "top")


def test_the_longest_path_is_found():
    """Two LUTs, a carry chain of which only what is at and below a bit counts, and an end."""

    def cell(kind, outputs, **pins):
        directions = {name: "output" if name in outputs else "input" for name in pins}
        return {"type": kind, "connections": pins, "port_directions": directions}

    flat = {
        "cells": {
            "q": cell("FDRE", "Q", D=[9], Q=[1], C=[0]),
            "a": cell("LUT1", "O", I0=[1], O=[2]),
            "b": cell("LUT2", "O", I0=[2], I1=[1], O=[3]),
            "c": cell("CARRY4", ("O", "CO"), CI=["0"], CYINIT=["0"], DI=[1], S=[2, 3], O=[4, 5]),
            "d": cell("LUT1", "O", I0=[4], O=[9]),
            "m": cell("memory", "word", address=[5], word=[6]),
        },
        "ports": {"out": {"direction": "output", "bits": [6]}},
    }
    found = netlists.levels(flat, ("memory",))
    assert found == {"path": [2, 3], "path_to_left_out": [2, 3]}
