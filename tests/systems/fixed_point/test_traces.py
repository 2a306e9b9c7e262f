"""Input traces of the fixed-point network: what rate coding promises, and that a seed says it
all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrnn_kernels import fixed_point as fp
from lrnn_kernels.fixed_point import reference


def _digits(number: int, pixels: int = 784, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (number, pixels)) * (rng.random((number, pixels)) < 0.3)).astype(
        np.uint8
    )


def test_philox_known_answers():
    """The published test vectors of Philox4x32-10."""
    ones = 0xFFFFFFFF
    cases = [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ones, ones, ones, ones), 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for counter, key, expected in cases:
        assert tuple(reference.philox(np.array(counter), key).tolist()) == expected


@pytest.mark.parametrize(("frames", "silent"), [(220, 20), (55, 5), (44, 4)])
def test_shape_of_a_trace(frames, silent):
    images = _digits(20)
    spikes = fp.traces(images, frames, seed=3).unpack()
    assert spikes.shape == (20, frames, 784)
    assert not spikes[:, :silent].any()
    assert np.array_equal(spikes[:, -1], images >= 128)
    drawn = spikes[:, silent:-1]
    assert not (drawn[:, 1:] & drawn[:, :-1]).any()
    assert not drawn[:, :, :].any(1)[images == 0].any()


def test_the_rate_is_the_grey_levels():
    """A pixel that draws a spike with probability p, but never twice running, spikes with rate p
    / (1 + p)."""
    levels = np.array([0, 1, 64, 127, 128, 255, 255, 255], np.uint8)
    spikes = fp.traces(np.tile(levels, (400, 1)), 501, silent=0, seed=7).unpack()[:, 1:-1]
    p = 0.25 * levels / 255
    expected = p / (1 + p)
    error = np.sqrt(expected / (400 * 499))  # more than the standard error: spikes repel each other
    assert (np.abs(spikes.mean((0, 1)) - expected) <= 5 * error).all()
    full = spikes[:, :, 5:].reshape(400, -1).astype(float)
    assert (
        abs(np.corrcoef(full[:-1].ravel(), full[1:].ravel())[0, 1]) < 0.01
    )  # neighbouring images share nothing
    assert abs(np.corrcoef(spikes[:, :, 6].ravel(), spikes[:, :, 7].ravel())[0, 1]) < 0.015


def test_a_seed_says_it_all():
    images = _digits(5, 100)
    first = fp.traces(images, 55, seed=2**64 - 1)
    assert np.array_equal(first.bits, fp.traces(images, 55, seed=2**64 - 1).bits)
    for other in (
        fp.traces(images, 55, seed=0),
        fp.traces(images, 55, seed=2**63 - 1),
        fp.traces(images, 55, seed=2**64 - 1, first=1),
    ):
        assert not np.array_equal(first.bits, other.bits)


@given(
    number=st.integers(0, 4),
    pixels=st.sampled_from([1, 7, 8, 9, 63, 64, 65, 200, 784]),
    frames=st.integers(0, 30),
    data=st.data(),
    seed=st.integers(0, 2**64 - 1),
    first=st.sampled_from([0, 5, 2**32 - 2, 2**63 - 9]),
)
def test_kernels_equal_the_reference(number, pixels, frames, data, seed, first):
    silent = data.draw(st.integers(0, frames))
    images = _digits(number, pixels, seed % 1000)
    arguments = {"silent": silent, "seed": seed, "first": first}
    got = fp.traces(images, frames, **arguments, threads=2)
    assert np.array_equal(
        got.bits, fp.traces(images, frames, **arguments, backend="reference").bits
    )
    assert got.bits.shape == (number, frames, -(-pixels // 8))
    pieces = [
        fp.traces(images[i : i + 1], frames, **{**arguments, "first": first + i}).bits
        for i in range(number)
    ]
    assert number == 0 or np.array_equal(np.concatenate(pieces), got.bits)


def test_every_threshold_equals_the_references():
    """So many draws that a threshold off by one of 65536 shows."""
    images = np.random.default_rng(0).integers(1, 256, (20, 784), np.uint8)
    assert np.array_equal(
        fp.traces(images, 110, seed=5).bits,
        fp.traces(images, 110, seed=5, backend="reference").bits,
    )


def test_a_single_coded_step_is_the_binarized_digit():
    images = _digits(2, 30)
    assert np.array_equal(fp.traces(images, 1).unpack()[:, 0], images >= 128)
    assert not fp.traces(images, 3, silent=3).unpack().any()
    assert fp.traces(np.full((1, 4), 0.5), 1).unpack().all()


def test_packing_is_undone_by_unpacking():
    spikes = np.random.default_rng(0).random((3, 4, 21)) < 0.5
    traces = fp.Traces.pack(spikes)
    assert np.array_equal(traces.unpack(), spikes)
    assert np.array_equal(traces[1:2].unpack(), spikes[1:2])
    assert len(traces) == 3
    assert traces.bits[0, 0, 2] >> 4 & 1 == spikes[0, 0, 20]


def test_traces_say_how_many_they_are():
    """And not their bits."""
    traces = fp.Traces.pack(np.ones((5, 55, 60), np.bool_))
    assert repr(traces) == "Traces(5 images, 55 steps, 60 inputs)"
    assert repr(traces[:2]) == "Traces(2 images, 55 steps, 60 inputs)"
