"""Files for simulators: CSV and VCD hold every state, and no state is cut to fit one."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrnn_kernels import fixed_point as fp
from tests.systems.fixed_point.cases import DRIVEN, VOTES

CUT = {
    # what does not fit into a file's columns: (field, values, words)
    "floats": ("I", lambda x: x + 0.5, ("states.I must hold integers", "float64")),
    "whole floats": (
        "h",
        lambda x: x.astype(np.float32),
        ("states.h must hold integers", "float32"),
    ),
    "bools": ("X", lambda x: x > 0, ("states.X must hold integers", "bool")),
    "more than 16 bits": (
        "u",
        lambda x: x.astype(np.int64) + 2**16,
        ("states.u must be in [-32768, 32767]",),
    ),
    "less than 16 bits": (
        "z",
        lambda x: x.astype(np.int32) - 2**16,
        ("states.z must be in [-32768, 32767]",),
    ),
    "64 bits without a sign": (
        "h_s",
        lambda x: np.full(x.shape, 2**64 - 1, np.uint64),
        ("states.h_s must be in", "18446744073709551615"),
    ),
    "spikes of numbers": (
        "spike",
        lambda x: x.astype(np.int16),
        ("states.spike must be bool", "int16"),
    ),
    "fewer steps": ("h", lambda x: x[1:], ("states.h must have shape (3, 2)", "(2, 2)")),
    "fewer neurons": (
        "spike",
        lambda x: x[:, 1:],
        ("states.spike must have shape (3, 2)", "(3, 1)"),
    ),
}


@pytest.mark.parametrize("write", [fp.write_csv, fp.write_vcd])
@pytest.mark.parametrize("what", CUT)
def test_states_are_not_cut_to_fit_a_file(what, write, tmp_path):
    name, make, words = CUT[what]
    with pytest.raises((TypeError, ValueError)) as raised:
        write(tmp_path / "states", replace(DRIVEN, **{name: make(getattr(DRIVEN, name))}))
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize("write", [fp.write_csv, fp.write_vcd])
def test_a_network_s_states_are_checked(write, tmp_path):
    for states, words in (
        (fp.NetworkStates((), VOTES), "states.layers must hold the states of at least one layer"),
        (fp.NetworkStates(DRIVEN, VOTES), "states.layers must be a tuple of States, got States"),
        (fp.NetworkStates((DRIVEN, VOTES), VOTES), "states.layers[1] must be States, got ndarray"),
        (
            fp.NetworkStates((DRIVEN,), VOTES[:, :9]),
            "states.votes must have shape (T, 10), got (3, 9)",
        ),
        (fp.NetworkStates((DRIVEN,), VOTES + 2.5), "states.votes must hold integers, got float64"),
        (
            fp.NetworkStates((DRIVEN,), VOTES + np.int64(2**40)),
            "states.votes must be in [-2147483648, 2147483647]",
        ),
        (
            fp.NetworkStates((DRIVEN,), VOTES[1:]),
            "states.layers[0].I must have shape (2, 2), got (3, 2)",
        ),
    ):
        with pytest.raises((TypeError, ValueError)) as raised:
            write(tmp_path / "states", states)
        assert words in str(raised.value)
    assert not (tmp_path / "states").exists()


@pytest.fixture
def states() -> fp.NetworkStates:
    rng = np.random.default_rng(0)
    network = fp.Network([rng.integers(-20, 60, (6, 12)), rng.integers(-50, 90, (4, 6))])
    return network.states(fp.Traces.pack(rng.random((1, 60, 12)) < 0.3))


def test_csv_holds_every_state(states, tmp_path):
    fp.write_csv(tmp_path / "states.csv", states)
    with open(tmp_path / "states.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "layer", "neuron", "I", "X", "z", "u", "h", "h_s", "spike"]
    assert len(rows) == 60 * (6 + 4)
    for row in rows:
        layer, step, neuron = states.layers[int(row["layer"])], int(row["step"]), int(row["neuron"])
        assert all(int(row[name]) == getattr(layer, name)[step, neuron] for name in list(row)[3:])


def _read_vcd(path: Path) -> dict[str, list[int]]:
    """Values over time of every signal, by its full name: what a waveform viewer makes of the
    file."""
    scope, names, values, waves = [], {}, {}, {}
    widths = {}
    for line in path.read_text().splitlines():
        if scoped := re.fullmatch(r"\$scope module (\S+) \$end", line):
            scope.append(scoped[1])
        elif line == "$upscope $end":
            scope.pop()
        elif declared := re.fullmatch(r"\$var wire (\d+) (\S+) (\S+)( \[\d+:0\])? \$end", line):
            assert declared[2] not in names
            names[declared[2]] = ".".join([*scope, declared[3]])
            widths[declared[2]] = int(declared[1])
        elif line.startswith("#"):
            if line != "#0":
                for name, value in values.items():
                    waves.setdefault(names[name], []).append(value)
        elif changed := re.fullmatch(r"b([01]+) (\S+)|([01])(\S+)", line):
            name = changed[2] or changed[4]
            value = int(changed[1] or changed[3], 2)
            values[name] = value - (
                1 << widths[name] if widths[name] > 1 and value >> widths[name] - 1 else 0
            )
        else:
            assert line in ("$timescale 1 ns $end", "$enddefinitions $end"), line
    assert not scope
    return waves


def test_vcd_holds_every_state(states, tmp_path):
    fp.write_vcd(tmp_path / "states.vcd", states)
    waves = _read_vcd(tmp_path / "states.vcd")
    assert len(waves) == 7 * (6 + 4) + 10
    for number, layer in enumerate(states.layers):
        for neuron in range(layer.I.shape[1]):
            for name in ("I", "X", "z", "u", "h", "h_s", "spike"):
                assert (
                    waves[f"layer{number}.neuron{neuron}.{name}"]
                    == getattr(layer, name)[:, neuron].astype(int).tolist()
                )
    assert waves["read_out.class3"] == states.votes[:, 3].tolist()


def test_vcd_of_neurons_driven_by_hand(tmp_path):
    driven = fp.neurons(X=np.full((30, 2), 1023))
    fp.write_vcd(tmp_path / "neurons.vcd", driven)
    assert _read_vcd(tmp_path / "neurons.vcd")["layer0.neuron1.h"] == driven.h[:, 1].tolist()
