"""neo: its objects, files that it writes, and files of manufacturers that it reads."""

import logging
import pickle
import re
import struct
import sys

import neo
import numpy as np
import pytest
import quantities as pq
import scipy.io

from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.recordings import RecordingError, neo_files

from .recorded import CELLS, same


def segment_of(cells: dict[str, list[float]], units="ms", **annotations) -> neo.Segment:
    segment = neo.Segment()
    for name, times in cells.items():
        segment.spiketrains.append(
            neo.SpikeTrain(times, units=units, t_start=-1e12, t_stop=1e12, name=name, **annotations)
        )
    return segment


def block_of(*segments: neo.Segment) -> neo.Block:
    block = neo.Block()
    block.segments.extend(segments)
    return block


def test_spike_trains_are_read():
    recorded = recordings.from_neo(segment_of(CELLS))
    assert same(recorded, {n: sorted(times) for n, times in CELLS.items()})
    assert same(recordings.from_neo(block_of(segment_of(CELLS))), CELLS)
    assert recorded.report.lines()[0] == (
        "neo: spike trains in memory; times in ms, as the spike trains say."
    )


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("s", 1000.0),
        ("ms", 1.0),
        ("us", 1e-3),
        ("min", 6e4),
        (pq.CompoundUnit("1/30000*s"), 1 / 30),
    ],
)
def test_their_own_unit_counts(units, factor):
    times = np.array([3.0, 1.0, 7.5])
    found = recordings.from_neo(segment_of({"a": times}, units)).spikes[0]
    assert found.tolist() == pytest.approx((np.sort(times) * factor).tolist(), rel=1e-15)
    if factor in (1.0, 1000.0):
        assert found.tolist() == (np.sort(times) * factor).tolist()


def test_several_units_of_time():
    segment = segment_of({"a": [1.0, 2.0, 3.0]})
    segment.spiketrains.append(neo.SpikeTrain([1.0, 2.0, 3.0], units="s", t_stop=9, name="b"))
    recorded = recordings.from_neo(segment)
    assert recorded.spikes.to_lists() == [[1, 2, 3], [1000, 2000, 3000]]
    assert recorded.report.unit == "ms and s"


def test_no_interval_crosses_segments():
    recorded = recordings.from_neo(block_of(segment_of(CELLS), segment_of({"a": [1.0, 2.0, 3.0]})))
    assert recorded.names == [*(f"segment 1: {name}" for name in CELLS), "segment 2: a"]
    assert recorded.spikes[-1].tolist() == [1, 2, 3]
    assert recorded.report.notes == (
        "2 segments: the trains of each are units of their own, and no interval crosses segments",
    )


def test_names():
    segment = segment_of({"a": [1.0, 2.0, 3.0]})
    for name, annotations in (("a", {}), ("a (1)", {}), (None, {}), ("", {"id": 17})):
        segment.spiketrains.append(
            neo.SpikeTrain([1.0, 2.0], units="s", t_stop=9, name=name, **annotations)
        )
    recorded = recordings.from_neo(segment)
    assert recorded.names == ["a (2)", "a (3)", "a (1)", "4", "17"]
    assert recorded.report.notes == ("Several units had one name: they are numbered",)


@pytest.mark.parametrize(
    ("kind", "what", "expected"),
    [
        (TypeError, [], "segment_or_block must be a neo Segment or Block, got list"),
        (RecordingError, neo.Segment(), "neo: it holds no spike times"),
        (RecordingError, neo.Block(), "neo: it holds no spike times"),
        (RecordingError, segment_of({"a": [1.0, 2.0]}), "neo: its one unit has 2 spikes"),
        (RecordingError, segment_of({"a": [1.0, 2e8]}, "s"), "unit a has a spike at 2e+11 ms"),
    ],
)
def test_refused(kind, what, expected):
    with pytest.raises(kind, match=re.escape(expected)):
        recordings.from_neo(what)


def test_what_neo_writes_is_read(tmp_path):
    path = tmp_path / "cells.mat"
    neo.io.NeoMatlabIO(str(path)).write_block(block_of(segment_of(CELLS)))
    for unit in (None, "ms"):
        recorded = recordings.read(path, unit=unit)
        assert same(recorded, CELLS)
    assert recorded.report.layout == "neo's NeoMatlabIO"
    expected = "the unit of time was stated as s, but its spike trains are in ms"
    with pytest.raises(RecordingError, match=expected):
        recordings.read(path, unit="s")


