"""The arrays that the fixed-point network takes: any layout is the same, and what is no plain array
is refused."""

import os
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from lrnn_kernels import fixed_point as fp
from tests.systems.fixed_point.cases import DRIVEN, IMAGES, NETWORK, TRACES, VOTES


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


def test_weights_of_any_magnitude_have_a_scale():
    """W B may be beyond float64 where W is not; a power of two changes no quantized weight."""
    weights = np.random.default_rng(0).normal(size=(7, 9))
    expected = fp.quantize(weights, 256)
    for exponent in (-900, -30, 1, 60, 1020):
        scaled = np.ldexp(weights, exponent)
        got = fp.quantize(scaled, 256)
        assert np.array_equal(got.weights, expected.weights)
        assert got.scale == np.ldexp(expected.scale, -exponent)
