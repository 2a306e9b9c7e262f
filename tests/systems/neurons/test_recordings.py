"""Recordings: what is dropped, sorted, counted and kept, what is refused, and how it is said."""

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrnn_kernels import neurons
from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.recordings import RecordingError
from tests import ROOT

from .recorded import CELLS, npz, read, same

MESSY = {
    "tidy": [0.0, 10.0, 20.0],
    "messy": [5.0, np.nan, 3.0, 3.0, -1.0, 3.5, np.nan, 5.0],
    "empty": [],
    "of NaN": [np.nan],
    "pair": [7.0, 1.0],
}


def test_every_change_is_counted():
    recorded = recordings.of(list(MESSY.values()), list(MESSY))
    assert recorded.names == ["tidy", "messy", "pair"]
    assert recorded.spikes.to_lists() == [[0, 10, 20], [-1, 3, 3.5, 5], [1, 7]]
    assert recorded.spikes.times.dtype == torch.float64
    assert recorded.spikes.counts.tolist() == [3, 4, 2]
    assert recorded.spikes.offsets.tolist() == [0, 3, 7, 9]
    assert recorded.spikes.status.tolist() == [0, 0, 0]
    assert [tuple(unit) for unit in recorded.report.units] == [
        ("tidy", 3, 0, 0, False, 0, 0, 3),
        ("messy", 8, 2, 2, True, 1, 1, 4),
        ("empty", 0, 0, 0, False, 0, 0, 0),
        ("of NaN", 1, 1, 0, False, 0, 0, 0),
        ("pair", 2, 0, 0, True, 0, 0, 2),
    ]
    assert recorded.report.lines() == [
        "times: lists in memory; times in ms, the default of recordings.of.",
        "3 units with 9 spikes kept, of 5 units with 14 entries.",
        "Dropped, for they are empty: units empty, of NaN.",
        "Dropped: 3 NaN in units messy, of NaN.",
        "Dropped: 2 exact duplicates in unit messy.",
        "Sorted, for their times were not ascending: units messy, pair.",
        "Kept: 1 negative time in unit messy; only intervals count.",
        "Kept: 1 of 6 intervals (17 %) under 1 ms, refractory violations, in unit messy.",
        "Kept, but silent (fewer than 3 spikes: no prediction): unit pair.",
    ]
    assert repr(recorded) == "Recorded('times', 3 units, 9 spikes)"
    assert len(recorded) == 3


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, "ms, the default of recordings.of"),
        ({"unit": None}, "ms, the default of recordings.of"),
        ({"unit": "ms"}, "ms, as stated"),
        ({"unit": "s"}, "s, as stated"),
    ],
)
def test_a_tidy_recording_has_nothing_to_tell_but_who_stated_its_unit(stated, said):
    report = recordings.of([[0.0, 1.0, 2.0]], **stated).report
    assert report.lines() == [
        f"times: lists in memory; times in {said}.",
        "1 unit with 3 spikes kept, of 1 unit with 3 entries.",
    ]
    assert f"{report.plain()['unit']}, {report.plain()['unit_from']}" == said


def test_the_report_is_plain():
    report = recordings.of(list(MESSY.values()), list(MESSY)).report
    plain = json.loads(json.dumps(report.plain(), allow_nan=False))
    assert plain["lines"] == report.lines()
    assert plain["units"][1] == {
        "name": "messy",
        "found": 8,
        "nan": 2,
        "duplicates": 2,
        "sorted": True,
        "negative": 1,
        "refractory": 1,
        "spikes": 4,
        "silent": False,
    }
    assert plain["intervals"] == 6
    assert plain["unit"] == "ms"


def test_a_wrong_unit_shows():
    """In seconds what was stated as ms, most intervals are shorter than a refractory period."""
    seconds = [(np.arange(50) * 0.02).tolist()]
    assert recordings.of(seconds).report.lines()[-1] == (
        "Most intervals are under 1 ms: are the times in s, or of several neurons together?"
    )
    assert len(recordings.of(seconds, unit="s").report.lines()) == 2


