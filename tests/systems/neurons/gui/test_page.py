"""The page's logic, as NiceGUI's simulated user sees it."""

import asyncio
import functools
import gc
import inspect
import threading
import weakref

import pytest
import torch
from nicegui import ElementFilter, core, ui
from nicegui.elements.upload_files import SmallFileUpload
from nicegui.testing.user_simulation import user_simulation

from lrnn_kernels.neurons import recordings
from lrnn_kernels.neurons.gui import page as module
from lrnn_kernels.neurons.gui import parts
from lrnn_kernels.neurons.gui.controller import Controller
from lrnn_kernels.neurons.gui.page import Page
from lrnn_kernels.neurons.gui.picking import FAILED, TOO_LARGE
from lrnn_kernels.neurons.recordings import reading

from . import cases

LIMIT = 120  # seconds, on a machine that does other work too


def simulated(test):
    """Runs a test with a user and the page that they have opened; no error may have been logged,
    nor anything left of NiceGUI for other tests."""

    @functools.wraps(test)
    def run(caplog, **arguments):
        async def flow():
            pages = []
            async with user_simulation(lambda: pages.append(Page(Controller()))) as user:
                await user.open("/")
                await until(lambda: pages[0].c.found.any())
                await test(user, pages[0], **arguments)

        asyncio.run(flow())
        # NiceGUI's loops may take longer to end than it waits, where the machine is busy.
        records = [record for record in caplog.records if record.funcName != "teardown"]
        assert not [record for record in records if record.levelname == "ERROR"]

    given = inspect.signature(test).parameters
    kept = [inspect.Parameter("caplog", inspect.Parameter.KEYWORD_ONLY)]
    kept += [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in given.items()
        if name not in ("user", "page")
    ]
    run.__signature__ = inspect.Signature(kept)
    return run


async def until(condition):
    """Waits for it."""
    for _ in range(10 * LIMIT):
        if condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {LIMIT} s: {inspect.getsource(condition)}")


async def upload(user, data: bytes, name: str):
    (element,) = user.find(marker="upload").elements
    await element.handle_uploads([SmallFileUpload(name, "text/csv", data)])


def texts(user, marker: str) -> str:
    """All that is written within an element; nothing where it is not seen."""
    with user:
        found = list(ElementFilter(marker=marker))
    if not found or not all(x.visible for x in found[0].ancestors(include_self=True)):
        return ""
    (element,) = found
    labels = [element, *element.descendants()]
    return " ".join(label.text for label in labels if isinstance(label, ui.label))


def enabled(user, marker: str) -> bool:
    (element,) = user.find(marker=marker).elements
    return element.enabled


@simulated
async def test_from_a_file_to_twins(user, page):
    await upload(user, cases.csv("cell A", "cell B"), "cells.csv")
    await until(lambda: page.c.recording is not None and page.raster.visible)
    await until(lambda: "cells.csv" in texts(user, "notes"))
    assert "cell A" in texts(user, "facts")
    assert "spiking neuron" in texts(user, "predicted")
    assert "\N{PLUS-MINUS SIGN}" in texts(user, "predicted")
    assert "<svg" in page.raster.html.content
    assert "<ellipse" in page.plane.html.content
    assert page.g_s.value == page.c.targets[0] == page.c.prediction.g_s.item()

    (units,) = user.find(marker="unit").elements
    units.value = 1
    await until(lambda: page.c.unit == 1 and "cell B" in texts(user, "facts"))
    assert "bursting neuron" in texts(user, "predicted")
    user.find(marker="raster").trigger("click", 0)
    await until(lambda: page.c.unit == 0 and "cell A" in texts(user, "facts"))
    assert units.value == 0


class Held(Controller):
    """Makes no twins before it is let."""

    def __init__(self, error: str = "") -> None:
        super().__init__()
        self.go, self.error = threading.Event(), error

    def back_to_prediction(self) -> None:
        assert self.go.wait(LIMIT)
        if self.error:
            raise RuntimeError(self.error)
        super().back_to_prediction()


@pytest.mark.parametrize("error", ["", "there is no memory left"])
def test_while_the_first_twins_are_made_the_page_says_so(error):
    async def flow():
        pages = []
        async with user_simulation(lambda: pages.append(Page(Held(error)))) as user:
            await user.open("/")
            (page,) = pages
            assert texts(user, "made").startswith("Computing the first twins")
            assert texts(user, "twin") == ""
            page.c.go.set()
            await until(lambda: texts(user, "error") == error and page.c.found.any() == (not error))
            assert texts(user, "made") == ("" if error else "32 twins.")

    asyncio.run(flow())


