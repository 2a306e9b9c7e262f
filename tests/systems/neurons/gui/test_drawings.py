"""Drawings are SVG, show what they are given, and are made at once."""

import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons.gui import drawings, svg
from lrnn_kernels.neurons.network import Prediction

from . import cases

STG = neurons.STG
SVG = "{http://www.w3.org/2000/svg}"


def prediction(g_s=3.0, g_u=4.0, sd=1.0):
    values = (torch.tensor([x]) for x in (g_s, g_u))
    return Prediction(
        *values, torch.full((1, 2), sd), torch.ones(1, dtype=torch.int64), torch.zeros(1, 5)
    )


def population(n=8, missing=()):
    g = neurons.spiking_population("stg", n, seed=0).g
    g[list(missing)] = torch.nan
    return g


TRAINS = {
    "none": [[]],
    "one spike": [[5.0]],
    "one interval": [[5.0, 7.5]],
    "the same interval": [[10.0 * k for k in range(50)]],
    "two at once": [[1.0, 1.0, 2.0]],
    "negative times": [[-50.0, -3.0, 4.0, 90.0]],
    "late": [[1e9, 1e9 + 1, 1e9 + 9]],
    "one of many empty": [[], [1.0, 2.0, 30.0], []],
    "more than rows": [[float(b), b + 20.0] for b in range(500)],
}
KNOWN = {kind: {"g_s": [-3.0, 5.0], "g_u": [0.0, 9.0]} for kind in ("spiking", "bursting")}
V = np.sin(np.arange(30_000) / 50) * 50 - 20

