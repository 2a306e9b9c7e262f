"""python -m lrnn_kernels.neurons twins: what it writes, and how it refuses; and docs/twins.md."""

import contextlib
import csv
import json
import re

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import __main__, exports, network
from lrnn_kernels.neurons.datasets import files
from lrnn_kernels.neurons.gui import __main__ as page
from tests import ROOT


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    base = neurons.spiking_population("stg", 2, seed=21).g
    g = torch.cat(
        [
            neurons.neuromodulate("stg", base[:1], g_s=-8.0, g_u=6.0).g,
            neurons.neuromodulate("stg", base[1:], g_s=6.0, g_u=5.0).g,
        ]
    )
    lists = neurons.simulate("stg", g, 4000, discard=1000).spikes.to_lists()
    path = tmp_path_factory.mktemp("recorded") / "cells.csv"
    lines = ["unit,time_s", *(f"=A{b},{t / 1000}" for b, row in enumerate(lists) for t in row)]
    path.write_text("\n".join([*lines, "=A0,nan", "quiet,1.0", "quiet,2.0", ""]))
    return path


def run(*arguments) -> int:
    return __main__.main([str(x) for x in arguments])


def test_twins_of_a_file(recording, tmp_path, capsys):
    assert run("twins", recording, "--out", tmp_path, "--n", 3, "--seed", 4) == 0
    said = capsys.readouterr().out
    assert "Dropped: 1 NaN" in said
    assert "=A0: bursting, g_s -" in said
    assert "=A1: spiking, g_s " in said
    for kind in ("bursting", "spiking"):
        assert re.search(rf"; twins: \d+ % {kind}, [\d.]+ Hz \(recording [\d.]+ Hz\)\n", said)
    assert "quiet: silent" in said
    about = json.loads((tmp_path / "twins.json").read_text())
    assert about["version"]
    assert about["weights"]["model"] == "stg"
    assert about["report"]["unit"] == "s"
    burster, spiker, quiet = about["units"]
    assert burster["firing_class"] == "bursting"
    assert burster["prediction"]["g_s"] < 0 < spiker["prediction"]["g_s"]
    assert set(spiker["twins"]) == {"of_its_class", "rate_Hz", "rate_error", "spiking_rate"}
    assert spiker["twins"]["of_its_class"] > 0.6
    assert quiet["prediction"]["g_s"] is None
    assert quiet["doubts"]
    header, *rows = csv.reader((tmp_path / "conductances.csv").open())
    assert header[2] == "g_Na (mS/cm^2)"
    assert [row[:2] for row in rows] == [[f"'=A{b}", str(i)] for b in (0, 1) for i in (1, 2, 3)]
    recorded = neurons.recordings.read(recording)
    found = neurons.twins(recorded.spikes, 3, seed=4)
    g = torch.tensor([[float(x) for x in row[2:-1]] for row in rows], dtype=torch.float64)
    torch.testing.assert_close(g, found.g[:2].flatten(0, 1), rtol=1e-8, atol=0)
    assert [int(row[-1]) for row in rows] == found.spikes.counts[:6].tolist()
    again = neurons.recordings.read(tmp_path / "spikes.csv")
    assert again.names == [f"'=A{b} twin {i}" for b in (0, 1) for i in (1, 2, 3)]
    settled = found.spikes.times - neurons.STG.recipe.protocol[1]
    torch.testing.assert_close(again.spikes.times, settled, rtol=0, atol=1e-3)
    assert (tmp_path / "twins.png").stat().st_size > 20_000


def test_other_weights_are_taken(recording, tmp_path):
    torch.manual_seed(0)
    net = neurons.DICsNet()
    net.provenance = {"who": "nobody"}
    net.save(tmp_path / "mine.safetensors")
    weights = ("--weights", tmp_path / "mine.safetensors")
    assert run("twins", recording, "--out", tmp_path, "--n", 1, *weights) == 0
    assert json.loads((tmp_path / "twins.json").read_text())["weights"] == {"who": "nobody"}


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"", ["--unit", "ms"], "empty"),
        (b"a,b\nc,d\n", ["--unit", "ms"], "a"),
        (b"1,2,inf,4\n", ["--unit", "ms"], "inf"),
        (b"1,2,3e9,4\n", ["--unit", "ms"], "1e"),
        (b"1,2\n3,4\n", ["--unit", "ms"], "spikes"),
        (b"10,20,30\n", [], "unit of time"),
        (b"", ["--model", "da"], "--weights must be given for --model da: the package has weights"),
        (b"", ["--n", "0"], "--n must be at least 1"),  # before anything is read
        (b"", ["--seed", "-1"], "--seed must be at least 0"),
        (b"", ["--weights", "none"], "none"),
    ],
)
def test_what_is_refused_is_one_line(tmp_path, capsys, content, options, words):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    out = tmp_path / "out"
    assert run("twins", path, "--out", out, *options) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert words in said
    assert not out.exists()