@simulated
async def test_how_many_twins_there_are_is_said(user, page):
    for lack, said in (
        (0, "32 twins."),
        (31, "1 twin. Of 32 that were asked for, the others would need a negative conductance."),
        (32, "No twins. Of 32 that were asked for, all would need a negative conductance."),
    ):
        page.c.g[:lack] = torch.nan
        with user:
            page._show_twins()
        assert texts(user, "made") == said


@simulated
async def test_a_broken_file_says_why_and_the_rest_stays(user, page):
    user.find(marker="example-bursting").click()
    await until(lambda: page.c.recording is not None)
    before = page.c.recording
    data = b"unit,time_ms\na,1\na,x\n"
    with pytest.raises(recordings.RecordingError) as expected:
        recordings.read_bytes(data, "broken.csv")
    await upload(user, data, "broken.csv")
    await until(lambda: texts(user, "error"))
    assert texts(user, "error") == str(expected.value)
    assert page.c.recording is before
    user.find(marker="example-spiking").click()
    await until(lambda: page.c.recording is not before)
    assert texts(user, "error") == ""


@simulated
async def test_the_unit_of_time_is_asked_for_and_given(user, page):
    await upload(user, cases.csv("one", unit=""), "cells.csv")
    await until(lambda: "in s or in ms?" in texts(user, "error"))
    (select,) = user.find(marker="time-unit").elements
    select.value = "ms"
    await until(lambda: page.c.recording is not None)
    assert texts(user, "error") == ""
    assert page.c.train[0].tolist() == pytest.approx(cases.trains()[0])


@pytest.mark.parametrize(
    ("event", "sent", "said"),
    [
        ("rejected", ["max-file-size", "cells.csv"], TOO_LARGE),
        ("failed", 413, TOO_LARGE),
        ("rejected", ["accept", "a.PNG"], "a.PNG: .png cannot be read here, only .csv, .txt, .npz"),
        ("rejected", ["accept", "a.xlsx"], f"a.xlsx: {reading.REFUSED['.xlsx']}"),
        ("failed", 0, FAILED),
        ("failed", 500, FAILED),
        *(("rejected", sent, FAILED) for sent in (["accept", "a.csv"], ["accept", 3], [], None)),
    ],
    ids=str,
)
@simulated
async def test_a_file_that_does_not_arrive_says_why(user, page, event, sent, said):
    """By its size, its ending or what became of its request; whatever a browser sends."""
    user.find(marker="upload").trigger(event, sent)
    assert texts(user, "error") == said


NAMES = ("<img src=x onerror=alert(1)>", "../../etc/passwd", "{{ 7 * 7 }}", "a" * 999)


