"""What the page shows of recordings, predictions and twins, one drawing each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..metrics import intervals
from ..model import Model
from ..network import Prediction
from ..spikes import Spikes
from .svg import BLUE, GREY, INK, ORANGE, Drawing, number, round_step

#: Rows of a raster at most; beyond, neighbours share one.
ROWS = 120
WIDE, HALF = 1120, 550
#: Twins, and the chosen one.
TWIN, CHOSEN = BLUE, ORANGE


def raster(spikes: Spikes, names: Sequence[str], chosen: int, columns: int = 1000) -> Drawing:
    """All units of a recording, of which one is chosen; time from the first spike on."""
    units, lines = len(spikes), min(max(len(spikes), 1), ROWS)
    first, last = _ends(spikes.times)
    height = 90 + min(max(14 * lines, 24), 170)
    drawing = Drawing(WIDE, height, (0, (last - first) / 1000), (lines, 0), left=110)
    drawing.axes("Spikes", "time (s)", "", y_ticks=None)
    top, bottom = drawing.y.last, drawing.y.first
    hits = marks(spikes, first, last, lines, columns)
    row = chosen * lines // max(units, 1)
    mine = np.zeros_like(hits)
    mine[row] = marks(spikes[[chosen]], first, last, 1, columns)[0] if units else False
    hits[row] = False
    drawing.rows(hits, top, bottom, GREY)
    drawing.rows(mine, top, bottom, BLUE)
    step = (bottom - top) / lines
    if units <= lines:
        _unit_labels(drawing, names, chosen, top, step)
    else:
        drawing.text(
            drawing.x.first - 8,
            top + (row + 0.5) * step + 4,
            _short(names[chosen]),
            text_anchor="end",
            fill=BLUE,
            font_weight=600,
        )
    return drawing


def _unit_labels(
    drawing: Drawing, names: Sequence[str], chosen: int, top: float, step: float
) -> None:
    """Names beside their rows, as many as there is room for, and rows that can be clicked."""
    every = math.ceil(13 / step)
    for b, name in enumerate(names):
        near = abs(b - chosen) < every
        if b == chosen or (b % every == 0 and not near):
            colour, weight = (BLUE, 600) if b == chosen else (GREY, 400)
            drawing.text(
                drawing.x.first - 8,
                top + (b + 0.5) * step + 4,
                _short(name),
                text_anchor="end",
                fill=colour,
                font_weight=weight,
            )
        drawing.add(
            "rect",
            x=0,
            y=top + b * step,
            width=drawing.width,
            height=step,
            fill="none",
            pointer_events="all",
            data_unit=b,
        )


def marks(spikes: Spikes, first: float, last: float, lines: int, columns: int) -> np.ndarray:
    """Where there are spikes, (lines, columns) bool, of times from first to last in ms."""
    hits = np.zeros(lines * columns, dtype=bool)
    if len(spikes.times):
        inside = (spikes.times >= first) & (spikes.times <= last)
        share = (spikes.times[inside] - first) / (last - first)
        column = (share * columns).long().clamp(max=columns - 1)
        row = spikes.neurons()[inside] * lines // len(spikes)
        hits[(row * columns + column).numpy()] = True
    return hits.reshape(lines, columns)


def histogram(spikes: Spikes) -> Drawing:
    """Intervals of one unit, in bins of equal ratio."""
    isi = intervals(spikes).isi.numpy()
    isi = isi[isi > 0]
    low, high = (isi.min(), isi.max()) if len(isi) else (10.0, 100.0)
    low, high = min(low / 1.1, high / 2), max(high * 1.1, low * 2)
    edges = np.geomspace(low, high, 49)
    counts, _ = np.histogram(isi, edges)
    tallest = max(int(counts.max()), 1)
    drawing = Drawing(HALF, 230, (low, high), (0, 1.05 * tallest), log_x=True)
    drawing.axes(
        "Inter-spike intervals", "interval (ms), logarithmic", "count", y_ticks=min(5, tallest)
    )
    pixels, foot = drawing.x(edges), drawing.y(0)
    bars = [
        f"M{a:.1f} {foot:.1f}V{drawing.y(n):.1f}H{b:.1f}V{foot:.1f}Z"
        for a, b, n in zip(pixels[:-1], pixels[1:], counts, strict=True)
        if n
    ]
    drawing.add("path", d="".join(bars), fill=BLUE, stroke="white", stroke_width=0.5)
    return drawing


def plane(
    model: Model, prediction: Prediction | None, target: tuple[float, float], known: dict
) -> Drawing:
    """The predicted DICs with one and two standard deviations, the target of the twins, and where
    the network was trained."""
    (x0, x1), (y0, y1) = model.recipe.modulated
    shown = prediction is not None and bool(torch.isfinite(prediction.g_s[0]))
    x, y = (x0 - 2, x1 + 2), (y0 - 1, y1 + 1)
    if shown:
        g_s, g_u = prediction.g_s[0].item(), prediction.g_u[0].item()
        s, u = (2.2 * sd for sd in prediction.uncertainty[0].tolist())
        x = (min(x[0], g_s - s), max(x[1], g_s + s))
        y = (min(y[0], g_u - u), max(y[1], g_u + u))
    drawing = Drawing(HALF, 330, x, y)
    _trained(drawing, (x0, x1), (y0, y1), known)
    drawing.axes(
        "Dynamic input conductances", "g_s, slow (by the leak)", "g_u, ultraslow (by the leak)"
    )
    if shown:
        _ellipses(drawing, g_s, g_u, s / 2.2, u / 2.2)
    at = drawing.x(target[0]), drawing.y(target[1])
    drawing.add(
        "path",
        d=f"M{at[0]:.1f} {at[1] - 8:.1f}l8 8l-8 8l-8 -8Z",
        fill="none",
        stroke=ORANGE,
        stroke_width=2.5,
    )
    drawing.text(drawing.x.last, 15, "\N{WHITE DIAMOND} twins", text_anchor="end", fill=ORANGE)
    drawing.text(drawing.x.last - 64, 15, "+ predicted, 1 and 2 SD", text_anchor="end", fill=BLUE)
    return drawing


def _trained(drawing: Drawing, x: tuple, y: tuple, known: dict) -> None:
    """The range of the training data, and within it where neurons burst and where they spike."""
    _box(drawing, x, y, fill="#f5f7fa", stroke=GREY, stroke_dasharray="4 3")
    for kind, colour, place in (("bursting", "#f3e8f7", "start"), ("spiking", "#e6f0fa", "end")):
        if kind not in known:
            continue
        ends = known[kind]["g_s"]
        _box(drawing, ends, known[kind]["g_u"], fill=colour, fill_opacity=0.7)
        at = drawing.x(ends[0]) + 6 if place == "start" else drawing.x(ends[1]) - 6
        drawing.text(at, drawing.y(y[1]) + 16, f"{kind} in training", text_anchor=place, fill=GREY)


def _box(drawing: Drawing, x: Sequence[float], y: Sequence[float], **attributes: object) -> None:
    left, right, top, bottom = drawing.x(x[0]), drawing.x(x[1]), drawing.y(y[1]), drawing.y(y[0])
    drawing.add("rect", x=left, y=top, width=right - left, height=bottom - top, **attributes)


def _ellipses(drawing: Drawing, g_s: float, g_u: float, s: float, u: float) -> None:
    x, y = drawing.x(g_s), drawing.y(g_u)
    for times, opacity in ((2, 0.10), (1, 0.18)):
        rx, ry = drawing.x(g_s + times * s) - x, y - drawing.y(g_u + times * u)
        drawing.add(
            "ellipse", cx=x, cy=y, rx=rx, ry=ry, fill=BLUE, fill_opacity=opacity, stroke=BLUE
        )
    drawing.add(
        "path", d=f"M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12", stroke=BLUE, stroke_width=2.5
    )


def parallel(model: Model, g: Tensor, chosen: int | None) -> Drawing:
    """A line for every twin over its conductances, each on an axis of its own from 0 on."""
    names, most = model.channel_names, axis_ends(model, g)
    drawing = Drawing(WIDE, 300, (0, len(names) - 1), (0, 1), left=60, right=60, bottom=40)
    drawing.text(10, 15, "Conductances of the twins (mS/cm\N{SUPERSCRIPT TWO})", font_weight=600)
    for k, (name, end) in enumerate(zip(names, most, strict=True)):
        at = drawing.x(k)
        drawing.line(at, drawing.y.first, at, drawing.y.last, "#b8c2cc")
        for share in (0, 0.5, 1):
            y = drawing.y(share)
            drawing.line(at - 3, y, at, y, GREY)
            drawing.text(
                at - 6, y + 4, number(share * end), text_anchor="end", fill=GREY, font_size=10
            )
        drawing.text(at, drawing.y.first + 24, f"g_{name}", text_anchor="middle", font_weight=600)
    shares, x = g.numpy() / np.array(most), np.arange(len(names))
    for b in _last(len(g), chosen):
        if np.isfinite(shares[b]).all():
            drawing.curve(x, shares[b], **_style(b, chosen))
    return drawing


def scatter(model: Model, g: Tensor, channels: tuple[str, str], chosen: int | None) -> Drawing:
    """One conductance of every twin over another."""
    columns, most = [model.channel(name) for name in channels], axis_ends(model, g)
    ends = [most[column] for column in columns]
    drawing = Drawing(HALF, 330, (0, ends[0]), (0, ends[1]), left=64)
    labels = [f"g_{name} (mS/cm\N{SUPERSCRIPT TWO})" for name in channels]
    drawing.axes("Two conductances", *labels, grid=True)
    for b in _last(len(g), chosen):
        x, y = g[b, columns].tolist()
        if x == x and y == y:
            drawing.add(
                "circle",
                cx=drawing.x(x),
                cy=drawing.y(y),
                r=7 if b == chosen else 5,
                fill=CHOSEN if b == chosen else TWIN,
                fill_opacity=0.9 if b == chosen else 0.55,
                data_twin=b,
            )
    return drawing


def axis_ends(model: Model, g: Tensor) -> list[float]:
    """Of each conductance: where its axis ends. The same for all targets, wherever it can be, so
    that what a slider moves is seen to move."""
    largest = torch.nan_to_num(g).amax(0).tolist() if len(g) else [0.0] * len(model.channels)
    wide = [model.recipe.monte_carlo[name] for name in model.channel_names]
    return [
        end if value <= end else math.ceil(1.02 * value / (step := round_step(value / 10))) * step
        for value, end in zip(largest, wide, strict=True)
    ]


def _last(n: int, chosen: int | None) -> list[int]:
    """Who is drawn, one after the other: the chosen above all others."""
    return [b for b in range(n) if b != chosen] + ([] if chosen is None else [chosen])


def _style(b: int, chosen: int | None) -> dict[str, object]:
    if b == chosen:
        return {"stroke": CHOSEN, "stroke_width": 3, "data_twin": b}
    return {"stroke": TWIN, "stroke_width": 1.3, "stroke_opacity": 0.45, "data_twin": b}


def voltage(t: np.ndarray, V: np.ndarray, twin: int, colour: str = INK) -> Drawing:
    """V(t) of a twin, mV over ms; for every pixel its lowest and its highest value."""
    low, high = (np.nanmin(V), np.nanmax(V)) if np.isfinite(V).any() else (-80.0, 40.0)
    ends = (min(-80.0, math.floor(low / 10) * 10), max(40.0, math.ceil(high / 10) * 10))
    drawing = Drawing(WIDE, 250, (t[0], t[-1]), ends, left=110)
    drawing.axes(f"Membrane potential of twin {twin + 1}", "time (ms)", "V (mV)", x_ticks=10)
    drawing.curve(*envelope(t, V, WIDE), colour, stroke_width=1)
    return drawing


def envelope(t: np.ndarray, V: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each of so many pieces, in the order in which they come,
    so that no spike is lost; all values where there are few."""
    if len(t) <= 2 * columns:
        return t, V
    size = math.ceil(len(t) / columns)
    rows = np.pad(V, (0, -len(V) % size), mode="edge").reshape(-1, size)
    ends = np.sort(np.stack((rows.argmin(1), rows.argmax(1)), 1), axis=1)
    at = np.minimum(ends + np.arange(len(rows))[:, None] * size, len(V) - 1).ravel()
    return t[at], V[at]


