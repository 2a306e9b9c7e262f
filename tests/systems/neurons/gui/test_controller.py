"""What the page can do, without a page."""

import subprocess
import sys
import time

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.gui import controller as module
from lrnn_kernels.neurons.gui import simulation
from lrnn_kernels.neurons.gui.controller import MOST_BYTES, TWINS, Controller
from lrnn_kernels.neurons.gui.examples import EXAMPLES
from lrnn_kernels.neurons.gui.simulation import Cancelled
from tests import ROOT

from . import cases


def test_the_controller_knows_no_page():
    code = (
        "import sys, lrnn_kernels.neurons.gui.exports, lrnn_kernels.neurons.gui.server; "
        "print([x for x in ('nicegui', 'fastapi', 'starlette', 'uvicorn') if x in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    """They fire as they are called, and are what they are said to be."""
    controller = Controller()
    controller.load_example(name)
    assert controller.firing_class.name.lower() == name
    assert dict(controller.facts())["firing"] == name
    assert controller.predicted
    assert len(controller.recording.notes) == 1
    truth = torch.tensor([EXAMPLES[name].g_s, EXAMPLES[name].g_u])
    said = torch.stack((controller.prediction.g_s[0], controller.prediction.g_u[0]))
    assert (said - truth).abs().max() < 10  # the network's error is its tests' concern


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_a_file(unit):
    controller = Controller()
    controller.load(cases.csv("one", "two", unit=unit), "cells.csv")
    assert controller.recording.names == ["one", "two"]
    for b, times in enumerate(cases.trains()):
        assert torch.allclose(controller.recording.spikes[b], torch.tensor(times).double())
    assert (
        controller.recording.notes
        == recordings.read_bytes(cases.csv("one", "two", unit=unit), "cells.csv").report.lines()
    )
    expected = controller.net.predict(controller.recording.spikes)
    for b in range(2):
        controller.choose_unit(b)
        assert torch.allclose(controller.prediction.g_s, expected.g_s[b : b + 1], atol=1e-4)


def test_the_unit_of_time_is_asked_for():
    controller, data = Controller(), cases.csv("one", unit="")
    with pytest.raises(recordings.RecordingError, match="s or in ms"):
        controller.load(data, "cells.csv")
    controller.load(data, "cells.csv", "ms")
    assert controller.predicted


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty.csv"),
        (b"unit,time_ms\na,1\na,x\n", "words.csv"),
        (bytes(range(256)), "noise.csv"),
        (b"\x80\x04K\x01.", "cells.pkl"),
        (b"PK\x03\x04", "cells.npz"),
        (b"\0" * (MOST_BYTES + 1), "large.csv"),
        (b"unit,time_ms\na,1\na,2\n", "../../silent.csv"),
    ],
    ids=["empty", "words", "noise", "pickle", "npz", "large", "silent"],
)
def test_a_broken_file_leaves_all_as_it_was(data, name):
    controller = cases.loaded("one")
    before = controller.recording, controller.prediction, controller.g, controller.targets
    with pytest.raises(recordings.RecordingError) as error:
        controller.load(data, name)
    assert str(error.value)
    assert "\n" not in str(error.value)
    assert before == (controller.recording, controller.prediction, controller.g, controller.targets)


def test_more_units_than_are_shown(monkeypatch):
    monkeypatch.setattr(module, "MOST_UNITS", 2)
    controller = cases.loaded("one", "two", "three")
    assert controller.recording.names == ["one", "two"]
    assert len(controller.recording.spikes) == 2
    assert "first 2 of 3 units" in controller.recording.notes[-1]


def test_a_silent_unit_has_no_prediction():
    controller = Controller()
    data = b"unit,time_ms\nquiet,1\nquiet,2\n" + cases.csv("loud").partition(b"\n")[2]
    controller.load(data, "cells.csv")
    assert controller.unit == 1  # the first that is not silent
    controller.choose_unit(0)
    assert not controller.predicted
    assert controller.doubts() == ["it has fewer than 3 spikes: nothing is predicted"]
    assert dict(controller.facts())["firing"] == "silent"
    assert controller.simulate(1.0)
    assert controller.simulated.match.metrics == {}


@pytest.mark.parametrize("g_s", [-20, -10.5, 0, 20])
@pytest.mark.parametrize("g_u", [0, 7.3, 20])
def test_targets(g_s, g_u):
    controller = Controller()
    controller.set_targets(g_s, g_u, 16)
    g = controller.g[controller.found]
    assert len(g) >= 8
    assert (g >= 0).all()
    dics = neurons.dic("stg", g, controller.model.V_threshold)
    assert torch.allclose(dics[:, 1:], torch.tensor([[g_s, g_u]]).double(), atol=0.5)
    assert (g.std(0) / g.mean(0) > 0.05).all()  # they differ


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((21, 0), "g_s"), ((0, -1), "g_u"), ((float("nan"), 0), "g_s"), ((0, 0, 7), "twins")],
    ids=str,
)
def test_targets_that_no_slider_has(arguments, named):
    controller = Controller()
    controller.set_targets(3, 4, 8)
    g = controller.g
    with pytest.raises((ValueError, TypeError), match=named):
        controller.set_targets(*arguments)
    assert controller.g is g


def test_a_slider_is_immediate():
    """The processor's time, which other work on the machine does not change much."""
    controller = Controller()
    controller.set_targets(-5, 5, max(TWINS))
    before = time.process_time()
    for k in range(10):
        controller.set_targets(-5 + 0.1 * k, 5, max(TWINS))
    assert (time.process_time() - before) / 10 < 0.1 * torch.get_num_threads()


def test_twins_are_those_of_the_library():
    """The page and ``neurons.twins`` have one path."""
    controller = cases.loaded("one", "two")
    controller.choose_unit(1)
    assert controller.simulate(3.0)
    made = neurons.twins(controller.train, 8)
    assert torch.equal(controller.g, made.g[0])
    assert controller.simulated.match == made.matches[0]
    settle = controller.model.recipe.protocol[1]
    assert torch.allclose(controller.simulated.spikes.times + settle, made.spikes.times)


@pytest.mark.parametrize("T", [1234.5, 5000.0])
def test_pieces_are_one_simulation(T):
    model = neurons.STG
    g = neurons.spiking_population(model, 5, seed=1).g
    g[1] = torch.nan
    shares = []
    fired = simulation.fired(model, g, T, shares.append)
    settle = model.recipe.protocol[1]
    whole = neurons.simulate(model, g, settle + T, discard=settle, record=simulation.V_EVERY)
    assert torch.equal(fired.spikes.times, whole.spikes.times - settle)
    assert torch.equal(fired.spikes.counts, whole.spikes.counts)
    assert torch.equal(fired.spikes.offsets, whole.spikes.offsets)
    assert torch.equal(fired.spikes.status, whole.spikes.status)
    shown = (whole.record.t >= settle) & (whole.record.t < settle + simulation.V_WINDOW)
    assert torch.allclose(fired.t, whole.record.t[shown] - settle)
    assert torch.equal(fired.V.nan_to_num(), whole.record["V"][:, shown].nan_to_num())
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert len(shares) > T / simulation.PIECE


def test_cancelled_after_the_piece_that_runs():
    controller = cases.loaded("one")
    told = []
    with pytest.raises(Cancelled):
        controller.simulate(300, told.append, lambda: len(told) == 3)
    assert len(told) == 3
    assert controller.simulated is None
    with pytest.raises(Cancelled):
        controller.simulate(300, told.append, lambda: True)
    assert len(told) == 3
    assert controller.simulate(1.0)


@pytest.mark.parametrize("seconds", [0.5, 301, float("nan"), None, "3"], ids=repr)
def test_seconds_that_are_not_simulated(seconds):
    controller = cases.loaded("one")
    with pytest.raises((ValueError, TypeError), match="seconds"):
        controller.simulate(seconds)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.set_targets(3, 3),
        lambda c: c.choose_unit(1),
        lambda c: c.load_example("spiking"),
    ],
    ids=["targets", "unit", "recording"],
)
def test_twins_that_are_changed_meanwhile(change):
    controller = cases.loaded("one", "two")
    left = [change]

    def progress(share):
        if left:
            left.pop()(controller)

    assert controller.simulate(1.0, progress) is False
    assert controller.simulated is None


def test_changed_targets_have_no_simulation():
    controller = cases.loaded("one")
    assert controller.simulate(1.0)
    assert controller.chosen == 0  # someone is shown
    controller.choose_twin(5)
    controller.set_targets(2, 2)
    assert controller.simulated is None
    assert controller.chosen == 5  # the same base neuron
    controller.back_to_prediction()
    assert controller.targets == (
        controller.prediction.g_s.item(),
        controller.prediction.g_u.item(),
    )


@pytest.mark.parametrize("twin", [-1, 8, 10**9])
def test_a_twin_that_is_not_there(twin):
    controller = cases.loaded("one")
    with pytest.raises(ValueError, match="twin"):
        controller.choose_twin(twin)


@pytest.mark.parametrize("unit", [-1, 1, 10**9])
def test_a_unit_that_is_not_there(unit):
    with pytest.raises(ValueError, match="unit"):
        cases.loaded("one").choose_unit(unit)
    with pytest.raises(ValueError, match="unit"):
        Controller().choose_unit(unit)