def test_many_names_are_not_listed():
    lines = recordings.of([[1.0, 2.0, 3.0], *[[]] * 1200]).report.lines()
    assert lines[2].endswith("units 2, 3, 4, 5, 6, 7, 8, 9 and 1,192 more.")


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint64, np.float64, torch.bfloat16])
def test_times_are_of_any_type(dtype):
    times = torch.arange(9, dtype=dtype) if dtype is torch.bfloat16 else np.arange(9, dtype=dtype)
    assert recordings.of([times], unit="s").spikes.to_lists() == [[1000.0 * k for k in range(9)]]
    assert recordings.of(times[None]).spikes.to_lists() == [[*range(9)]]


def test_what_is_given_stays_as_it_was():
    times = np.array([3.0, 1.0, 1.0, 2.0])
    recordings.of([times])
    assert times.tolist() == [3, 1, 1, 2]
    tensor = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert recordings.of([tensor]).spikes.to_lists() == [[1, 2, 3]]


def test_metrics_follow():
    recorded = recordings.of([np.arange(0, 1000, 20.0), [5.0, 9.0]])
    assert neurons.mean_frequency(recorded.spikes)[0] == pytest.approx(50)
    assert neurons.firing_class(recorded.spikes).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lists", "unit", "expected"),
    [
        ([], "ms", "times: it holds no spike times"),
        ([[], [np.nan]], "ms", "times: it holds no spike times"),
        ([[1.0, 2.0]], "ms", "its one unit has 2 spikes, and 3 are the fewest that tell anything"),
        ([[1.0], [3.0, 3.0]], "ms", "none of its 2 units has more than 1 spike, and 3"),
        ([[1.0, 2.0, 3.0], [np.inf]], "ms", "unit 2 has an infinite time"),
        ([[1.0, -np.inf, np.nan]], "ms", "unit 1 has an infinite time"),
        ([[1e308, 2.0, 3.0]], "s", "unit 1 has an infinite time"),
        ([[1.0, 2.0, 1.01e9]], "ms", "unit 1 has a spike at 1.01e+09 ms, beyond 1e+09 ms"),
        ([[1.0, 2.0, -1.1e6]], "s", "unit 1 has a spike at -1.1e+09 ms, beyond 1e+09 ms (11 days)"),
    ],
)
def test_refused(lists, unit, expected):
    with pytest.raises(RecordingError, match=re.escape(expected)):
        recordings.of(lists, unit=unit)


def test_the_latest_time_is_read():
    assert len(recordings.of([[1e6, -1e6, 0.0]], unit="s").spikes.times) == 3


@pytest.mark.parametrize(
    ("kind", "expected", "call"),
    [
        (ValueError, "unit must be 's' or 'ms' (or None", lambda: read("1,2,3", unit="min")),
        (ValueError, "unit must be 's' or 'ms' (or None", lambda: recordings.of([], unit="min")),
        (ValueError, "(or None: it is not stated), got 1", lambda: recordings.of([], unit=1)),
        (TypeError, "lists must be a list of lists of times, got str", lambda: recordings.of("1")),
        (TypeError, "lists must be a list of lists", lambda: recordings.of(iter([]))),
        (TypeError, "unit 1 must be a list of numbers, got 0 dim", lambda: recordings.of([1, 2])),
        (TypeError, "unit 1 must be a list of numbers, got 1 ", lambda: recordings.of([["a"]])),
        (TypeError, "unit 1 must be a list of numbers, got 1 ", lambda: recordings.of([[True]])),
        (TypeError, "unit 2 must be a list of numbers, got 1 ", lambda: recordings.of([[], [1j]])),
        (TypeError, "unit 1 must be a list of n", lambda: recordings.of([[[1], [1, 2]]])),
        (ValueError, "names must be of 1 units, got 2", lambda: recordings.of([[1.0]], ["a", "b"])),
        (ValueError, "names must differ, got 'a' twice", lambda: recordings.of([[], []], "aa")),
        (TypeError, "data must be bytes, got str", lambda: recordings.read_bytes("1", "a.csv")),
        (TypeError, "name must be a file's name", lambda: recordings.read_bytes(b"1", 3)),
        (FileNotFoundError, "there is no file no.csv", lambda: recordings.read("no.csv")),
    ],
)
def test_errors_name_the_argument(kind, expected, call):
    with pytest.raises(kind, match=re.escape(expected)) as caught:
        call()
    assert not isinstance(caught.value, RecordingError)


