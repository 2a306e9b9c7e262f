"""The fixed-point network towards the outside: bad arguments, files for simulators, and machines
without torch or a compiler."""

import csv
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrnn_kernels import fixed_point as fp
from tests import ROOT

IMAGES = np.zeros((2, 4), np.uint8)
NETWORK = fp.Network([np.ones((3, 4), np.int16)])
TRACES = fp.Traces.pack(np.zeros((2, 5, 4), np.bool_))
DRIVEN = fp.neurons(X=np.full((3, 2), 1023), backend="reference")
VOTES = np.zeros((3, 10), np.int32)

WRONG = {
    # what: (call, exception, words that the message must hold)
    "images no array": (
        lambda: NETWORK.classify([[0] * 4]),
        TypeError,
        ("images must be a NumPy array", "list"),
    ),
    "images of 3 dimensions": (
        lambda: NETWORK.classify(IMAGES[None]),
        ValueError,
        ("images must have shape (N, pixels)", "(1, 2, 4)"),
    ),
    "images of other integers": (
        lambda: NETWORK.classify(IMAGES.astype(int)),
        TypeError,
        ("images must be uint8", "int64"),
    ),
    "images beyond 1": (
        lambda: NETWORK.classify(IMAGES + 1.5),
        ValueError,
        ("images must be in [0, 1]", "1.5"),
    ),
    "images NaN": (
        lambda: fp.traces(IMAGES * np.nan),
        ValueError,
        ("images must be in [0, 1]", "nan"),
    ),
    "images of another size": (
        lambda: NETWORK.classify(IMAGES[:, :3]),
        ValueError,
        ("images must have shape (N, 4)", "(2, 3)"),
    ),
    "images without pixels": (
        lambda: fp.traces(IMAGES[:, :0]),
        ValueError,
        ("images must have 1 to 65535 pixels", "(2, 0)"),
    ),
    "frames a float": (
        lambda: NETWORK.classify(IMAGES, 5.0),
        TypeError,
        ("frames must be an integer", "float"),
    ),
    "frames below 0": (lambda: fp.traces(IMAGES, -1), ValueError, ("frames must be in [0,", "-1")),
    "silent above frames": (
        lambda: fp.traces(IMAGES, 5, silent=6),
        ValueError,
        ("silent must be in [0, 5]", "6"),
    ),
    "seed below 0": (lambda: fp.traces(IMAGES, seed=-1), ValueError, ("seed", "-1")),
    "first a bool": (
        lambda: fp.traces(IMAGES, first=True),
        TypeError,
        ("first must be an integer", "bool"),
    ),
    "no threads": (
        lambda: NETWORK.classify(IMAGES, threads=0),
        ValueError,
        ("threads must be in [1, 1024]", "0"),
    ),
    "a backend that is none": (
        lambda: NETWORK.classify(IMAGES, backend="gpu"),
        ValueError,
        ("backend", "'cpu', 'reference'", "'gpu'"),
    ),
    "traces no Traces": (
        lambda: NETWORK.run(TRACES.bits),
        TypeError,
        ("traces must be Traces", "ndarray"),
    ),
    "traces of other inputs": (
        lambda: NETWORK.run(fp.Traces.pack(np.zeros((1, 1, 5), np.bool_))),
        ValueError,
        ("traces must have 4 inputs", "5"),
    ),
    "an image that is not there": (
        lambda: NETWORK.states(TRACES, 2),
        ValueError,
        ("image must be in [0, 1]", "2"),
    ),
    "no image": (
        lambda: NETWORK.states(TRACES[:0]),
        ValueError,
        ("traces must hold at least one image",),
    ),
    "one image by number": (lambda: TRACES[0], TypeError, ("images must be a slice", "int")),
    "spikes of numbers": (
        lambda: fp.Traces.pack(np.zeros((1, 2, 3))),
        TypeError,
        ("spikes must be bool", "float64"),
    ),
    "spikes of 2 dimensions": (
        lambda: fp.Traces.pack(np.zeros((2, 3), np.bool_)),
        ValueError,
        ("spikes", "(N, T, inputs)", "(2, 3)"),
    ),
    "bits of another width": (
        lambda: fp.Traces(TRACES.bits, 9),
        ValueError,
        ("bits must have shape (N, T, 2)", "(2, 5, 1)"),
    ),
    "bits beyond the last": (
        lambda: fp.Traces(TRACES.bits + np.uint8(16), 4),
        ValueError,
        ("bits beyond input 3",),
    ),
    "bits of another type": (
        lambda: fp.Traces(TRACES.bits.astype(int), 4),
        TypeError,
        ("bits must be uint8", "int64"),
    ),
    "one matrix for layers": (
        lambda: fp.Network(np.ones((3, 4), int)),
        TypeError,
        ("layers must be a list", "ndarray"),
    ),
    "no layers": (lambda: fp.Network([]), ValueError, ("layers", "at least one")),
    "weights of floats": (
        lambda: fp.Network([np.ones((3, 4))]),
        TypeError,
        ("layers[0] must hold integers", "float64"),
    ),
    "weights too large": (
        lambda: fp.Network([np.full((3, 4), -32768)]),
        ValueError,
        ("layers[0]", "[-32767, 32767]", "-32768"),
    ),
    "weights of 1 dimension": (
        lambda: fp.Network([np.ones(3, int)]),
        ValueError,
        ("layers[0] must have shape (neurons, inputs)", "(3,)"),
    ),
    "no neurons": (
        lambda: fp.Network([np.ones((0, 4), int)]),
        ValueError,
        ("layers[0] must have 1 to 65535", "(0, 4)"),
    ),
    "layers that do not fit": (
        lambda: fp.Network([np.ones((3, 4), int), np.ones((2, 4), int)]),
        ValueError,
        ("layers[1] must have shape (2, 3)", "(2, 4)"),
    ),
    "accumulators too wide": (
        lambda: fp.Network([np.ones((3, 4), int)], accumulator_bits=33),
        ValueError,
        ("accumulator_bits", "33"),
    ),
    "quantize integers": (
        lambda: fp.quantize(np.ones((2, 2), int), 8),
        TypeError,
        ("weights must be floating point", "int64"),
    ),
    "quantize NaN": (
        lambda: fp.quantize(np.array([[1, np.nan]]), 8),
        ValueError,
        ("weights must be finite", "nan"),
    ),
    "quantize zeros": (
        lambda: fp.quantize(np.zeros((2, 2)), 8),
        ValueError,
        ("weights must not all be zero",),
    ),
    "quantize to nothing": (
        lambda: fp.quantize(np.ones((2, 2)), 0),
        ValueError,
        ("levels must be in [1, 32767]", "0"),
    ),
    "neither X nor total": (
        lambda: fp.neurons(),
        ValueError,
        ("exactly one of X and total", "none"),
    ),
    "both X and total": (
        lambda: fp.neurons(X=TRACES.bits[0], total=TRACES.bits[0]),
        ValueError,
        ("exactly one", "both"),
    ),
    "X beyond 1.0": (
        lambda: fp.neurons(X=np.full((3, 1), 1024)),
        ValueError,
        ("X must be in [-1024, 1023]", "1024"),
    ),
    "X of 1 dimension": (
        lambda: fp.neurons(X=np.zeros(3, int)),
        ValueError,
        ("X must have shape (T, neurons)", "(3,)"),
    ),
    "total of floats": (
        lambda: fp.neurons(total=np.zeros((3, 1))),
        TypeError,
        ("total must hold integers", "float64"),
    ),
    "total without neurons": (
        lambda: fp.neurons(total=np.zeros((3, 0), int)),
        ValueError,
        ("total", "(3, 0)"),
    ),
    "weights too small for a scale": (
        lambda: fp.quantize(np.full((2, 2), 5e-324), 8),
        ValueError,
        ("weights must not all be as small as", "4.94066e-324"),
    ),
    "frames an array of one": (
        lambda: fp.traces(IMAGES, np.array([5])),
        TypeError,
        ("frames must be an integer", "ndarray"),
    ),
    "seed masked": (
        lambda: fp.traces(IMAGES, seed=np.ma.array(5, mask=True)),
        TypeError,
        ("seed must be an integer", "MaskedArray"),
    ),
    "states no States": (
        lambda: fp.write_csv(os.devnull, TRACES),
        TypeError,
        ("states must be States or NetworkStates", "Traces"),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_messages_name_the_argument(what):
    call, exception, words = WRONG[what]
    with pytest.raises(exception) as raised:
        call()
    for word in words:
        assert word in str(raised.value), str(raised.value)


class Metres(np.ndarray):
    """An array whose elements mean more than their data."""


#: What takes an array: its name in messages, and a call with a right one made wrong.
TAKES = {
    "images": ("images", lambda make: NETWORK.classify(make(IMAGES), 3)),
    "images, traces": ("images", lambda make: fp.traces(make(IMAGES), 3)),
    "bits": ("bits", lambda make: fp.Traces(make(TRACES.bits), 4)),
    "spikes": ("spikes", lambda make: fp.Traces.pack(make(TRACES.unpack()))),
    "layers": ("layers[0]", lambda make: fp.Network([make(np.ones((3, 4), np.int16))])),
    "quantized layers": (
        "layers[0]",
        lambda make: fp.Network([fp.Quantized(make(np.ones((3, 4), np.int16)), 1.0, 1)]),
    ),
    "weights": ("weights", lambda make: fp.quantize(make(np.ones((2, 2))), 8)),
    "X": ("X", lambda make: fp.neurons(X=make(np.zeros((3, 1), np.int16)))),
    "total": ("total", lambda make: fp.neurons(total=make(np.zeros((3, 1), np.int32)))),
    **{
        f"states, {name}": (
            f"states.{name}",
            lambda make, name=name: fp.write_csv(
                os.devnull, replace(DRIVEN, **{name: make(getattr(DRIVEN, name))})
            ),
        )
        for name in ("I", "X", "z", "u", "h", "h_s", "spike")
    },
    "states of a network": (
        "states.layers[1].h",
        lambda make: fp.write_vcd(
            os.devnull, fp.NetworkStates((DRIVEN, replace(DRIVEN, h=make(DRIVEN.h))), VOTES)
        ),
    ),
    "votes": (
        "states.votes",
        lambda make: fp.write_vcd(os.devnull, fp.NetworkStates((DRIVEN,), make(VOTES))),
    ),
}

#: What is no plain array, or one of a type that nothing here takes.
OTHERS = {
    "masked": lambda x: np.ma.array(x, mask=np.arange(x.size).reshape(x.shape) == 0),
    "masked, without a mask": np.ma.array,
    "of a subclass": lambda x: x.view(Metres),
    "a list": lambda x: x.tolist(),
    "a tensor": lambda x: pytest.importorskip("torch").from_numpy(x.copy()),
    "objects": lambda x: x.astype(object),
    "complex": lambda x: x.astype(complex),
    "strings": lambda x: x.astype(str),
    "dates": lambda x: x.astype(np.int64).astype("datetime64[s]"),
    "durations": lambda x: x.astype(np.int64).astype("timedelta64[s]"),
    "structures": lambda x: x.astype([("a", x.dtype)]),
    "records": lambda x: x.astype([("a", x.dtype)]).view(np.recarray),
    "of no dimension": lambda x: x.reshape(-1)[0:1].reshape(()),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("what", TAKES)
def test_what_is_no_plain_array_is_refused(what, kind):
    """Nothing is read through its mask, without its unit, or after a cast that cuts it."""
    name, call = TAKES[what]
    with pytest.raises((TypeError, ValueError)) as raised:
        call(OTHERS[kind])
    assert str(raised.value).startswith(f"{name} must "), str(raised.value)


SAME = {
    "read-only": lambda x: (lambda y: (y.setflags(write=False), y)[1])(x.copy()),
    "in Fortran's order": np.asfortranarray,
    "a slice": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "of the other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "at an odd address": lambda x: _at_an_odd_address(x),
    "mapped": lambda x: _mapped(x),
}


def _at_an_odd_address(x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def _mapped(x: np.ndarray) -> np.memmap:
    with tempfile.TemporaryFile() as file:
        y = np.memmap(file, x.dtype, "w+", shape=x.shape)
        y[...] = x
    return y


@pytest.mark.parametrize("kind", SAME)
@pytest.mark.parametrize("what", TAKES)
def test_any_layout_of_an_array_is_the_same(what, kind):
    _, call = TAKES[what]
    assert _same(call(lambda x: x), call(SAME[kind]))


def test_any_layout_gives_the_same_results():
    rng = np.random.default_rng(0)
    weights, images, X = (
        rng.integers(-9, 10, (5, 12)),
        rng.random((4, 12)),
        rng.integers(-1024, 1024, (30, 3)),
    )
    expected = (
        fp.Network([weights]).classify(images, 30),
        fp.neurons(X=X),
        fp.quantize(weights / 9, 16),
    )
    for make in SAME.values():
        got = (
            fp.Network([make(weights)]).classify(make(images), 30),
            fp.neurons(X=make(X)),
            fp.quantize(make(weights / 9), 16),
        )
        assert all(map(_same, got, expected))


def _same(a, b) -> bool:
    """Whether two results hold the same numbers."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple):
        return all(map(_same, a, b))
    return (
        all(map(_same, vars(a).values(), vars(b).values()))
        if hasattr(a, "__dict__") and not isinstance(a, fp.Network)
        else True
    )


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


def test_weights_of_any_magnitude_have_a_scale():
    """W B may be beyond float64 where W is not; a power of two changes no quantized weight."""
    weights = np.random.default_rng(0).normal(size=(7, 9))
    expected = fp.quantize(weights, 256)
    for exponent in (-900, -30, 1, 60, 1020):
        scaled = np.ldexp(weights, exponent)
        got = fp.quantize(scaled, 256)
        assert np.array_equal(got.weights, expected.weights)
        assert got.scale == np.ldexp(expected.scale, -exponent)


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


def _run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
import lrnn_kernels
assert "fixed_point" in lrnn_kernels.__all__
for name in ("bmru", "nn", "explain"):
    try:
        getattr(lrnn_kernels, name)
    except ImportError as error:
        assert str(error) == f"lrnn_kernels.{name} needs torch: pip install torch", error
    else:
        raise AssertionError(name)
assert not hasattr(lrnn_kernels, "nonsense")
try:
    from lrnn_kernels import min_gru
except ImportError as error:
    assert "needs torch" in str(error), error
network = lrnn_kernels.fixed_point.Network([np.full((10, 4), 30)])
print(network.classify(np.full((2, 4), 255, np.uint8), 55).labels.tolist())
from lrnn_kernels.__main__ import main
assert main(["info"]) == 0
assert main(["check"]) == 0
"""


def test_it_works_without_torch():
    out = _run(WITHOUT_TORCH)
    assert out.startswith("[0, 0]\n")
    assert "only lrnn_kernels.fixed_point works" in out
    assert "26 compared bit for bit, 0 differ" in out


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("compiler", "no C++ compiler was found"),
        ("pybind11", "needs pybind11: pip install pybind11"),
    ],
)
def test_without_compiled_kernels_the_reference_runs_where_it_is_asked_for(
    missing, words, tmp_path
):
    script = f"""
import sys
sys.modules["torch"] = sys.modules["pybind11"] = None
import numpy as np
from lrnn_kernels.fixed_point import Network, library, traces
library.INSTALLED = library.INSTALLED.with_name("nothing.so")
network, images = Network([np.full((10, 4), 30)]), np.full((2, 4), 255, np.uint8)
print(network.classify(images, 55, backend="reference").labels.tolist())
for call in (network.classify, traces):
    try:
        call(images)
    except RuntimeError as error:
        assert {words!r} in str(error) and 'backend="reference"' in str(error), error
    else:
        raise AssertionError("a named backend must run or raise")
"""
    environment = {"LRNN_CACHE": str(tmp_path)}
    if missing == "compiler":
        environment.update(PATH=str(tmp_path), CXX="")
    assert _run(script, **environment) == "[0, 0]\n"