DRAWINGS = {
    **{
        f"raster of {name}": lambda rows=rows: drawings.raster(
            neurons.Spikes.from_lists(rows), [str(b) for b in range(len(rows))], len(rows) // 2
        )
        for name, rows in TRAINS.items()
    },
    **{
        f"histogram of {name}": lambda rows=rows: drawings.histogram(
            neurons.Spikes.from_lists(rows)[len(rows) // 2 : len(rows) // 2 + 1]
        )
        for name, rows in TRAINS.items()
    },
    **{
        f"compared with {name}": lambda rows=rows: drawings.compared(
            neurons.Spikes.from_lists(rows)[:1], neurons.Spikes.from_lists(rows), 100.0, 0
        )
        for name, rows in TRAINS.items()
    },
    "compared with nothing": lambda: drawings.compared(
        neurons.Spikes.from_lists([]), neurons.Spikes.from_lists([[1.0, 2.0]]), 100.0, None
    ),
    "plane": lambda: drawings.plane(STG, prediction(), (3, 4), KNOWN),
    "plane without prediction": lambda: drawings.plane(STG, None, (0, 0), {}),
    "plane of a silent unit": lambda: drawings.plane(STG, prediction(*3 * [torch.nan]), (0, 0), {}),
    "plane of a far prediction": lambda: drawings.plane(
        STG, prediction(90.0, 80.0, 30.0), (0, 0), {}
    ),
    "parallel": lambda: drawings.parallel(STG, population(), 3),
    "parallel, some missing": lambda: drawings.parallel(STG, population(8, [0, 7]), None),
    "parallel, all missing": lambda: drawings.parallel(STG, population(8, range(8)), None),
    "parallel of none": lambda: drawings.parallel(STG, population(0), None),
    "scatter": lambda: drawings.scatter(STG, population(), ("CaS", "A"), 3),
    "scatter, all missing": lambda: drawings.scatter(
        STG, population(8, range(8)), ("Na", "Na"), None
    ),
    "voltage": lambda: drawings.voltage(np.arange(30_000) * 0.1, V, 3),
    "voltage, short": lambda: drawings.voltage(np.arange(100) * 0.1, V[:100], 3),
    "voltage, exploded": lambda: drawings.voltage(np.arange(100) * 0.1, V[:100] * np.nan, 3),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_svg_within_its_frame(name):
    drawing = DRAWINGS[name]()
    root = ET.fromstring(drawing.svg())
    assert root.tag == f"{SVG}svg"
    assert "nan" not in drawing.svg().lower().replace("twin", "")
    assert "inf" not in drawing.svg().lower()
    for text in root.iter(f"{SVG}text"):
        if "transform" not in text.attrib:
            assert 0 <= float(text.get("x")) <= drawing.width
            assert 0 < float(text.get("y")) <= drawing.height


@pytest.mark.parametrize("units", [1, 40, 1000])
def test_a_hundred_thousand_spikes_are_drawn_within_a_second(units):
    spikes = cases.many(units, 100_000 // units)
    names = [str(b) for b in range(units)]
    before = time.process_time()
    drawing = drawings.raster(spikes, names, 0)
    text = drawing.svg()
    drawings.histogram(spikes[0:1]).svg()
    assert time.process_time() - before < 1
    assert len(text) < 1_000_000  # which a browser takes in at once


def test_every_spike_is_in_the_raster():
    """Marks cover every spike's pixel, and nothing else."""
    spikes = cases.many(7, 40)
    first, last = spikes.times.min().item(), spikes.times.max().item()
    hits = drawings.marks(spikes, first, last, 7, 1000)
    expected = np.zeros((7, 1000), dtype=bool)
    for b in range(7):
        for t in spikes[b].tolist():
            expected[b, min(int((t - first) / (last - first) * 1000), 999)] = True
    assert (hits == expected).all()

    drawing = svg.Drawing(1020, 100, (0, 1), (0, 1), left=10, right=10)
    drawing.rows(hits, 0, 70, "black")
    path = ET.fromstring(drawing.svg()).find(f"{SVG}path").get("d")
    drawn = np.zeros_like(hits)
    for mark in path.split("M")[1:]:
        place, length = mark.split("h")
        x, y = map(float, place.split())
        drawn[int(y // 10), round(x - 10) : round(x - 10 + float(length))] = True
    assert (drawn == hits).all()


def test_spikes_outside_of_the_time_are_left_out():
    spikes = neurons.Spikes.from_lists([[-1.0, 0.0, 5.0, 10.0, 10.1]])
    assert drawings.marks(spikes, 0.0, 10.0, 1, 10)[0].nonzero()[0].tolist() == [0, 5, 9]


def test_the_histogram_counts_every_interval():
    spikes = neurons.Spikes.from_lists([cases.trains()[1]])
    path = next(
        part
        for part in ET.fromstring(drawings.histogram(spikes).svg())
        if part.get("stroke") == "white"
    ).get("d")
    drawing = drawings.histogram(spikes)
    heights = [float(bar.split("V")[1].split("H")[0]) for bar in path.split("M")[1:]]
    counts = [drawing.y.value(y) for y in heights]
    assert round(sum(counts)) == len(spikes.times) - 1


@pytest.mark.parametrize("n", [1, 5, 2239, 2241, 30_000])
def test_the_envelope_loses_no_extreme(n):
    t, values = np.arange(n) * 0.1, np.random.default_rng(0).normal(size=n)
    values[n // 3] = 100.0
    x, y = drawings.envelope(t, values, 1120)
    assert len(x) <= 2 * 1120
    assert (np.diff(x) >= 0).all()
    assert y.max() == 100.0
    assert y.min() == values.min()
    for a, b in zip(x, y, strict=True):
        assert values[round(a / 0.1)] == b


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "&amp;", '"><img src=x>', "a'b", "µ"]
)
def test_names_stay_text(name):
    drawing = drawings.raster(neurons.Spikes.from_lists([[1.0, 2.0, 3.0]]), [name], 0)
    root = ET.fromstring(drawing.svg())
    shown = name if len(name) <= 14 else f"{name[:13]}\N{HORIZONTAL ELLIPSIS}"
    assert shown in [text.text for text in root.iter(f"{SVG}text")]
    allowed = {f"{SVG}{tag}" for tag in ("svg", "g", "path", "text", "rect")}
    assert {part.tag for part in root.iter()} <= allowed


def test_who_can_be_clicked():
    g = population(8, [2])
    for drawing in (drawings.parallel(STG, g, 5), drawings.scatter(STG, g, ("Na", "A"), 5)):
        twins = [
            int(part.get("data-twin"))
            for part in ET.fromstring(drawing.svg()).iter()
            if part.get("data-twin")
        ]
        assert twins == [0, 1, 3, 4, 6, 7, 5]  # the chosen one is on top


def test_a_click_is_where_the_drawing_says():
    scale = drawings.plane(STG, None, (0, 0), {}).x
    for value in (-20.0, -3.3, 0.0, 19.9):
        assert scale.value(scale(value)) == pytest.approx(value)
    assert scale.value(-1000) == scale.low
    assert scale.value(10_000) == scale.high


def test_axes_stay_where_they_are_while_they_can():
    assert drawings.axis_ends(STG, population() * 0) == list(STG.recipe.monte_carlo.values())
    for factor in (1, 3, 10):
        ends = drawings.axis_ends(STG, factor * population())
        assert all(a >= b for a, b in zip(ends, (factor * population()).amax(0), strict=True))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-20, 20, [-20, -10, 0, 10, 20]),
        (0, 0.7, [0, 0.2, 0.4, 0.6]),
        (3, 3.1, [3, 3.02, 3.04, 3.06, 3.08, 3.1]),
    ],
)
def test_ticks(low, high, ticks):
    assert svg.Scale(low, high, 0, 100).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(("low", "high"), [(1, 10_000), (9, 11), (7.3, 90), (0.05, 1e5)])
def test_logarithmic_ticks(low, high):
    ticks = svg.Scale(low, high, 0, 100, log=True).ticks()
    assert len(ticks) >= 1
    assert all(low <= tick <= high for tick in ticks)