@pytest.mark.parametrize("ending", [".CSV", ".csv", ".txt", ".npz"])
def test_a_file_is_its_bytes(ending, tmp_path):
    data = npz(a=[1.0, 2.0, 3.0]) if ending == ".npz" else b"1,2,3\n4,5,6,7\n"
    path = tmp_path / f"of cells{ending}"
    path.write_bytes(data)
    recorded = recordings.read(path, unit="s")
    assert recorded.source == recorded.report.source == path.name
    assert recordings.read(str(path), unit="s").report == recorded.report
    assert read(data, path.name, "s").report == recorded.report


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cells.xlsx", "a spreadsheet is not read: save it there as CSV UTF-8"),
        ("cells.pkl", "a pickle is refused, because to read one is to run it: write the times to"),
        ("cells.PICKLE", "a pickle is refused, because to read one is to run it"),
        ("cells.npy", "a .npy file names no units: write an NPZ, np.savez(path, unit='ms', name="),
        ("cells.tsv", "tabs separate the entries: write them with commas, as .csv"),
        ("cells.csv.gz", "unpack it first"),
        ("cells.nwb", ".nwb cannot be read here, only .csv, .txt, .npz"),
        ("cells", "a name without ending cannot be read here, only .csv, .txt, .npz"),
    ],
)
def test_endings_that_are_not_read(name, expected, tmp_path):
    with pytest.raises(RecordingError, match=re.escape(f"{name}: {expected}")):
        read(b"1", name)
    if name not in ("cells.nwb", "cells"):
        (tmp_path / name).write_bytes(b"1")
        with pytest.raises(RecordingError, match=re.escape(f"{name}: {expected}")):
            recordings.read(tmp_path / name, unit="ms")


def test_words_of_a_file_stay_on_one_line():
    """Names with line breaks and escapes, or very long ones, are quoted, so that neither a
    terminal nor a message of one line is at their mercy."""
    for name in ("a\nb", "\x1b[31m", "x" * 500, "", " ", "a, b", "\u202e"):
        recorded = recordings.of([[1.0, 2.0, 3.0], []], ["fine", name])
        line = recorded.report.lines()[2]
        assert line.isprintable()
        assert len(line) < 120
        with pytest.raises(RecordingError) as caught:
            recordings.of([[np.inf]], [name])
        assert str(caught.value).isprintable()
    with pytest.raises(RecordingError) as caught:
        read(b"", "a\nb.csv")
    assert str(caught.value) == "'a\\nb.csv': it is empty"


def test_no_format_is_imported_before_it_is_read():
    script = (
        "import sys\n"
        "from lrnn_kernels.neurons import recordings\n"
        "recordings.read_bytes(b'1,2,3', 'a.csv', unit='s')\n"
        "print({'neo', 'pynwb', 'h5py', 'hdmf', 'quantities', 'pandas'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


TIMES = arrays(
    np.float64,
    st.integers(0, 12),
    elements=st.one_of(st.sampled_from([0.0, -0.0, 1.0, np.nan]), st.floats(-1e9, 1e9)),
)


@given(st.lists(TIMES, min_size=1, max_size=5))
@settings(max_examples=200)
def test_cleaning_by_hand(rows):
    """Against sets of Python's."""
    expected = [sorted({float(t) for t in row if t == t}) for row in rows]
    try:
        recorded = recordings.of(rows)
    except RecordingError:
        assert max(map(len, expected)) < 3
        return
    assert recorded.spikes.to_lists() == [row for row in expected if row]
    for unit, row, kept in zip(recorded.report.units, rows, expected, strict=True):
        real = [t for t in row.tolist() if t == t]
        assert unit.found == len(row) == unit.spikes + unit.nan + unit.duplicates
        assert unit.nan == len(row) - len(real)
        assert unit.spikes == len(kept)
        assert unit.sorted == (real != sorted(real))
        assert unit.negative == sum(t < 0 for t in kept)
        assert unit.refractory == sum(b - a < 1 for a, b in itertools.pairwise(kept))


def test_cells_are_told_apart():
    """The helper that the tests of formats lean on."""
    recorded = recordings.of(list(CELLS.values()), list(CELLS))
    assert same(recorded, CELLS)
    assert not same(recorded, {**CELLS, "a": [1.0]})