def nex(cells: dict[str, list[int]], rate: float) -> bytes:
    """A file of NeuroExplorer, by its format's description: times are whole ticks."""
    start = 544 + 208 * len(cells)
    heads, data = b"", b""
    for name, ticks in cells.items():
        heads += struct.pack("<ii64sIi", 0, 100, name.encode(), start + len(data), len(ticks))
        heads = heads.ljust(208 * (len(heads) // 208 + 1), b"\0")
        data += np.array(ticks, "<i4").tobytes()
    head = struct.pack("<4si256sdiii", b"NEX1", 100, b"of a test", rate, 0, 10**6, len(cells))
    return head.ljust(544, b"\0") + heads + data


def test_a_manufacturers_file_is_read_lazily(tmp_path, monkeypatch):
    """Its spike times alone: traces may be of many gigabytes."""
    ticks = {"sig001a": [40, 90, 1000, 123456], "sig001b": [7, 9, 30]}
    path = tmp_path / "cells.nex"
    path.write_bytes(nex(ticks, 40000.0))
    asked = []
    whole = neo.io.NeuroExplorerIO.read_block
    monkeypatch.setattr(
        neo.io.NeuroExplorerIO,
        "read_block",
        lambda self, *args, **options: (asked.append(options), whole(self, *args, **options))[1],
    )
    recorded = recordings.read(path)
    assert [call["lazy"] for call in asked] == [True]
    expected = [[1000.0 * (t / 40000.0) for t in row] for row in ticks.values()]
    assert recorded.spikes.to_lists() == expected
    assert [name.split("#")[0] for name in recorded.names] == list(ticks)
    assert recorded.report.unit == "s"


def test_a_folder_is_read(tmp_path):
    """Of Phy, in samples, with their rate beside them."""
    folder = tmp_path / "sorted"
    folder.mkdir()
    np.save(folder / "spike_times.npy", np.array([30, 60, 300, 600, 900, 1200]))
    np.save(folder / "spike_clusters.npy", np.array([5, 2, 5, 5, 2, 2]))
    np.save(folder / "spike_templates.npy", np.array([5, 2, 5, 5, 2, 2]))
    np.save(folder / "amplitudes.npy", np.ones(6))
    (folder / "params.py").write_text("sample_rate = 30000.0\nn_channels_dat = 4\n")
    recorded = recordings.read(folder)
    lists = sorted(recorded.spikes.to_lists())
    assert lists == [pytest.approx([1, 10, 20]), pytest.approx([2, 30, 40])]
    assert recorded.report.layout == "neo's PhyIO"


def test_files_that_are_not_read(tmp_path, capfd, caplog):
    scipy.io.savemat(tmp_path / "other.mat", {"times": [1.0, 2.0, 3.0]})
    neo.io.NeoMatlabIO(str(tmp_path / "none.mat")).write_block(block_of(neo.Segment()))
    for name in ("a.foo", "a.plx", "a.smr", "a.nix", "a.ntt", "a.gdf", "a", "a.mat"):
        (tmp_path / name).write_bytes(b"junk" * 100)
    (tmp_path / "a.nex").write_bytes(nex({"a": [1, 2, 3]}, 1.0)[:600])
    (tmp_path / "none.nex").write_bytes(nex({}, 1.0))
    (tmp_path / "empty.plx").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, expected in (
        (
            "other.mat",
            "neo's NeoMatlabIO finds no spike trains in it: of .mat files neo reads its own; write",
        ),
        (
            "none.mat",
            "neo's NeoMatlabIO finds no spike trains in it: of .mat files neo reads its own; write",
        ),
        ("a.mat", "neo cannot read it (NeoMatlabIO: ValueError: Unknown mat file type"),
        ("a.foo", ".foo is none of .csv, .txt, .npz and .nwb, and neo knows no such format of"),
        ("a.gdf", ".gdf is none of .csv, .txt, .npz and .nwb, and neo knows no such format of"),
        ("a", "a name without ending is none of .csv, .txt, .npz and .nwb, and neo knows"),
        ("folder", "a folder is none of .csv, .txt, .npz and .nwb, and neo knows no such"),
        ("a.plx", "neo cannot read it (PlexonIO: "),
        ("a.nex", "neo cannot read it (NeuroExplorerIO: "),
        ("a.nix", "neo cannot read it (NixIO: ImportError: Failed to import NIX."),
        ("none.nex", "neo's NeuroExplorerIO finds no spike trains in it: were its spikes sorted?"),
        ("a.ntt", "neo reads this format by the name of the folder, not of its files"),
        ("empty.plx", "it is empty"),
    ):
        with pytest.raises(RecordingError, match=re.escape(f"{name}: {expected}")) as caught:
            recordings.read(tmp_path / name)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger("neo").level == logging.NOTSET


class Runs:
    """What a pickle can do to who reads it."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".PKL", ".nex", ".mat", ".csv", ".npz"])
def test_no_pickle_is_read(ending, tmp_path):
    path = tmp_path / f"block{ending}"
    path.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(RecordingError):
        recordings.read(path, unit="ms")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / path.name).write_bytes(pickle.dumps(Runs()))
    with pytest.raises(RecordingError):
        recordings.read(folder)


def test_readers_that_are_left_out_are_neos():
    """Those whose times have a unit, or a rate, by default alone, and those that are unsafe."""
    assert {io.__name__ for io in neo.io.iolist} >= neo_files.LEFT_OUT


def test_without_neo(tmp_path, monkeypatch):
    path = tmp_path / "cells.plx"
    path.write_bytes(b"junk")
    monkeypatch.setitem(sys.modules, "neo", None)
    for call in (lambda: recordings.read(path), lambda: recordings.from_neo(None)):
        with pytest.raises(ImportError, match=r"needs neo: pip install 'lrnn-kernels\[neo\]'"):
            call()
