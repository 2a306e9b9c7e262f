"""The files of data sets: both formats hold the same, and damage of any byte is named."""

import json
import sys

import numpy as np
import pyarrow.parquet
import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import __main__ as command
from lrnn_kernels.neurons import datasets
from lrnn_kernels.neurons.datasets import parquet
from tests.systems.neurons.data import every_format, same, settings, short_shards

pytestmark = pytest.mark.filterwarnings("ignore:neurons run on the slow reference")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_shards(monkeypatch)


@every_format
@pytest.mark.parametrize("kept", [0, 500, -1])
def test_a_damaged_shard_is_named(tmp_path, kept, form):
    [path] = datasets.make(settings(pairs=1, format=form), tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"{path.name} must be a whole shard"):
        list(datasets.load(tmp_path))


@every_format
def test_no_flipped_bit_goes_unseen(tmp_path, form):
    """Of any byte of a shard: it is named, or stands where a file says nothing of the neurons."""
    [path] = datasets.make(settings(pairs=2, T=30.0, format=form), tmp_path)
    [whole] = datasets.load(tmp_path)
    content, seen = path.read_bytes(), 0
    for place in range(0, len(content), 7):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        )
        try:
            [found] = datasets.load(tmp_path)
        except ValueError as error:
            assert f"{path.name} must be a whole shard" in str(error)  # noqa: PT017
            seen += 1
        else:
            assert same(found, whole)
    assert seen > len(content) / 7 / 2


@every_format
def test_a_shard_of_another_kind_is_refused(tmp_path, form):
    """By its columns, or its arrays: of another model, or another program's."""
    [path] = datasets.make(settings(pairs=1, format=form), tmp_path / "a")
    [other] = datasets.make(settings(pairs=1, format=form, model="da"), tmp_path / "b")
    stranger = tmp_path / "stranger"
    with stranger.open("wb") as file:
        if form == "npz":
            np.save(file, np.ones(3))
        else:
            pyarrow.parquet.write_table(pyarrow.table({"x": [1.0]}), file)
    for content in (other.read_bytes(), stranger.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path.name} must be a whole shard"):
            list(datasets.load(tmp_path / "a"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"law": "uniform", "T": 0.25},  # no targets, no spikes
        {"model": "da", "noise": 3.0},
        {"validation": 0.5, "test": 0.5},
        {"pairs": 30, "neurons": 2},
    ],
)
def test_both_formats_hold_the_same_neurons(tmp_path, monkeypatch, given):
    monkeypatch.setattr(parquet, "ROWS", 5)  # so that files have several row groups
    given = {"pairs": 4, "T": 40.0, **given}
    for form in datasets.FORMATS:
        datasets.make(settings(**given, format=form), tmp_path / form)
    for split in (None, *datasets.SPLITS):
        pairs = zip(
            *(datasets.load(tmp_path / form, split) for form in datasets.FORMATS), strict=True
        )
        found = list(pairs)
        assert found
        assert all(same(a, b) for a, b in found)
    assert any(len(a.spikes.times) for a, _ in found) or given["T"] < 1 or split == "test"


def test_a_shard_without_neurons_is_the_same_in_both_formats(tmp_path, monkeypatch):
    """As where all of its neurons had a negative conductance."""
    for form in datasets.FORMATS:
        given = settings(pairs=1, format=form)
        [path] = datasets.make(given, tmp_path / form)
        [shard] = datasets.load(tmp_path / form)
        shard[torch.tensor([], dtype=torch.int64)].save(path, given)
    a, b = (next(iter(datasets.load(tmp_path / form))) for form in datasets.FORMATS)
    assert len(a) == 0
    assert same(a, b)


def test_parquet_is_for_other_readers_too(tmp_path):
    """A row a neuron; names, units and meanings in the columns' metadata."""
    [path] = datasets.make(settings(pairs=3, T=40.0, format="parquet"), tmp_path)
    [shard] = datasets.load(tmp_path)
    table = pyarrow.parquet.read_table(path)
    assert table.num_rows == len(shard)
    for i, name in enumerate(neurons.STG.channel_names):
        column = table.schema.field(f"gbar_{name}")
        assert column.metadata[b"unit"] == b"mS/cm^2"
        assert name in column.metadata[b"description"].decode()
        assert table[f"gbar_{name}"].to_pylist() == shard.g[:, i].tolist()
    times = table.schema.field("spike_times")
    assert times.type == pyarrow.list_(pyarrow.field("element", pyarrow.float64(), nullable=False))
    assert times.metadata[b"unit"] == b"ms"
    assert table["spike_times"].to_pylist() == shard.spikes.to_lists()
    assert sum(map(len, shard.spikes.to_lists())) > 0
    for name in ("g_s", "g_u", "pair", "split", "firing_class"):
        assert table[name].to_pylist() == getattr(shard, name).tolist()
    assert table["count"].to_pylist() == shard.spikes.counts.tolist()
    assert table.schema.metadata[b"model"] == b"stg"
    chosen = pyarrow.parquet.read_table(path, columns=["g_s"], filters=[("split", "==", 0)])
    assert chosen.num_rows == int((shard.split == 0).sum())
    together = pyarrow.parquet.read_table(tmp_path / path.name, columns=["pair", "spike_times"])
    assert together.column_names == ["pair", "spike_times"]


def test_without_pyarrow_an_error_says_what_to_install(tmp_path, monkeypatch, capsys):
    datasets.make(settings(pairs=1, format="parquet"), tmp_path / "a")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    missing = pytest.raises(ImportError, match=r"pip install 'lrnn-kernels\[parquet\]'")
    with missing:
        datasets.make(settings(pairs=1, format="parquet"), tmp_path / "b")
    assert not (tmp_path / "b").exists()
    with pytest.raises(ImportError, match=r"pip install 'lrnn-kernels\[parquet\]'"):
        list(datasets.load(tmp_path / "a"))
    arguments = ["dataset", "stg", "--pairs", "1", "--format", "parquet"]
    assert command.main([*arguments, "--out", str(tmp_path / "b")]) == 2
    assert "pip install 'lrnn-kernels[parquet]'" in capsys.readouterr().err


def test_a_manifest_from_before_there_were_formats_is_of_npz(tmp_path):
    datasets.make(settings(pairs=1), tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["settings"].pop("format") == "npz"
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert len(list(datasets.load(tmp_path))) == 1
    assert datasets.make(settings(pairs=1), tmp_path) == []
