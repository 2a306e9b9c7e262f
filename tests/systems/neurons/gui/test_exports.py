"""What is taken away can be read, by us and by others."""

import csv
import io
import xml.etree.ElementTree as ET

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.gui import exports
from lrnn_kernels.neurons.gui.controller import Controller

from . import cases


@pytest.fixture(scope="module")
def controller():
    controller = cases.loaded("one", "=cmd|'/c calc'!A1", "two, with a comma")
    assert controller.simulate(1.5)
    controller.choose_twin(2)
    return controller


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_predictions(controller):
    found = rows(exports.predictions(controller))
    said = controller.net.predict(controller.recording.spikes)
    assert [row["unit"] for row in found] == ["one", "'=cmd|'/c calc'!A1", "two, with a comma"]
    for b, row in enumerate(found):
        assert float(row["g_s (1)"]) == pytest.approx(said.g_s[b].item(), rel=1e-5)
        assert float(row["g_u (1)"]) == pytest.approx(said.g_u[b].item(), rel=1e-5)
        sd = said.uncertainty[b].tolist()
        assert float(row["g_s standard deviation (1)"]) == pytest.approx(sd[0], rel=1e-5)
        assert float(row["g_u standard deviation (1)"]) == pytest.approx(sd[1], rel=1e-5)
        assert row["firing class by intervals"] == ("spiking", "bursting")[b % 2]
        assert int(row["spikes"]) == len(cases.trains()[b % 2])
        controller.choose_unit(b)
        assert row["reasons for doubt"] == "; ".join(controller.doubts())
    controller.choose_unit(0)
    controller.simulate(1.5)
    controller.choose_twin(2)


def test_a_silent_unit_is_left_empty():
    controller = Controller()
    controller.load(b"unit,time_ms\na,1\na,2\n" + cases.csv("b").partition(b"\n")[2], "x.csv")
    first, second = rows(exports.predictions(controller))
    assert first["g_s (1)"] == first["g_u standard deviation (1)"] == ""
    assert first["firing class by network"] == "silent"
    assert second["g_s (1)"]


def test_conductances(controller):
    found = rows(exports.conductances(controller))
    names = [f"g_{name} (mS/cm^2)" for name in controller.model.channel_names]
    g = torch.tensor([[float(row[name]) for name in names] for row in found]).double()
    assert torch.allclose(g, controller.g[controller.found], rtol=1e-6)
    dics = neurons.dic("stg", g, controller.model.V_threshold)[:, 1:]
    asked = torch.tensor([[float(row["g_s (1)"]), float(row["g_u (1)"])] for row in found])
    assert (dics - asked).abs().max() < 0.5
    assert {row["recording"] for row in found} == {"cells.csv"}
    assert {row["unit"] for row in found} == {"one"}
    assert [int(row["twin"]) for row in found] == [b + 1 for b in range(8) if controller.found[b]]


def test_a_twin_that_is_not_there_has_no_line():
    controller = cases.loaded("one")
    controller.g[[0, 5]] = torch.nan
    assert [row["twin"] for row in rows(exports.conductances(controller))] == list("234578")
    controller.g[:] = torch.nan
    assert not exports.EXPORTS["conductances.csv"].ready(controller)


def test_spike_times_can_be_loaded_again(controller):
    read = recordings.read_bytes(exports.spike_times(controller), "spikes.csv")
    spikes = controller.simulated.spikes
    assert read.names == [f"twin {b + 1}" for b in range(len(spikes)) if len(spikes[b])]
    assert torch.allclose(read.spikes.times, spikes.times, atol=1e-3)


def test_the_figure_holds_all_drawings(controller):
    text = exports.figure(controller).decode()
    root = ET.fromstring(text)
    words = " ".join(filter(None, (part.text for part in root.iter())))
    for title in ("Spikes", "Inter-spike intervals", "Dynamic input conductances",
                  "Conductances of the twins", "Two conductances", "Membrane potential of twin 3",
                  "Spikes of the recording and of its twins"):  # fmt: skip
        assert title in words
    assert "=cmd" in words


def test_before_anything_is_loaded():
    controller = Controller()
    assert not any(export.ready(controller) for name, export in exports.EXPORTS.items()
                   if name != "figure.svg")  # fmt: skip
    ET.fromstring(exports.figure(controller))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_is_computed_by_a_spreadsheet(name):
    controller = Controller()
    controller.load_example("spiking")
    controller.recording = controller.recording._replace(names=[name])
    assert rows(exports.predictions(controller))[0]["unit"] == f"'{name}"
    assert rows(exports.conductances(controller))[0]["unit"] == f"'{name}"
