"""Bad arguments of the fixed-point network: the message names the argument, what was got and what
was expected."""

import os

import numpy as np
import pytest

from lrnn_kernels import fixed_point as fp
from tests.systems.fixed_point.cases import IMAGES, NETWORK, TRACES

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
