"""What the page gives to take away, as bytes: CSV that other programs read, and SVG."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..exports import label
from ..exports import spike_times as all_times
from ..metrics import FiringClass, metrics
from ..network import METRICS
from ..network.known import outside
from . import drawings, svg
from .controller import Controller

_METRIC_UNITS = ("Hz", "Hz", "Hz", "ms", "1")


def predictions(controller: Controller) -> bytes:
    """CSV, a line for every unit of the recording; DICs are by the leak, of unit 1."""
    trains, names = controller.recording.spikes, controller.recording.names
    said, measured = controller.net.predict(trains), metrics(trains)
    header = [
        "unit",
        "spikes",
        "g_s (1)",
        "g_s standard deviation (1)",
        "g_u (1)",
        "g_u standard deviation (1)",
        "firing class by intervals",
        "firing class by network",
    ]
    header += [
        f"{name} by network ({unit})" for name, unit in zip(METRICS, _METRIC_UNITS, strict=True)
    ]
    rows = []
    for b, name in enumerate(names):
        g_s, g_u = said.g_s[b].item(), said.g_u[b].item()
        sd_s, sd_u = said.uncertainty[b].tolist()
        by = (FiringClass(int(kind[b])).name.lower() for kind in (measured.firing_class, said[3]))
        rows.append(
            [
                label(name),
                int(trains.counts[b]),
                *map(_number, (g_s, sd_s, g_u, sd_u)),
                *by,
                *map(_number, said.metrics[b].tolist()),
                "; ".join(outside(controller.net, said, trains, b)),
            ]
        )
    return _csv([*header, "reasons for doubt"], rows)


def conductances(controller: Controller) -> bytes:
    """CSV, a line for every twin: its conductances, and the DICs they were made for."""
    channels = [f"g_{name} (mS/cm^2)" for name in controller.model.channel_names]
    source = controller.recording
    whose = [label(source.source), label(source.names[controller.unit])] if source else ["", ""]
    rows = [
        [b + 1, *map(repr, [*g.tolist(), *controller.targets]), *whose]  # the same neuron again
        for b, g in enumerate(controller.g)
        if controller.found[b]
    ]
    return _csv(["twin", *channels, "g_s (1)", "g_u (1)", "recording", "unit"], rows)


def spike_times(controller: Controller) -> bytes:
    """CSV, a line for every spike of the twins, in ms after they settled: it can be loaded."""
    trains = controller.simulated.spikes
    return all_times(trains, [f"twin {b + 1}" for b in range(len(trains))]).encode()


def figure(controller: Controller) -> bytes:
    """SVG of all that is drawn, finer than on the screen."""
    c, rows = controller, []
    if c.recording is not None:
        rows += [[drawings.raster(c.recording.spikes, c.recording.names, c.unit, columns=8000)]]
        rows += [[drawings.histogram(c.train)]]
    known = c.net.provenance.get("known", {})
    rows.append(
        [
            drawings.plane(c.model, c.prediction, c.targets, known),
            drawings.scatter(c.model, c.g, c.axes, c.chosen),
        ]
    )
    rows.append([drawings.parallel(c.model, c.g, c.chosen)])
    done = c.simulated
    if done is not None:
        if c.chosen is not None:
            rows.append([drawings.voltage(done.t.numpy(), done.V[c.chosen].numpy(), c.chosen)])
        rows.append([drawings.compared(c.train, done.spikes, 1000 * done.seconds, c.chosen, 8000)])
    return svg.sheet(rows).encode()


class Export(NamedTuple):
    """A file that can be taken away."""

    label: str
    media_type: str
    ready: Callable[[Controller], bool]  # whether there is anything in it
    content: Callable[[Controller], bytes]


#: By the file's name.
EXPORTS = {
    "predictions.csv": Export(
        "Predictions (CSV)", "text/csv", lambda c: c.recording is not None, predictions
    ),
    "conductances.csv": Export(
        "Conductances (CSV)", "text/csv", lambda c: bool(c.found.any()), conductances
    ),
    "spikes.csv": Export(
        "Spikes of the twins (CSV)", "text/csv", lambda c: c.simulated is not None, spike_times
    ),
    "figure.svg": Export("Figure (SVG)", "image/svg+xml", lambda c: True, figure),
}


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)  # quotes what holds a comma, a quote or a line break
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _number(value: float) -> str:
    """Empty where there is none."""
    return "" if value != value else f"{value:.7g}"
