"""NWB: written by pynwb and read back, bit for bit; and what is refused."""

import datetime
import re

import h5py
import numpy as np
import pynwb
import pytest

from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.recordings import RecordingError

from .recorded import CELLS

#: In seconds, as NWB has them; a unit that never spiked among them.
SECONDS = {12: [0.0125, 0.1, 0.7, 1e3 / 7], 7: [1e-3], 9: [], 3: [5.5, 4.25, 5.5, 6.0]}


@pytest.fixture
def written(tmp_path):
    """Writes an NWB file of units, each a dictionary as add_unit takes it."""

    def write(units: list[dict], columns: tuple[str, ...] = (), name: str = "cells.nwb"):
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        file = pynwb.NWBFile("of a test", name, start)
        for column in columns:
            file.add_unit_column(column, "of a test")
        for unit in units:
            file.add_unit(**unit)
        with pynwb.NWBHDF5IO(tmp_path / name, "w") as io:
            io.write(file)
        return tmp_path / name

    return write


def units(**more) -> list[dict]:
    return [{"id": name, "spike_times": times, **more} for name, times in SECONDS.items()]


@pytest.mark.parametrize("unit", [None, "s"])
def test_what_pynwb_writes_is_read(written, unit):
    recorded = recordings.read(written(units(quality="good"), ("quality",)), unit=unit)
    assert recorded.names == ["12", "7", "3"]
    assert recorded.spikes.to_lists() == [
        [1000.0 * t for t in SECONDS[12]],
        [1.0],
        [4250.0, 5500.0, 6000.0],
    ]
    assert recorded.report.lines() == [
        "cells.nwb: NWB, table of units; times in s, as the file says, NWB's standard.",
        "3 units with 8 spikes kept, of 4 units with 9 entries.",
        "Dropped, for they are empty: unit 9.",
        "Dropped: 1 exact duplicate in unit 3.",
        "Sorted, for their times were not ascending: unit 3.",
        "Kept, but silent (fewer than 3 spikes: no prediction): unit 7.",
    ]


def test_many_units_are_read(written):
    """In one go, whatever the table's other columns."""
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.random(n) * 600) for n in rng.integers(3, 900, 120)]
    recorded = recordings.read(written([{"spike_times": row} for row in rows]))
    assert recorded.names == [str(n) for n in range(120)]
    assert recorded.spikes.to_lists() == [(1000.0 * row).tolist() for row in rows]


def test_breaks_are_said(written):
    """Where a unit was observed in pieces, intervals across them are none of its own."""
    spans = [[[0.0, 1.0], [2.0, 200.0]], [[0.0, 1.0]], [[0.0, 1.0]], [[0.0, 1.0]]]
    several = [{**u, "obs_intervals": s} for u, s in zip(units(), spans, strict=True)]
    assert "1 unit was observed with breaks (obs_intervals): intervals across them are kept." in (
        recordings.read(written(several)).report.lines()
    )
    whole = recordings.read(written(units(obs_intervals=[[0.0, 9.0]]), name="whole.nwb"))
    assert not whole.report.notes


def test_one_id_is_numbered(written):
    path = written([{"id": 1, "spike_times": [0.1, 0.2, 0.3]}, {"id": 2, "spike_times": [0.4]}])
    with h5py.File(path, "a") as file:
        file["units/id"][:] = 1
    recorded = recordings.read(path)
    assert recorded.names == ["1 (1)", "1 (2)"]
    assert recorded.report.notes == ("Several units had one name: they are numbered",)


def test_refused(written, tmp_path):
    whole = written(units())
    none = written([], name="none.nwb")
    timeless = written([{"quality": "good"}], ("quality",), name="timeless.nwb")
    still = written([{"spike_times": [0.5, 0.6]}], name="still.nwb")
    far = written([{"spike_times": [0.5, 0.6, 1e7]}], name="far.nwb")
    other = tmp_path / "other.nwb"
    with h5py.File(other, "w") as file:
        file["spikes"] = [0.1, 0.2]
    (tmp_path / "cut.nwb").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "empty.nwb").write_bytes(b"")
    (tmp_path / "text.nwb").write_text("unit,time\n")
    (tmp_path / "folder.nwb").mkdir()
    for path, expected in (
        (
            none,
            "it has no table of units: were its spikes sorted, and written with add_unit(",
        ),
        (timeless, "its table of units has no spike_times (its columns: quality)"),
        (still, "its one unit has 2 spikes, and 3 are the fewest that tell anything"),
        (far, "unit 0 has a spike at 1e+10 ms, beyond 1e+09 ms (11 days); is s the right unit"),
        (other, "pynwb cannot read it (TypeError: Missing NWB version in file."),
        (tmp_path / "cut.nwb", "pynwb cannot read it (OSError: Unable to synchronously open file"),
        (tmp_path / "empty.nwb", "it is empty"),
        (tmp_path / "text.nwb", "it is no HDF5 file, which NWB files are"),
        (tmp_path / "folder.nwb", "it is a folder, not a file"),
    ):
        with pytest.raises(RecordingError, match=re.escape(f"{path.name}: {expected}")) as caught:
            recordings.read(path)
        assert str(caught.value).isprintable()
    with pytest.raises(RecordingError, match=r"stated as ms, but the file says s \(NWB's standard"):
        recordings.read(whole, unit="ms")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("spike_times_index", [4, 2, 5, 9], "its spike_times are damaged"),
        ("spike_times_index", [4, 5, 5, 8], "its units say 8 spike times, and there are 9"),
        ("spike_times_index", [4, 5, 5, 99], "its units say 99 spike times, and there are 9"),
    ],
)
def test_an_index_that_does_not_fit(written, field, value, expected):
    path = written(units())
    with h5py.File(path, "a") as file:
        file["units"][field][:] = value
    with pytest.raises(RecordingError, match=re.escape(expected)):
        recordings.read(path)


def test_without_pynwb(written, monkeypatch):
    path = written(units())
    monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
    with pytest.raises(ImportError, match=r"needs pynwb: pip install 'lrnn-kernels\[nwb\]'"):
        recordings.read(path)


def test_neo_writes_what_is_read(tmp_path):
    """An NWB file by another library than pynwb's own calls."""
    import neo

    trains = [neo.SpikeTrain(t, units="ms", t_stop=1e7, id=n) for n, t in enumerate(CELLS.values())]
    segment = neo.Segment()
    segment.spiketrains.extend(trains)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    block = neo.Block(session_description="of a test", identifier="cells", session_start_time=start)
    block.segments.append(segment)
    io = neo.io.NWBIO(str(tmp_path / "neo.nwb"), mode="w")
    io.write_all_blocks([block])
    io.close() if hasattr(io, "close") else io._io.close()
    recorded = recordings.read(tmp_path / "neo.nwb")
    for found, times in zip(recorded.spikes.to_lists(), CELLS.values(), strict=True):
        assert found == pytest.approx(times, rel=1e-15)
