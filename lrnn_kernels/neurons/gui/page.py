"""The page: four steps, one below the other. What they compute is in ``controller.py``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import PurePath

from nicegui import app, events, run, ui

from ..recordings import RecordingError
from . import drawings, exports, parts, picking
from .controller import MOST_BYTES, SECONDS, TWINS, Controller
from .examples import EXAMPLES
from .simulation import Cancelled

#: Units of time as a user is asked for them.
UNITS = {"": "as the file says", "s": "seconds", "ms": "milliseconds"}
WINDOWS = {3000: "3 s", 1000: "1 s", 300: "0.3 s"}


class Page:
    """One browser tab, with a controller of its own."""

    def __init__(self, controller: Controller) -> None:
        self.c = controller
        self.file: tuple[bytes, str] | None = None  # the last one, for another unit of time
        self.work = asyncio.Lock()  # one change of the recording or of the twins at a time
        self.wanted: tuple[float, float, int] | None = None  # the latest of the sliders' targets
        self.stop: threading.Event | None = None  # of the simulation that runs
        self.share = 0.0
        self.client = ui.context.client
        self.client.on_delete(self.closed)
        parts.style()
        with ui.column().classes("page"):
            ui.label("Twins of recorded neurons").classes("title").props("role=heading")
            self._recording()
            self._prediction()
            self._twins()
            self._simulation()
        self._show_recording()
        ui.timer(0, self._back, once=True)  # the first twins, once the page is there

    # 1

    def _recording(self) -> None:
        with parts.step("1", "Recording", "Spike times of one or more units, sorted."):
            with ui.row().classes("controls"):
                picking.picker("Load a file", self._uploaded, self._fail)
                self.time_unit = ui.select(UNITS, value="", label="Times are in").mark("time-unit")
                self.time_unit.on_value_change(self._reload).classes("select")
                ui.label("or try").classes("hint")
                for name, example in EXAMPLES.items():
                    ui.button(
                        example.title, on_click=lambda _, name=name: self._example(name)
                    ).props("outline no-caps").mark(f"example-{name}")
                self.busy = ui.spinner(size="24px").mark("busy")
                self.busy.visible = False
            ui.label(
                "CSV with a header unit,time_ms or unit,time_s, or one unit a line; or NPZ. "
                f"At most {MOST_BYTES // 2**20} MB. The file stays on this computer."
            ).classes("hint")
            self.error = ui.label().classes("banner bad").props("role=alert").mark("error")
            self.notes = ui.column().classes("notes").mark("notes")
            with ui.column().classes("inner") as self.recorded:
                with ui.row().classes("controls"):
                    self.units = ui.select({}, label="Unit", with_input=True).classes("select")
                    self.units.mark("unit").on_value_change(self._unit_chosen)
                self.raster = parts.Picture("raster", "unit", self._unit_clicked)
                with ui.row().classes("side"):
                    self.histogram = parts.Picture("histogram")
                    self.facts = ui.column().classes("text").mark("facts")

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        data = await event.file.read()
        self.file = data, PurePath(event.file.name).name
        await self._load(self.c.load, *self.file, self.time_unit.value or None)

    async def _reload(self) -> None:
        """The same file, with times in another unit."""
        if self.file is not None:
            await self._load(self.c.load, *self.file, self.time_unit.value or None)

    async def _example(self, name: str) -> None:
        self.file = None
        await self._load(self.c.load_example, name)

    async def _load(self, how: Callable[..., None], *arguments: object) -> None:
        self.cancel()
        self.error.text = ""
        try:
            async with self.work:
                self.busy.visible = True
                await run.io_bound(how, *arguments)
                self.wanted = None  # what a slider asked for was of other twins
        except (RecordingError, ValueError, RuntimeError) as error:
            self._fail(str(error))
        finally:
            self.busy.visible = False
        self._show_recording()

    def _fail(self, message: str) -> None:
        self.error.text = message

    async def _unit_chosen(self) -> None:
        await self._choose(self.units.value)

    async def _unit_clicked(self, unit: int) -> None:
        await self._choose(unit)

    async def _choose(self, unit: int | None) -> None:
        if unit is None or self.c.recording is None or unit == self.c.unit:
            return
        if unit not in range(len(self.c.recording.names)):
            return
        await self._load(self.c.choose_unit, unit)

    def _show_recording(self) -> None:
        """All of it, after another recording or unit."""
        if self.client.is_deleted:
            return
        loaded = self.c.recording
        self.notes.clear()
        self.recorded.visible = loaded is not None
        if loaded is not None:
            with self.notes:
                for line in loaded.notes:
                    ui.label(line)
            self.units.set_options(dict(enumerate(loaded.names)), value=self.c.unit)
            self.facts.clear()
            with self.facts:
                parts.facts(self.c)
            self.raster.show(drawings.raster(loaded.spikes, loaded.names, self.c.unit))
            self.histogram.show(drawings.histogram(self.c.train))
        self._show_prediction()
        self._show_twins()

    # 2

    def _prediction(self) -> None:
        with (
            parts.step("2", "Prediction", "Which dynamic input conductances the unit has."),
            ui.row().classes("side"),
        ):
            self.plane = parts.Picture("plane", place=self._plane_clicked)
            with ui.column().classes("text"):
                self.predicted = ui.column().classes("text").mark("predicted")

    def _show_prediction(self) -> None:
        self.predicted.clear()
        with self.predicted:
            parts.prediction(self.c)

    # 3

    def _twins(self) -> None:
        (s0, s1), (u0, u1) = self.c.ranges
        about = "Model neurons with these two, and otherwise widely different conductances."
        with parts.step("3", "Twins", about):
            with ui.row().classes("controls"):
                self.g_s = parts.Slider("g_s", s0, s1, self.c.targets[0], self._targets)
                self.g_u = parts.Slider("g_u", u0, u1, self.c.targets[1], self._targets)
                self.count = ui.select(list(TWINS), value=self.c.twins, label="Twins")
                self.count.mark("twins").on_value_change(self._targets).classes("short")
                self.back = ui.button("Back to the prediction", on_click=self._back)
                self.back.props("flat no-caps").mark("back")
            self.made = ui.label().classes("hint made").props("role=status").mark("made")
            self.parallel = parts.Picture("parallel", "twin", self._twin_clicked)
            with ui.row().classes("side"):
                self.scatter = parts.Picture("scatter", "twin", self._twin_clicked)
                with ui.column().classes("text"):
                    names = list(self.c.model.channel_names)
                    with ui.row().classes("controls"):
                        across, up = self.c.axes
                        self.across = ui.select(names, value=across, label="across")
                        self.up = ui.select(names, value=up, label="up")
                        for select in (self.across, self.up):
                            select.classes("short").on_value_change(self._axes_chosen)
                    self.twin = ui.column().classes("text").mark("twin")

    async def _targets(self) -> None:
        """After a slider has moved: the latest targets are made, those in between are left out."""
        wanted = self.g_s.value, self.g_u.value, self.count.value
        if None in wanted or wanted == (*self.c.targets, self.c.twins):
            return
        self.cancel()
        waits, self.wanted = self.wanted is not None, wanted
        if waits:
            return
        async with self.work:
            while self.wanted is not None:
                now, made = self.wanted, None
                try:
                    made = await run.io_bound(self.c.made, *now)
                except ValueError as error:
                    self.made.text = str(error)
                if self.wanted == now:
                    self.wanted = None
                if made is None or self.client.is_deleted:
                    continue
                self.c.use(made)
                self._show_twins(sliders=False)

    async def _plane_clicked(self, x: float, y: float) -> None:
        drawing = self.plane.drawing
        (s0, s1), (u0, u1) = self.c.ranges
        self.g_s.set(min(max(round(drawing.x.value(x), 1), s0), s1))
        self.g_u.set(min(max(round(drawing.y.value(y), 1), u0), u1))

    async def _back(self) -> None:
        await self._load(self.c.back_to_prediction)

    def _twin_clicked(self, twin: int) -> None:
        if twin in range(self.c.twins):
            self.c.choose_twin(twin)
            self._show_population()
            self._show_simulated()

    def _show_twins(self, sliders: bool = True) -> None:
        """After other targets: the sliders too, unless it is they that were moved."""
        if sliders:
            self.g_s.set(self.c.targets[0])
            self.g_u.set(self.c.targets[1])
        self.back.enabled = self.c.predicted
        known = self.c.net.provenance.get("known", {})
        self.plane.show(drawings.plane(self.c.model, self.c.prediction, self.c.targets, known))
        self.made.text = self._said_of_twins()
        self._show_population()
        self._show_simulated()

    def _said_of_twins(self) -> str:
        """How many there are; before the first have been made, that they will be."""
        wanted, found = self.c.twins, int(self.c.found.sum())
        if not len(self.c.g):
            return "" if self.error.text else "Computing the first twins \N{HORIZONTAL ELLIPSIS}"
        if found == wanted:
            return f"{found} twins."
        return (
            f"{found or 'No'} twin{'s' if found != 1 else ''}. Of {wanted} that were asked for, "
            f"{'the others' if found else 'all'} would need a negative conductance."
        )

    def _show_population(self) -> None:
        c = self.c
        self.parallel.show(drawings.parallel(c.model, c.g, c.chosen))
        self.scatter.show(drawings.scatter(c.model, c.g, c.axes, c.chosen))
        self.twin.clear()
        with self.twin:
            parts.twin(c)

    def _axes_chosen(self) -> None:
        self.c.axes = self.across.value, self.up.value
        self._show_population()

    # 4

    def _simulation(self) -> None:
        with parts.step("4", "Simulation", "How the twins fire, beside the recording."):
            with ui.row().classes("controls"):
                self.seconds = ui.number(
                    "Seconds", value=3, min=SECONDS[0], max=SECONDS[1], precision=1
                )
                self.seconds.classes("short").mark("seconds")
                self.start = ui.button("Simulate", on_click=self._simulate)
                self.start.props("no-caps").mark("simulate")
                self.end = ui.button("Cancel", on_click=self.cancel)
                self.end.props("outline no-caps").mark("cancel")
                self.bar = ui.linear_progress(0.0, show_value=False).classes("bar").mark("bar")
                self.told = ui.label().classes("hint").props("role=status").mark("told")
            with ui.column().classes("inner") as self.results:
                self.compared = parts.Picture("compared", "twin", self._twin_clicked)
                with ui.row().classes("controls"):
                    ui.label("Membrane potential, the first").classes("hint")
                    self.window = ui.toggle(WINDOWS, value=1000).mark("window")
                    self.window.props("no-caps").on_value_change(self._show_simulated)
                self.voltage = parts.Picture("voltage")
                self.match = ui.column().classes("inner").mark("match")
            with ui.row().classes("controls"):
                ui.label("Take away").classes("hint")
                self.downloads = {
                    name: self._download(name, export) for name, export in exports.EXPORTS.items()
                }
        self.ticker = ui.timer(0.1, self._tick, active=False)

    async def _simulate(self) -> None:
        if self.stop is not None:
            return
        if self.seconds.value is None:
            self.told.text = f"Seconds must be from {SECONDS[0]} to {SECONDS[1]}."
            return
        self.stop, self.share = threading.Event(), 0.0
        self.told.text = ""
        self._show_simulated()
        self.ticker.activate()
        try:
            done = await run.io_bound(
                self.c.simulate, self.seconds.value, self._progress, self._ended(self.stop)
            )
            said = "" if done else "The twins were changed."
        except Cancelled:
            said = "Cancelled."
        except (ValueError, RuntimeError) as error:
            said = str(error)
        finally:
            self.stop = None
        if not self.client.is_deleted:
            self.ticker.deactivate()
            self.told.text = said
            self._show_population()
            self._show_simulated()

    def _ended(self, stop: threading.Event) -> Callable[[], bool]:
        return lambda: stop.is_set() or app.is_stopping

    def _progress(self, share: float) -> None:
        self.share = share  # from a thread: the page looks at it by its timer

    def _tick(self) -> None:
        self.bar.value = self.share
        if self.stop is not None:
            self.told.text = f"{100 * self.share:.0f} %"

    def cancel(self) -> None:
        """Ends the simulation that runs, if one does."""
        if self.stop is not None:
            self.stop.set()

    def closed(self) -> None:
        """After the tab was closed: ends what runs, and lets go of the recording, whoever still
        holds the page."""
        self.cancel()
        self.file, self.c = None, Controller(self.c.model)

    def _show_simulated(self) -> None:
        done, running = self.c.simulated, self.stop is not None
        self.start.enabled = not running and bool(self.c.found.any())
        self.end.enabled = self.bar.visible = running
        self.results.visible = done is not None
        for name, export in exports.EXPORTS.items():
            self.downloads[name].enabled = export.ready(self.c)
        if done is None:
            return
        c, span = self.c, min(1000 * done.seconds, 10_000.0)
        self.compared.show(drawings.compared(c.train, done.spikes, span, c.chosen))
        self.voltage.visible = c.chosen is not None
        if c.chosen is not None:
            shown = done.t <= self.window.value
            t, V = done.t[shown].numpy(), done.V[c.chosen][shown].numpy()
            self.voltage.show(drawings.voltage(t, V, c.chosen))
        self.match.clear()
        with self.match:
            parts.match(done)

    # What is taken away

    def _download(self, name: str, export: exports.Export) -> ui.button:
        async def give() -> None:
            async with self.work:
                content = await run.io_bound(export.content, self.c)
            if content is not None:
                ui.download.content(content, name, export.media_type)

        return ui.button(export.label, on_click=give).props("outline no-caps").mark(name)


def page() -> None:
    """What a browser sees."""
    Page(Controller())
