"""Axes as SVG: what the page shows and what it exports is the same text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

#: Colours that are told apart without red and green, and in print.
INK, GREY, FAINT = "#1f2933", "#6b7785", "#e3e8ee"
BLUE, ORANGE = "#2166ac", "#d9730d"


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    first: float  # the pixel of low
    last: float  # the pixel of high
    log: bool = False

    def __call__(self, value):
        """Pixels of a number or of an array."""
        if self.log:
            low, high, value = math.log(self.low), math.log(self.high), np.log(value)
        else:
            low, high = self.low, self.high
        return self.first + (value - low) / (high - low) * (self.last - self.first)

    def value(self, pixel: float) -> float:
        """The value at a pixel, within the scale's ends; of a scale that is not logarithmic."""
        share = (pixel - self.first) / (self.last - self.first)
        return self.low + min(max(share, 0.0), 1.0) * (self.high - self.low)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values, in the steps of 1, 2 and 5."""
        if self.log:
            return _log_ticks(self.low, self.high)
        step = round_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def round_step(rough: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... that is at least this."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= rough * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        ticks = [k * 10.0**p for p in powers for k in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    return ticks


def number(value: float) -> str:
    """A tick's label."""
    return "0" if abs(value) < 1e-12 else f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")


class Drawing:
    """A box of axes with labels, in which values are drawn.

    x, y: (low, high). left, right, top, bottom: pixels around the box. Texts are escaped here, and
    nowhere else: whatever a file holds stays text.
    """

    def __init__(
        self,
        width: int,
        height: int,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        log_x: bool = False,
        left: int = 56,
        right: int = 14,
        top: int = 26,
        bottom: int = 42,
    ) -> None:
        self.width, self.height = width, height
        self.x = Scale(*x, left, width - right, log_x)
        self.y = Scale(*y, height - bottom, top)
        self.parts: list[str] = []

    def add(self, tag: str, text: str | None = None, **attributes: object) -> None:
        """An element; ``stroke_width=2`` is its attribute stroke-width."""
        said = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
            for name, value in attributes.items()
        )
        inside = "" if text is None else escape(text)
        self.parts.append(f"<{tag}{said}>{inside}</{tag}>")

    def text(self, x: float, y: float, text: str, **attributes: object) -> None:
        attributes = {"fill": INK, "font_size": 12, **attributes}
        self.add("text", text, x=x, y=y, **attributes)

    def axes(
        self,
        title: str,
        x_label: str,
        y_label: str,
        x_ticks: int | None = 6,
        y_ticks: int | None = 5,
        grid: bool = False,
    ) -> None:
        """The frame with ticks; None for no ticks."""
        x0, x1, y0, y1 = self.x.first, self.x.last, self.y.first, self.y.last
        for tick in self.x.ticks(x_ticks) if x_ticks else ():
            at = self.x(tick)
            self.line(at, y0, at, y1 if grid else y0 + 4, FAINT if grid else GREY)
            self.text(at, y0 + 16, number(tick), text_anchor="middle", fill=GREY, font_size=11)
        for tick in self.y.ticks(y_ticks) if y_ticks else ():
            at = self.y(tick)
            self.line(x0, at, x1 if grid else x0 - 4, at, FAINT if grid else GREY)
            self.text(x0 - 7, at + 4, number(tick), text_anchor="end", fill=GREY, font_size=11)
        self.add("path", d=f"M{x0} {y1}V{y0}H{x1}", fill="none", stroke=GREY)
        self.text(x0, 15, title, font_weight=600)
        self.text((x0 + x1) / 2, self.height - 8, x_label, text_anchor="middle")
        middle = (y0 + y1) / 2
        if y_label:
            turned = f"rotate(-90 14 {middle:.1f})"
            self.text(14, middle, y_label, text_anchor="middle", transform=turned)

    def line(self, x0, y0, x1, y1, stroke: str = INK, **attributes: object) -> None:
        """Between two points, in pixels."""
        self.add(
            "path",
            d=f"M{_plain(x0)} {_plain(y0)}L{_plain(x1)} {_plain(y1)}",
            fill="none",
            stroke=stroke,
            **attributes,
        )

    def rows(self, hits: np.ndarray, first: float, last: float, stroke: str, share=0.8) -> None:
        """Marks in the rows of a mask (rows, columns) that fills the box from one pixel to another,
        downward: a path with a stroke for every run of columns."""
        rows, columns = hits.shape
        width, height = (self.x.last - self.x.first) / columns, (last - first) / rows
        edges = np.diff(np.pad(hits, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        row, begin = np.nonzero(edges == 1)
        _, end = np.nonzero(edges == -1)
        x, y = self.x.first + begin * width, first + (row + 0.5) * height
        runs = zip(x.tolist(), y.tolist(), ((end - begin) * width).tolist(), strict=True)
        path = "".join(f"M{a:.5g} {b:.5g}h{c:.4g}" for a, b, c in runs)
        self.add("path", d=path, fill="none", stroke=stroke, stroke_width=max(height * share, 0.5))

    def curve(self, x: np.ndarray, y: np.ndarray, stroke: str, **attributes: object) -> None:
        """A line through values."""
        self.add(
            "path",
            d=path(self.x(x), self.y(y)),
            fill="none",
            stroke=stroke,
            stroke_linejoin="round",
            **attributes,
        )

    def svg(self) -> str:
        """The whole drawing."""
        return document(self.width, self.height, self.parts)


def path(x: np.ndarray, y: np.ndarray) -> str:
    """A path through points in pixels; a gap where one is NaN."""
    pen, words = "M", []
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if a != a or b != b:
            pen = "M"
            continue
        words.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L"
    return "".join(words)


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """An SVG of these elements, as it may stand in a file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="Roboto, Helvetica, Arial, sans-serif">'
        f"{''.join(parts)}</svg>"
    )


def sheet(rows: Sequence[Sequence[Drawing]], gap: int = 12) -> str:
    """Drawings on a page, one row of them below the other."""
    parts, y, widest = [], 0, 0
    for row in rows:
        x = 0
        for drawing in row:
            parts.append(f'<g transform="translate({x} {y})">{"".join(drawing.parts)}</g>')
            x += drawing.width + gap
        widest = max(widest, x - gap)
        y += max(drawing.height for drawing in row) + gap
    background = f'<rect width="{widest}" height="{y - gap}" fill="white"></rect>'
    return document(widest, y - gap, [background, *parts])


def _plain(value: object) -> str:
    """A number of pixels to a hundredth, or a text."""
    if isinstance(value, (int, float, np.floating)) and not isinstance(value, bool):
        return f"{float(value):.2f}".rstrip("0").rstrip(".")
    return str(value)