def test_a_folder_that_is_a_file_is_refused_at_once(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert run("twins", tmp_path / "none.csv", "--out", tmp_path / "out") == 2
    assert "--out must be a folder, got the file" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("where", ["/proc/none", "/proc", "file/within"])
@pytest.mark.parametrize("command", ["twins", "dataset", "training"])
def test_where_nothing_can_be_written_nothing_is_computed(
    command, where, tmp_path, monkeypatch, capsys
):
    """Folders that nobody can make or write to: said at once, in a line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "cells.csv").write_text("1,2,3,4,5,6\n")

    def computes(*arguments, **options):
        raise AssertionError("it computes first")

    monkeypatch.setattr("lrnn_kernels.neurons.commands.twins.twins", computes)
    monkeypatch.setattr("lrnn_kernels.neurons.datasets.shards.made", computes)
    monkeypatch.setattr("lrnn_kernels.neurons.network.training.training_loss", computes)
    if command == "training":
        spikes = neurons.Spikes.from_lists([[1.0, 2.0, 3.0]] * 2)
        examples = network.Examples.of(spikes, torch.zeros(2, 2))
        training = network.Training(
            neurons.DICsNet(), examples, network.Schedule(samples=2), path=f"{where}/run.pt"
        )
        with pytest.raises(ValueError, match="path's folder must be a folder"):
            training.run()
        return
    arguments = ["cells.csv", "--unit", "ms"] if command == "twins" else ["stg", "--pairs", 1]
    assert run(command, *arguments, "--out", where) == 2
    said = capsys.readouterr().err
    assert re.match(r"error: (--out|folder) must be a folder in which files can be written", said)
    assert said.count("\n") == 1
    assert "Errno" not in said


def test_a_folder_that_holds_nothing_in_the_end_is_not_left(tmp_path, monkeypatch):
    """Whatever ended it, and those above it that were made for it; others stay."""
    there = tmp_path / "there"
    there.mkdir()
    for path in (there, there / "a" / "b"):
        for error in (ValueError, KeyboardInterrupt, None):
            with contextlib.suppress(ValueError, KeyboardInterrupt), files.folder(path) as folder:
                assert folder.is_dir()
                if error is not None:
                    raise error
            assert list(there.iterdir()) == []
    with files.folder(there / "a" / "b") as folder:
        (folder / "mine").write_text("it is kept")
    assert (there / "a" / "b" / "mine").exists()


def test_models_are_named_in_any_case(recording, tmp_path, capsys):
    assert run("twins", recording, "--out", tmp_path, "--n", 1, "--model", "STG") == 0
    assert json.loads((tmp_path / "twins.json").read_text())["model"] == "stg"
    with pytest.raises(SystemExit):
        run("twins", recording, "--out", tmp_path, "--model", "HH")
    assert "'hh'" in capsys.readouterr().err


def test_the_page_is_a_command_too(monkeypatch):
    started = []
    monkeypatch.setattr(page, "listen", lambda port: port)
    monkeypatch.setattr(page, "serve", lambda *arguments: started.append(arguments))
    assert run("gui", "--port", 4242, "--no-browser") == 0
    assert page.main(["--port", "4242", "--no-browser"]) == 0
    assert started == [(4242, False)] * 2


@pytest.mark.parametrize("units", [1, exports.SHOWN])
def test_labels_of_the_figure_keep_out_of_each_other(units):
    """Words lie within the figure, and beside no axes but their own."""
    from matplotlib.figure import Figure

    base = neurons.spiking_population("stg", units + 2, seed=1).g[:units]
    spikes = neurons.simulate("stg", base, 900, discard=300).spikes
    found = neurons.twins(spikes, 2, T=900.0, discard=300.0)
    figure = Figure(figsize=(14, 4), layout="constrained")
    exports.draw(figure, found, spikes, [f"cell {b}" for b in range(units)])
    figure.draw_without_rendering()  # which lays it out
    for ax in figure.axes:
        assert ax.yaxis.label.get_window_extent().height <= ax.bbox.height, ax.get_ylabel()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert len(boxes) == 3 * units
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])


def test_a_figure_of_no_unit_says_so():
    from matplotlib.figure import Figure

    spikes = neurons.Spikes.from_lists([[1.0], []])
    found = neurons.twins(spikes, 1, T=100.0, discard=0.0)
    exports.draw(figure := Figure(), found, spikes, ["a", "b"])
    assert [text.get_text() for text in figure.texts] == ["no unit with 3 spikes or more"]
    assert exports.conductances(found, ["a", "b"]).count("\n") == 1


def test_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/twins.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(first, scope := {})
    assert scope["found"].g.shape == (2, 16, 8)
    assert [match.firing_class.name for match in scope["found"].matches] == ["BURSTING"] * 2
    short = second.replace("pairs=64", "pairs=16").replace("samples=2000", "samples=100")
    assert short != second
    exec(short, scope := {})
    assert scope["training"].samples >= 100
    assert neurons.DICsNet.load("mine.safetensors")