@simulated
async def test_names_are_labels(user, page, tmp_path, monkeypatch):
    """Whatever a file or a unit is called: a text, and no path."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        await upload(user, cases.csv(name), f"{name}.csv")
        await until(lambda name=name: name in texts(user, "facts"))
        assert page.c.recording.names == [name]
        assert texts(user, "error") == ""
        assert "<img" not in page.raster.html.content
    assert list(tmp_path.iterdir()) == []
    pictures = {id(x.html) for x in vars(page).values() if isinstance(x, parts.Picture)}
    raw = [x for x in page.client.elements.values() if isinstance(x, ui.html)]
    assert {id(x) for x in raw} == pictures  # nothing else holds HTML


@simulated
async def test_sliders(user, page):
    user.find(marker="example-spiking").click()
    await until(lambda: page.c.recording is not None and page.back.enabled)
    predicted, before = page.c.targets, page.plane.html.content
    (slider,) = user.find(marker="g_s").elements
    for value in range(-20, 21):  # faster than any of them is made
        slider.value = value
    await until(lambda: page.c.targets[0] == 20)
    assert page.c.targets[1] == predicted[1]
    assert page.plane.html.content != before
    assert texts(user, "g_s-value") == "20.0"
    user.find(marker="plane").trigger("click", [page.plane.drawing.x(-7), page.plane.drawing.y(3)])
    await until(lambda: page.c.targets == (-7, 3))
    user.find(marker="back").click()
    await until(lambda: page.c.targets == predicted)
    assert page.g_s.value == predicted[0]


@simulated
async def test_the_last_of_many_targets_counts(user, page):
    made, whole = [], page.c.made
    page.c.made = lambda *wanted: made.append(wanted) or whole(*wanted)
    (slider,) = user.find(marker="g_u").elements
    for k in range(100):
        slider.value = k / 10
    await until(lambda: page.c.targets[1] == 9.9)
    assert len(made) < 50
    assert made[-1][1] == 9.9


@simulated
async def test_a_slider_that_moves_while_a_file_is_read(user, page):
    """What it asked for was of other twins."""
    (slider,) = user.find(marker="g_s").elements
    user.find(marker="example-bursting").click()
    slider.value = 13
    await until(lambda: page.c.recording is not None and not page.work.locked())
    assert page.c.targets[0] == page.c.prediction.g_s.item()
    assert slider.value == page.c.targets[0]


@simulated
async def test_clicks_that_no_drawing_sends(user, page):
    user.find(marker="example-spiking").click()
    await until(lambda: page.c.recording is not None and page.back.enabled)
    before = page.c.unit, page.c.chosen, page.c.targets
    for sent in (None, "3", -1, 10**6, 2.5, True, [1], {}, ["1", 2], [1, 2, 3], [None, 1]):
        for picture in (page.raster, page.parallel, page.scatter, page.plane):
            user.find(marker=picture.name).trigger("click", sent)
    await asyncio.sleep(0.1)  # for what a click would have begun
    assert (page.c.unit, page.c.chosen, page.c.targets) == before
    user.find(marker="plane").trigger("click", [10**9, -(10**9)])
    await until(lambda: page.c.targets == (20, 20))  # the nearest that there is


@simulated
async def test_simulate_choose_and_take_away(user, page):
    assert not enabled(user, "spikes.csv")
    user.find(marker="example-bursting").click()
    await until(lambda: page.c.recording is not None and page.back.enabled)
    page.seconds.value = 1
    user.find(marker="simulate").click()
    await until(lambda: page.c.simulated is not None and page.stop is None)
    await until(lambda: enabled(user, "spikes.csv"))
    assert "bursting" in texts(user, "match")
    assert page.c.chosen == 0
    for marker in ("parallel", "scatter", "compared"):
        user.find(marker="parallel").trigger("click", 3)
        assert page.c.chosen == 3
        user.find(marker=marker).trigger("click", 5)
        assert page.c.chosen == 5
        assert "twin 6" in page.voltage.html.content
        assert "twin 6" in page.compared.html.content
        assert texts(user, "chosen-twin") == "Twin 6"
    for name, begins in {
        "predictions.csv": b"unit,",
        "conductances.csv": b"twin,g_Na (mS/cm^2)",
        "spikes.csv": b"unit,time_ms",
        "figure.svg": b"<svg",
    }.items():
        user.find(marker=name).click()
        response = await user.download.next(timeout=LIMIT)
        assert response.content.startswith(begins)


def long_simulation(page):
    page.seconds.value = 300


@simulated
async def test_cancel(user, page):
    long_simulation(page)
    user.find(marker="simulate").click()
    await until(lambda: page.share > 0)
    assert not enabled(user, "simulate")
    user.find(marker="cancel").click()
    await until(lambda: page.stop is None)
    assert texts(user, "told") == "Cancelled."
    assert page.c.simulated is None
    assert enabled(user, "simulate")
    assert not enabled(user, "cancel")


@pytest.mark.parametrize("how", ["slider", "recording"])
@simulated
async def test_other_twins_cancel(user, page, how):
    long_simulation(page)
    user.find(marker="simulate").click()
    await until(lambda: page.share > 0)
    if how == "slider":
        page.g_s.set(-3.0)
    else:
        user.find(marker="example-bursting").click()
    await until(lambda: page.stop is None)
    assert page.c.simulated is None
    await until(lambda: page.c.targets[0] == -3.0 or page.c.recording is not None)


@simulated
async def test_closing_the_tab_cancels(user, page):
    ended, whole = threading.Event(), page.c.simulate

    def simulate(*arguments):
        try:
            return whole(*arguments)
        finally:
            ended.set()

    page.c.simulate = simulate
    long_simulation(page)
    user.find(marker="simulate").click()
    await until(lambda: page.share > 0)
    controller = page.c
    user.client.delete()
    await until(ended.is_set)
    assert controller.simulated is None


@simulated
async def test_seconds_that_are_not_simulated(user, page):
    for value in (None, 0.2, 1000):
        page.told.text = ""
        page.seconds.value = value
        user.find(marker="simulate").click()
        await until(lambda: "econds must be" in texts(user, "told") and page.stop is None)
        assert page.c.simulated is None


def test_tabs_have_nothing_in_common():
    async def flow():
        pages = []
        async with user_simulation(lambda: pages.append(Page(Controller()))) as user:
            await user.open("/")
            user.find(marker="example-bursting").click()
            await until(lambda: pages[0].c.recording is not None)
            await user.open("/")
            assert pages[1].c is not pages[0].c
            assert pages[1].c.recording is None

    asyncio.run(flow())


@simulated
async def test_a_closed_tab_leaves_nothing_behind(user, page):
    await upload(user, cases.csv("one"), "cells.csv")
    await until(lambda: page.c.recording is not None and not page.work.locked())
    held = weakref.ref(page.c)
    user.client.delete()
    gc.collect()
    assert held() is None
    assert page.file is None


def test_nothing_of_nicegui_is_registered_at_import():
    """A page with a decorator would take our modules from other tests when it is reset."""
    assert not core.app.is_started
    assert "@ui.page" not in inspect.getsource(module)
