"""Data sets: what a shard depends on, and that nothing is lost or there twice."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import __main__ as command
from lrnn_kernels.neurons import datasets
from lrnn_kernels.neurons.datasets import shards
from tests.systems.neurons.data import every_format, settings, short_shards

pytestmark = pytest.mark.filterwarnings("ignore:neurons run on the slow reference")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_shards(monkeypatch)


def bytes_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@every_format
def test_a_data_set_holds_what_it_says(tmp_path, form):
    written = datasets.make(settings(law="dic", format=form), tmp_path)
    assert [path.name for path in written] == [f"shard-0000{k}.{form}" for k in range(3)]
    found = list(datasets.load(tmp_path))
    assert torch.equal(torch.cat([s.pair for s in found]).unique(), torch.arange(10))
    for shard in found:
        assert len(shard) + shard.dropped == 3 * (4 if shard.pair[0] < 8 else 2)
        dics = neurons.dic("stg", shard.g, -51.0)
        torch.testing.assert_close(dics[:, 1], shard.g_s, rtol=0, atol=0.05)
        torch.testing.assert_close(dics[:, 2], shard.g_u, rtol=0, atol=0.05)
        assert len(shard.spikes) == len(shard.firing_class) == len(shard)
    about = (tmp_path / "README.md").read_text()
    assert "mS/cm^2" in about
    for name in (*neurons.STG.channel_names, "g_s", "status", f"shard-*.{form}"):
        assert name in about


def test_splits_go_by_pairs(tmp_path):
    datasets.make(settings(pairs=24, validation=0.3, test=0.3), tmp_path)
    seen = {}
    for number, split in enumerate(datasets.SPLITS):
        for shard in datasets.load(tmp_path, split):
            assert (shard.split == number).all()
            for pair in shard.pair.unique().tolist():
                assert seen.setdefault(pair, split) == split
    assert set(seen.values()) == set(datasets.SPLITS)
    assert len(seen) == 24


@every_format
def test_a_shard_depends_on_its_number_and_the_settings_alone(tmp_path, form):
    datasets.make(settings(format=form), tmp_path / "whole")
    threads = torch.get_num_threads()
    for rank in (2, 0, 1):
        torch.set_num_threads(rank + 1)
        datasets.make(settings(format=form), tmp_path / "ranks", rank=rank, world=3)
    torch.set_num_threads(threads)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "ranks")
    longer = datasets.make(settings(format=form, pairs=12), tmp_path / "longer")
    assert longer[0].read_bytes() == (tmp_path / f"whole/shard-00000.{form}").read_bytes()
    other = datasets.make(settings(format=form, seed=1), tmp_path / "other")
    assert other[0].read_bytes() != longer[0].read_bytes()


@every_format
def test_an_interrupted_one_goes_on(tmp_path, monkeypatch, form):
    datasets.make(settings(format=form), tmp_path / "whole")
    made = shards.made

    def interrupted(given, number, **options):
        if number == 1:
            raise KeyboardInterrupt
        return made(given, number, **options)

    folder = tmp_path / "again"
    monkeypatch.setattr(shards, "made", interrupted)
    with pytest.raises(KeyboardInterrupt):
        datasets.make(settings(format=form), folder)
    (folder / f"shard-00001.{form}.77.part").write_bytes(b"half")  # as a kill leaves it
    with pytest.raises(ValueError, match=rf"without shard-00001\.{form}, and 2 of 3 in all"):
        datasets.load(folder)
    monkeypatch.setattr(shards, "made", made)
    calls = []
    written = datasets.make(settings(format=form), folder, progress=lambda *n: calls.append(n))
    assert [path.name for path in written] == [f"shard-0000{k}.{form}" for k in (1, 2)]
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert datasets.make(settings(format=form), folder) == []
    (folder / f"shard-00001.{form}.77.part").unlink()
    assert bytes_of(folder) == bytes_of(tmp_path / "whole")


@every_format
def test_a_killed_process_leaves_whole_shards(tmp_path, form):
    """kill -9 at some moment, again and again, until all is there."""
    datasets.make(settings(T=0.25, format=form), tmp_path / "whole")
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from lrnn_kernels.neurons import datasets\n"
        "datasets.settings.SHARD = 4\n"
        "s = datasets.Settings('stg', pairs=10, neurons=3, T=0.25, format=sys.argv[2])\n"
        "datasets.make(s, sys.argv[1], progress=lambda done, n: print(done, flush=True))\n"
    )
    folder = tmp_path / "killed"
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), form], stdout=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            if line.strip() in ("1", "2"):
                process.kill()
                break
        process.wait()
    datasets.make(settings(T=0.25, format=form), folder)
    whole = bytes_of(tmp_path / "whole")
    assert {n: b for n, b in bytes_of(folder).items() if not n.endswith(".part")} == whole


def test_another_data_set_is_refused(tmp_path):
    datasets.make(settings(), tmp_path / "a")
    with pytest.raises(ValueError, match="of other settings: pairs = 10, not 11"):
        datasets.make(settings(pairs=11), tmp_path / "a")
    with pytest.raises(ValueError, match="of other settings: format = 'npz', not 'parquet'"):
        datasets.make(settings(format="parquet"), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"folder must be empty or hold a data set.*notes\.txt"):
        datasets.make(settings(), tmp_path / "b")
    with pytest.raises(ValueError, match="folder must hold a data set"):
        datasets.load(tmp_path / "b")
    (tmp_path / "b/manifest.json").write_text("{")
    with pytest.raises(ValueError, match="folder must hold a data set"):
        datasets.load(tmp_path / "b")


@pytest.mark.parametrize("law", ["uniform", "gamma"])
def test_independent_conductances_have_no_targets(tmp_path, law):
    datasets.make(settings(law=law, pairs=2), tmp_path)
    (shard,) = datasets.load(tmp_path)
    assert len(shard) == 6
    assert shard.g_s.isnan().all()
    assert (shard.g > 0).all()


def test_noise_goes_by_the_neuron(tmp_path):
    """Neurons of two shards have other noise, and neurons of one data set the same again."""
    for name in ("a", "b"):
        datasets.make(settings(pairs=8, noise=3.0, T=0.5), tmp_path / name)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "hh"}, "model must have a recipe for populations, and hh has none"),
        ({"pairs": 0}, "pairs must be"),
        ({"neurons": 1.5}, "neurons must be"),
        ({"law": "normal"}, "law must be one of"),
        ({"T": -1.0}, "T must be in"),
        ({"discard": 7.0}, "discard must be in"),
        ({"validation": 0.6, "test": 0.6}, "validation and test must be at most 1 together"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"seed": -1}, "seed must be"),
        ({"format": "csv"}, "format must be one of"),
    ],
)
def test_bad_settings(given, says):
    with pytest.raises((ValueError, TypeError), match=says):
        settings(**given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"T": 1.01}, "T must be a multiple of dt, 0.025 ms, got 1.01 ms"),
        ({"dt": 0.1}, "dt must be at most 0.05 ms"),
        ({"dt": 0.03, "T": 3.0, "noise": 1.0}, "noise.sampling must be a multiple of dt"),
        ({"seed": 2**64, "noise": 1.0}, "seed must be below"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_what_cannot_be_simulated_claims_no_folder(tmp_path, given, says):
    given = dict(given)
    backend = given.pop("backend", "auto")
    with pytest.raises(ValueError, match=says):
        datasets.make(settings(**given), tmp_path / "a", backend=backend)
    assert not (tmp_path / "a").exists()


def test_a_model_that_is_not_known_by_its_name_is_refused():
    for changed in ({"name": "mine"}, {"dt": 0.0125}):
        with pytest.raises(ValueError, match="model must be one of stg, da, hh"):
            settings(model=dataclasses.replace(neurons.STG, **changed))
    assert settings(model=neurons.STG) == settings(model="stg")


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"settings": {"model": "stg", "pairs": 0}}']
)
def test_a_damaged_manifest_is_no_data_set(tmp_path, content):
    datasets.make(settings(pairs=1), tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    for use in (lambda: datasets.load(tmp_path), lambda: datasets.make(settings(), tmp_path)):
        with pytest.raises(ValueError, match="folder must hold a data set, got"):
            use()


@pytest.mark.parametrize("links", [True, False])
def test_of_two_that_begin_at_once_one_is_refused(tmp_path, monkeypatch, links):
    """The other's manifest comes between this one's look for it and its own."""
    dumps, others = json.dumps, []

    def slowly(*args, **options):
        monkeypatch.setattr(json, "dumps", dumps)
        others.extend(datasets.make(settings(pairs=1, seed=1), tmp_path))
        return dumps(*args, **options)

    def unknown(*args):
        raise PermissionError

    monkeypatch.setattr(json, "dumps", slowly)
    if not links:
        monkeypatch.setattr("os.link", unknown)
    with pytest.raises(ValueError, match="folder holds a data set of other settings: seed = 1"):
        datasets.make(settings(pairs=1, seed=2), tmp_path)
    assert len(others) == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["README.md", "manifest.json", "shard-00000.npz"]


def test_processes_of_two_machines_may_have_one_number(tmp_path, monkeypatch):
    """One writes all of it while the other waits for its disk."""
    monkeypatch.setattr("os.getpid", lambda: 7)
    fsync, waited = os.fsync, []

    def slowly(file):
        if not waited:
            waited.append(file)
            datasets.make(settings(pairs=1), tmp_path / "a")
            waited.clear()
        fsync(file)

    datasets.make(settings(pairs=1), tmp_path / "b")
    for missing in ("manifest.json", "README.md", "shard-00000.npz"):
        monkeypatch.setattr("os.fsync", fsync)
        datasets.make(settings(pairs=1), tmp_path / "a")
        (tmp_path / "a" / missing).unlink()
        if missing == "manifest.json":
            (tmp_path / "a" / "shard-00000.npz").unlink()
        monkeypatch.setattr("os.fsync", slowly)
        datasets.make(settings(pairs=1), tmp_path / "a")
        assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_a_kill_before_the_readme_leaves_it_to_the_next(tmp_path):
    datasets.make(settings(pairs=1), tmp_path)
    before = bytes_of(tmp_path)
    (tmp_path / "README.md").unlink()
    assert datasets.make(settings(pairs=1), tmp_path) == []
    assert bytes_of(tmp_path) == before


def test_bad_ranks(tmp_path):
    with pytest.raises(ValueError, match="rank must be below world = 2, got 2"):
        datasets.make(settings(), tmp_path, rank=2, world=2)
    with pytest.raises(TypeError, match=r"settings must be datasets\.Settings, got dict"):
        datasets.make({}, tmp_path)


def test_the_command(tmp_path, capsys, monkeypatch):
    arguments = ["dataset", "stg", "--pairs", "6", "--neurons", "2", "--T", "0.5"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        assert command.main([*arguments, "--out", str(tmp_path / "a")]) == 0
    assert "1 shards made, 2 in all" in capsys.readouterr().out
    content = json.loads((tmp_path / "a/manifest.json").read_text())
    assert content["settings"]["pairs"] == 6
    assert content["settings"]["format"] == "npz"
    other = [*arguments, "--format", "parquet", "--out", str(tmp_path / "b")]
    assert command.main(other) == 0
    assert (tmp_path / "b/shard-00001.parquet").exists()
    monkeypatch.setenv("RANK", "x")
    assert command.main([*arguments, "--out", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err == "error: RANK must be a whole number, got 'x'\n"
    monkeypatch.setenv("RANK", "0")
    assert command.main([*arguments, "--seed", "3", "--out", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err.startswith("error: folder holds a data set of other settings")
