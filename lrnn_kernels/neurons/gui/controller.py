"""What the page does, without the page: a recording, a prediction, twins, their simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ...options import integer, number, one_of
from .. import arguments, recordings
from ..metrics import FEWEST_SPIKES, FiringClass, intervals, isi_cv, metrics
from ..model import Model
from ..network import DICsNet, Prediction
from ..network.known import outside
from ..progress import Told
from ..spikes import Spikes
from ..twins import Match, matches, population, rates
from . import examples
from .simulation import fired

#: Bytes of a file, and units of it that are shown.
MOST_BYTES = 20 * 2**20
MOST_UNITS = 2000
#: How many twins there may be, and how many seconds of them.
TWINS = (8, 16, 32, 64)
SECONDS = (1, 300)
#: Which conductances are drawn over one another, at first.
AXES = ("CaS", "A")
#: Where the sliders are before anything is predicted.
START = (4.0, 5.0)


class Loaded(NamedTuple):
    """A recording."""

    spikes: Spikes
    names: list[str]
    notes: list[str]  # what was found in the file, dropped and changed
    source: str


@dataclass(frozen=True, eq=False)
class Simulated:
    """What the twins of the current targets do: times in ms from the end of their settling."""

    spikes: Spikes
    t: Tensor  # (N,) ms
    V: Tensor  # (twins, N) mV
    match: Match | None  # with the recording, if there is one
    seconds: float


@cache
def _network(model: Model) -> DICsNet:
    return DICsNet.pretrained(model)


class Controller:
    """One user's work, from a recording to twins that were simulated.

    unit: which unit of the recording is looked at. prediction: of this unit; None where there is
    no recording. targets: g_s and g_u of the twins, whose conductances are g (twins, channels),
    mS/cm^2, NaN where there is no such neuron. chosen: the twin that is looked at. axes: which two
    channels are drawn over one another. simulated: None until the twins were, and after every
    change of them.
    """

    def __init__(self, model: Model | str = "stg", net: DICsNet | None = None) -> None:
        self.model = arguments.model(model)
        self._net = net
        self.recording: Loaded | None = None
        self.unit = 0
        self.prediction: Prediction | None = None
        self.targets = START
        self.twins = TWINS[2]
        self.g = torch.empty(0, len(self.model.channels), dtype=torch.float64)
        self.chosen: int | None = None
        self.axes = AXES
        self.simulated: Simulated | None = None

    @property
    def net(self) -> DICsNet:
        return _network(self.model) if self._net is None else self._net

    # The recording

    def load(self, data: bytes, name: str, unit: str | None = None) -> None:
        """Reads the bytes of a file, whose times are in the unit "s" or "ms", or as the file
        says. Raises RecordingError for what cannot be read, and leaves all as it was."""
        if len(data) > MOST_BYTES:
            raise recordings.RecordingError(
                f"the file has {len(data) / 2**20:.1f} MB; at most {MOST_BYTES // 2**20} are read"
            )
        read = recordings.read_bytes(data, name, unit=unit)
        notes = read.report.lines()
        if len(read.spikes) > MOST_UNITS:
            notes.append(f"Only the first {MOST_UNITS:,} of {len(read.spikes):,} units are shown.")
        spikes = read.spikes[:MOST_UNITS]
        self._begin(Loaded(spikes, read.names[:MOST_UNITS], notes, read.source))

    def load_example(self, name: str) -> None:
        """Takes a neuron of ``examples.EXAMPLES``."""
        one_of("name", name, tuple(examples.EXAMPLES))
        example = examples.EXAMPLES[name]
        note = (
            f"A simulated {self.model.title} whose g_s is {example.g_s:g} and whose g_u is "
            f"{example.g_u:g}, for 6 s."
        )
        spikes = examples.spikes(name, self.model.name)
        self._begin(Loaded(spikes, [f"{name} example"], [note], f"{name} example"))

    def _begin(self, recording: Loaded) -> None:
        """Looks at the first unit that is not silent."""
        self.recording = recording
        self.choose_unit(int((recording.spikes.counts >= FEWEST_SPIKES).int().argmax()))

    def choose_unit(self, unit: int) -> None:
        """Looks at another unit of the recording: predicts its DICs, and makes its twins."""
        if self.recording is None or not 0 <= unit < len(self.recording.spikes):
            count = 0 if self.recording is None else len(self.recording.spikes)
            raise ValueError(f"unit must be one of {count} units, got {unit}")
        self.unit = unit
        self.prediction = self.net.predict(self.train)
        self.back_to_prediction()

    @property
    def train(self) -> Spikes:
        """The spikes of the unit that is looked at; of none before a recording is loaded."""
        if self.recording is None:
            return Spikes.from_lists([])
        return self.recording.spikes[self.unit : self.unit + 1]

    @property
    def predicted(self) -> bool:
        """Whether something is predicted of the unit."""
        return self.prediction is not None and bool(torch.isfinite(self.prediction.g_s[0]))

    def facts(self) -> list[tuple[str, str]]:
        """The unit in numbers: names and values with their units."""
        train = self.train
        if not len(train):
            return []
        times, isi = train[0], intervals(train).isi
        length = (times[-1] - times[0]).item() / 1000 if len(times) else 0.0
        found = [("spikes", f"{len(times):,}"), ("length", f"{length:.4g} s")]
        rate = rates(train).item()
        if rate == rate:
            found.append(("rate", f"{rate:.3g} Hz"))
        if len(isi):
            found.append(("median interval", f"{isi.median().item():.4g} ms"))
            found.append(("CV of the intervals", f"{isi_cv(train).item():.2f}"))
        return [*found, ("firing", self.firing_class.name.lower())]

    @property
    def firing_class(self) -> FiringClass:
        """Of the unit, by its intervals."""
        return FiringClass(int(metrics(self.train).firing_class[0]))

    def doubts(self) -> list[str]:
        """Why the prediction may be wrong, a sentence each."""
        if self.prediction is None:
            return []
        return outside(self.net, self.prediction, self.train, 0)

    # The twins

    def back_to_prediction(self) -> None:
        """Sets the twins' targets to the prediction, or to where the sliders end before it."""
        if self.predicted:
            g_s, g_u = self.prediction.g_s[0].item(), self.prediction.g_u[0].item()
            self.set_targets(
                *(_within(x, ends) for x, ends in zip((g_s, g_u), self.ranges, strict=True))
            )
        else:
            self.set_targets(*self.targets)

    @property
    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of g_s and g_u: where the network was trained, and the sliders' ends."""
        return self.model.recipe.modulated

    def set_targets(self, g_s: float, g_u: float, twins: int | None = None) -> None:
        """Makes the population of twins anew, by compensation of the same base neurons."""
        self.use(self.made(g_s, g_u, self.twins if twins is None else twins))

    def made(self, g_s: float, g_u: float, twins: int) -> Made:
        """A population for ``use``; touches nothing, so that it may be made in any thread."""
        g_s, g_u = (
            number(name, x, *ends)
            for name, x, ends in zip(("g_s", "g_u"), (g_s, g_u), self.ranges, strict=True)
        )
        one_of("twins", twins, TWINS)
        pair = (torch.tensor([x], dtype=torch.float64) for x in (g_s, g_u))
        return Made((g_s, g_u), population(self.model, *pair, twins)[0])

    def use(self, made: Made) -> None:
        """Takes a population."""
        self.targets, self.g = made
        self.twins, self.simulated = len(self.g), None
        if self.chosen is not None and self.chosen >= self.twins:
            self.chosen = None

    @property
    def found(self) -> Tensor:
        """(twins,) bool: where there is a neuron with these DICs and no negative conductance."""
        return (self.g == self.g).all(1)

    def choose_twin(self, twin: int | None) -> None:
        """Looks at a twin."""
        if twin is not None:
            if not 0 <= integer("twin", twin, 0) < self.twins:
                raise ValueError(f"twin must be below {self.twins}, got {twin}")
            twin = twin if self.found[twin] else None
        self.chosen = twin

    # Their simulation

    def simulate(
        self,
        seconds: float = 3.0,
        progress: Told = lambda share: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Simulates the twins for so many seconds after they have settled; raises Cancelled soon
        after ``cancelled`` is true. False where the twins were changed meanwhile, and what was
        simulated is theirs no longer."""
        seconds = number("seconds", seconds, *SECONDS)
        g, unit = self.g, (self.recording, self.unit)
        prediction, train = self.prediction, self.train
        done = fired(self.model, g, 1000 * seconds, progress, cancelled)
        match = None
        if prediction is not None:
            match = matches(self.net, prediction, train, g[None], done.spikes)[0]
        if g is not self.g or unit != (self.recording, self.unit):
            return False
        self.simulated = Simulated(*done, match, seconds)
        if self.chosen is None and self.found.any():
            self.chosen = int(self.found.nonzero()[0, 0])
        return True


class Made(NamedTuple):
    """A population of twins: its targets, and its conductances."""

    targets: tuple[float, float]
    g: Tensor


def _within(value: float, ends: tuple[float, float]) -> float:
    return min(max(value, ends[0]), ends[1])
