"""NPZ: written by NumPy and read back, bit for bit; and what is refused."""

import io
import re
import warnings
import zipfile

import numpy as np
import pytest

from lrnn_kernels.neurons.recordings import RecordingError

from .recorded import CELLS, npz, read, refused, same

A = np.array([1.0, 2.0, 3.0])


def test_an_archive_states_its_unit():
    assert read(npz(a=A), "a.npz", "s").spikes.to_lists() == [[1000, 2000, 3000]]
    refused(
        npz(a=A),
        "are its times in s or in ms? State the unit of time, or let the file say it (an array "
        "unit='ms' or unit='s' in it)",
        "a.npz",
    )


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_what_npz_holds_is_read(unit):
    factor = {"s": 1000.0, "ms": 1.0}[unit]
    times = [np.array(t) / factor for t in CELLS.values()]
    expected = [(t * factor).tolist() for t in times]
    cells = dict(zip(CELLS, expected, strict=True))
    flat = np.concatenate(times)
    counts = [len(t) for t in times]
    offsets = np.cumsum([0, *counts])
    owner = np.repeat(list(CELLS), counts)
    for stated in ({"unit": unit}, {"unit": np.bytes_(unit)}, {"unit": np.array([unit])}):
        assert same(read(npz(**dict(zip(CELLS, times, strict=True)), **stated), "a.npz"), cells)
    for inside, outside in (({"unit": unit}, None), ({}, unit), ({"unit": unit}, unit)):
        back = read(npz(times=flat, offsets=offsets, **inside), "a.npz", outside)
        assert same(back, dict(zip("123", expected, strict=True)))
        named = npz(times=flat, offsets=offsets, names=list(CELLS), **inside)
        assert same(read(named, "a.npz", outside), cells)
        mixed = np.random.default_rng(0).permutation(len(flat))
        back = read(npz(times=flat[mixed], units=owner[mixed], **inside), "a.npz", outside)
        assert dict(zip(back.names, back.spikes.to_lists(), strict=True)) == cells
        assert back.names == list(dict.fromkeys(owner[mixed].tolist()))
        back = read(npz(times=flat, units=offsets[:3].repeat(counts), **inside), "a.npz", outside)
        assert back.names == ["0", "4", "9"]
    compressed = io.BytesIO()
    np.savez_compressed(compressed, a=flat.astype(np.float32), b=np.arange(3), unit="ms")
    assert read(compressed.getvalue(), "a.npz").spikes[1].tolist() == [0, 1, 2]


_KINDS = "times and offsets, or times and units, or one array of times for each unit"

BROKEN_NPZ = {
    "no NPZ": (b"1,2,3", "it is no NPZ, or is cut off (np.savez writes one)"),
    "cut off": (npz(a=A)[:-30], "it is no NPZ, or is cut off (np.savez writes one)"),
    "no array": (npz(unit="ms"), f"it holds no array; expected {_KINDS}"),
    "times alone": (npz(times=A), f"it holds times; expected {_KINDS}"),
    "too much": (npz(times=A, units=A, x=A), f"it holds times, units, x; expected {_KINDS}"),
    "a table": (npz(a=A[None]), f"a must be one row of numbers, got shape (1, 3) ({_KINDS})"),
    "a number": (npz(rate=3.0, a=A), f"rate must be one row of numbers, got shape () ({_KINDS})"),
    "units for unit": (
        npz(a=A, units="ms"),
        "units is a word; is it the unit of time? Name it unit",
    ),
    "another unit": (npz(a=A, unit="us"), "its array 'unit' must be 's' or 'ms', got 'us'"),
    "a unit called unit": (npz(unit=A), "its array 'unit' must be 's' or 'ms', got 3 entries"),
    "another unit than stated": (
        npz(a=A, unit="s"),
        "the unit of time was stated as ms, but the file says s (its array 'unit')",
    ),
    "words": (npz(a=["1", "2"]), "a must hold numbers, got <U1"),
    "complex": (npz(a=A * 1j), "a must hold numbers, got complex128"),
    "objects": (
        npz(a=np.array([[1], [1, 2]], dtype=object)),
        "a holds Python objects, which are refused (to read them is to run them): save one array "
        "for each unit, np.savez(path, unit='ms', name=times, ...)",
    ),
    "offsets that end early": (
        npz(times=A, offsets=[0, 2]),
        "offsets must be whole numbers that ascend from 0 to the number of times, 3 (unit b has "
        "times[offsets[b]:offsets[b + 1]])",
    ),
    "units that are too few": (
        npz(times=A, units=[1, 2]),
        "units must name the unit of every time, got 2 for 3 times",
    ),
    "units that are times": (
        npz(times=A, units=A),
        "units must be whole numbers or names, got float64",
    ),
    "names that are too few": (
        npz(times=A, offsets=[0, 3], names=["a", "b"]),
        "it has 2 names for 1 units",
    ),
    "one name": (
        npz(times=A, offsets=[0, 3, 3], names=["a", "a"]),
        "its names are not all different",
    ),
}


@pytest.mark.parametrize("kind", BROKEN_NPZ)
def test_broken_archives_are_refused_in_words(kind):
    data, expected = BROKEN_NPZ[kind]
    refused(data, expected, "cells.npz", unit="ms")


@pytest.mark.parametrize("offsets", [[], [1, 3], [0, 2, 1, 3], [0.0, 3.0], [0, 4], [-1, 3]])
def test_offsets_that_do_not_fit(offsets):
    with pytest.raises(RecordingError, match="offsets must be whole numbers that ascend from 0"):
        read(npz(times=A, offsets=offsets), "a.npz", "ms")


def zipped(*files: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # of a name twice
        for name, content in files:
            archive.writestr(name, content)
    return file.getvalue()


def test_archives_that_are_something_else():
    array = io.BytesIO()
    np.save(array, A)
    array = array.getvalue()
    vast = array.replace(b"(3,)", b"(3000000000000,)").replace(b" " * 12 + b"\n", b"\n")
    bad_sum = zipped(("a.npy", array)).replace(array, array[:-1] + b"1")
    for data, expected in (
        (zipped(("[Content_Types].xml", b"")), "it is a spreadsheet: save it there as CSV UTF-8"),
        (zipped(("a.npy", array), ("b.txt", b"")), "it holds b.txt, which is no array"),
        (zipped(("a.npy", array), ("a.npy", array)), "it holds two arrays of one name"),
        (zipped(("a.npy", vast)), "a is cut off, or longer than it says"),
        (zipped(("a.npy", array + b"0")), "a is cut off, or longer than it says"),
        (zipped(("a.npy", array.replace(b"Y\x01", b"Y\x07"))), "an unknown version of .npy"),
        (zipped(("a.npy", b"junk")), "it is damaged (ValueError: "),
        (bad_sum, "it is damaged (BadZipFile: Bad CRC"),
    ):
        with pytest.raises(RecordingError, match=re.escape(expected)):
            read(data, "a.npz", "ms")


def test_a_small_archive_cannot_claim_all_memory():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"")
        archive.infolist()[0].file_size = 2**33 + 1
    with pytest.raises(RecordingError, match="it unpacks to more than 8,589,934,592 bytes"):
        read(file.getvalue(), "a.npz", "ms")