def compared(
    recorded: Spikes, twins: Spikes, span: float, chosen: int | None, columns: int = 1000
) -> Drawing:
    """The recording above its twins, each from its first spike on, for so many ms."""
    lines = len(twins)
    step = min(14, 260 / max(lines, 1))
    top, strip = 26, 22
    height = int(top + strip + 8 + step * lines + 42)
    drawing = Drawing(WIDE, height, (0, span), (1, 0), left=110)
    drawing.axes(
        "Spikes of the recording and of its twins, from the first on",
        "time (ms)",
        "",
        x_ticks=10,
        y_ticks=None,
    )
    if len(recorded):
        drawing.rows(_from_first(recorded, span, columns), top, top + strip, INK)
        drawing.text(102, top + 15, "recording", text_anchor="end", font_weight=600)
    first = top + strip + 8
    hits = _from_first(twins, span, columns)
    others, mine = hits.copy(), np.zeros_like(hits)
    if chosen is not None and chosen < lines:
        others[chosen], mine[chosen] = False, hits[chosen]
        drawing.text(
            102,
            first + (chosen + 0.5) * step + 4,
            f"twin {chosen + 1}",
            text_anchor="end",
            fill=CHOSEN,
            font_weight=600,
        )
    drawing.rows(others, first, first + lines * step, TWIN)
    drawing.rows(mine, first, first + lines * step, CHOSEN)
    for b in range(lines):
        drawing.add(
            "rect",
            x=0,
            y=first + b * step,
            width=WIDE,
            height=step,
            fill="none",
            pointer_events="all",
            data_twin=b,
        )
    return drawing


def _from_first(spikes: Spikes, span: float, columns: int) -> np.ndarray:
    """Marks of each train by itself, whose first spike is at 0."""
    rows = [
        row - row[0] if len(row) else row for row in map(spikes.__getitem__, range(len(spikes)))
    ]
    return marks(Spikes.from_lists(rows), 0.0, span, len(rows), columns)


def _ends(times: Tensor) -> tuple[float, float]:
    """The first and the last time, ms; some time between them even where there is none."""
    first, last = (times.min().item(), times.max().item()) if len(times) else (0.0, 0.0)
    return first, max(last, first + 1.0)


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
