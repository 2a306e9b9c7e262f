"""Pieces of the page: pictures, sliders, texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nicegui import events, ui

from ..metrics import FiringClass
from ..network.known import OF_CLASS, spoken
from .controller import Controller, Simulated
from .svg import Drawing

_CSS = """
body { background: #eef1f5; }
.page { width: 100%; max-width: 1220px; margin: 0 auto; padding: 12px 16px; gap: 14px; }
.title { font-size: 22px; font-weight: 600; color: #1f2933; }
.step { width: 100%; background: white; border: 1px solid #dde3ea; border-radius: 8px;
  padding: 14px 18px; gap: 10px; align-items: stretch; }
.step-number { width: 26px; height: 26px; border-radius: 50%; background: #2166ac; color: white;
  text-align: center; line-height: 26px; font-weight: 600; }
.step-title { font-size: 17px; font-weight: 600; }
.hint { color: #5b6875; font-size: 13px; }
.controls { align-items: center; gap: 14px; width: 100%; }
.inner, .notes { width: 100%; gap: 8px; align-items: stretch; }
.notes { gap: 2px; font-size: 13px; }
.side { width: 100%; gap: 20px; flex-wrap: nowrap; align-items: flex-start; }
.text { gap: 8px; flex: 1; }
.select { min-width: 170px; } .short { width: 90px; }
.slider { width: 300px; gap: 0; } .slider .value { font-weight: 600; }
.picture svg { display: block; max-width: 100%; height: auto; }
.picture [data-twin], .picture [data-unit] { cursor: pointer; }
.picture path[data-twin]:hover { stroke-width: 4; stroke-opacity: 1; }
.picture rect[data-twin]:hover, .picture rect[data-unit]:hover { fill: #2166ac; fill-opacity: .08; }
.plane { cursor: crosshair; }
.banner { border-radius: 6px; padding: 8px 12px; width: 100%; overflow-wrap: anywhere; }
.banner:empty { display: none; }
.bad { background: #fdecea; color: #8c1d18; border: 1px solid #f2b8b5; }
.doubt { background: #fff4e0; color: #6b4100; border: 1px solid #f0c987; }
.good { background: #e9f5ec; color: #1d5130; border: 1px solid #b5dcc1; }
.big { font-size: 18px; }
.bar { width: 240px; } .hidden-upload { display: none; }
.numbers { border-collapse: collapse; align-self: flex-start; }
.numbers th { text-align: left; color: #5b6875; }
.numbers th, .numbers td { padding: 3px 22px 3px 0; font-size: 14px; }
"""
#: Sends the number of the twin or of the unit that a click is on.
_CLICKED = """(e) => {{
  const found = e.target.closest("[data-{what}]");
  if (found) emit(Number(found.getAttribute("data-{what}")));
}}"""
#: Sends the pixel of the drawing that a click is on.
_PLACE = """(e) => {
  const svg = e.currentTarget.querySelector("svg");
  const point = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
  emit([point.x, point.y]);
}"""


def style() -> None:
    """What all of the page looks like."""
    ui.add_css(_CSS)
    ui.colors(primary="#2166ac")


@contextmanager
def step(number: str, title: str, about: str) -> Iterator[None]:
    """A box with a heading."""
    with ui.column().classes("step"):
        with ui.row().classes("controls"):
            ui.label(number).classes("step-number")
            ui.label(title).classes("step-title").props("role=heading")
            ui.label(about).classes("hint")
        yield


class Picture:
    """A drawing on the page. ``clicked`` is called with the number of the twin or unit that a click
    is on, ``place`` with the pixel."""

    def __init__(
        self,
        name: str,
        what: str = "",
        clicked: Callable[[int], object] | None = None,
        place: Callable[[float, float], object] | None = None,
    ) -> None:
        # Our own text, escaped where it is made; a sanitiser in the browser takes 0.1 s of it.
        self.html = ui.html(sanitize=False).classes(f"picture {name}").mark(name)
        self.name = name
        self.drawing: Drawing | None = None
        if clicked is not None:
            self.html.on(
                "click", lambda e: _with_number(clicked, e), js_handler=_CLICKED.format(what=what)
            )
        if place is not None:
            self.html.on("click", lambda e: _with_place(place, e), js_handler=_PLACE)

    def show(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.html.content = drawing.svg()

    @property
    def visible(self) -> bool:
        return self.html.visible

    @visible.setter
    def visible(self, value: bool) -> None:
        self.html.visible = value


def _with_number(clicked: Callable[[int], object], event: events.GenericEventArguments) -> object:
    """Calls with what a browser sent, if it is a number."""
    return clicked(event.args) if type(event.args) is int else None


def _with_place(
    place: Callable[[float, float], object], event: events.GenericEventArguments
) -> object:
    sent = event.args
    right = isinstance(sent, list) and len(sent) == 2 and {type(x) for x in sent} <= {int, float}
    return place(*sent) if right else None


class Slider:
    """A slider with its name and value."""

    def __init__(
        self, name: str, low: float, high: float, value: float, changed: Callable[[], object]
    ) -> None:
        with ui.column().classes(f"slider {name}"):
            with ui.row().classes("controls"):
                ui.label(name)
                label = ui.label().classes("value").mark(f"{name}-value")
            self.slider = ui.slider(min=low, max=high, step=0.1, value=value).mark(name)
            self.slider.props(f'aria-label="{name}"')
            label.bind_text_from(self.slider, "value", _signed)
            self.slider.on_value_change(changed)

    @property
    def value(self) -> float | None:
        value = self.slider.value
        return float(value) if type(value) in (int, float) else None

    def set(self, value: float) -> None:
        self.slider.value = value


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def facts(c: Controller) -> None:
    """The unit in numbers."""
    ui.label(c.recording.names[c.unit]).style("font-weight: 600; overflow-wrap: anywhere")
    with table():
        for pair in c.facts():
            with ui.element("tr"):
                for tag, text in zip(("th", "td"), pair, strict=True):
                    cell(tag, text)


def prediction(c: Controller) -> None:
    """What is predicted, and what speaks against it."""
    if c.prediction is None:
        ui.label("Load a recording, or try an example, to see a prediction.").classes("hint")
        return
    if c.predicted:
        values = (c.prediction.g_s[0].item(), c.prediction.g_u[0].item())
        for name, value, sd in zip(
            ("g_s", "g_u"), values, c.prediction.uncertainty[0].tolist(), strict=True
        ):
            ui.label(f"{name} = {_signed(value)} \N{PLUS-MINUS SIGN} {sd:.1f}").classes("big")
        kind = FiringClass(int(c.prediction.firing_class[0])).name.lower()
        ui.label(f"The network takes the unit for a {kind} neuron.")
        ui.label(
            "\N{PLUS-MINUS SIGN}: one standard deviation, as the network states it. Both are "
            f"divided by the leak conductance, at {c.model.V_threshold:g} mV, of a "
            f"{c.model.title} ({c.model.source})."
        ).classes("hint")
    reasons = c.doubts()
    if not reasons:
        ui.label("The unit is like those that the network was trained on.").classes("banner good")
        return
    with ui.column().classes("banner doubt").style("gap: 2px").mark("doubts"):
        title = "Do not rely on this prediction:" if c.predicted else "No prediction:"
        ui.label(title).style("font-weight: 600")
        for reason in reasons:
            ui.label(f"\N{BULLET} {reason}")


def twin(c: Controller) -> None:
    """The conductances of the twin that is looked at."""
    if not c.found.any():
        return
    if c.chosen is None:
        ui.label("Click a line or a dot to look at one twin.").classes("hint")
        return
    ui.label(f"Twin {c.chosen + 1}").style("font-weight: 600; color: #d9730d").mark("chosen-twin")
    names, values = c.model.channel_names, c.g[c.chosen].tolist()
    half = (len(names) + 1) // 2
    rows = zip(range(half), range(half, 2 * half), strict=True)
    with table():
        for pair in rows:
            with ui.element("tr"):
                for k in pair:
                    if k < len(names):
                        cell("th", f"g_{names[k]}")
                        cell("td", f"{values[k]:.4g}")
    ui.label("mS/cm\N{SUPERSCRIPT TWO}").classes("hint")


def match(done: Simulated) -> None:
    """How the recording and its twins fire."""
    found = done.match
    if found is None:
        ui.label("There is no recording to compare with.").classes("hint")
        return
    kind = found.firing_class.name.lower()
    with table():
        with ui.element("tr"):
            for text in ("", "recording", "twins, median"):
                cell("th", text)
        share = "" if _none(found.same_class) else f"{100 * found.same_class:.0f} % {kind}"
        _row("firing", kind, share)
        _row("mean rate (Hz)", _value(found.rate), _value(found.twin_rate))
        units = OF_CLASS.get(found.firing_class, {})
        for name, (ours, theirs) in found.metrics.items():
            unit = f" ({units[name]})" if units[name] else ""
            _row(f"{spoken(name)}{unit}", _value(ours), _value(theirs))
    if found.outside:
        with ui.column().classes("banner doubt").style("gap: 2px").mark("match-doubts"):
            ui.label("Do not rely on these twins:").style("font-weight: 600")
            for reason in found.outside:
                ui.label(f"\N{BULLET} {reason}")


@contextmanager
def table() -> Iterator[None]:
    with ui.element("table").classes("numbers"), ui.element("tbody"):
        yield


def cell(tag: str, text: str) -> None:
    with ui.element(tag):
        ui.label(text)


def _row(*texts: str) -> None:
    with ui.element("tr"):
        for tag, text in zip(("th", "td", "td"), texts, strict=True):
            cell(tag, text)


def _none(value: float) -> bool:
    return value != value


def _value(value: float) -> str:
    return "\N{EN DASH}" if _none(value) else f"{value:.3g}"
