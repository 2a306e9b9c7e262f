"""Training, in windows that are sorted by their length; it goes on where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..datasets import files
from .augmentation import augmented, windows
from .dicsnet import DICsNet
from .evaluation import evaluate
from .examples import Examples
from .features import MOST_SPIKES
from .losses import training_loss

#: Batches whose trains are sorted by length together: batches then differ, and are full of spikes.
_SORTED = 64


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Args:
        samples: windows of trains in all; or
        seconds: of training in all, whatever the machine manages in it. Exactly one of both.
        batch: windows of a step.
        rate: of AdamW, after ``warm_up`` steps; it ends as half a cosine, at 0.
        longest: spikes of a window at first, and of any window only after ``whole`` of the budget:
            attention's cost grows with its square.
        clip: the largest norm of a step's gradient.
    """

    samples: int | None = None
    seconds: float | None = None
    batch: int = 64
    rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 1e-4
    warm_up: int = 200
    longest: int = 64
    whole: float = 0.7
    clip: float = 5.0

    def __post_init__(self) -> None:
        if (self.samples is None) == (self.seconds is None):
            raise ValueError(
                "of samples and seconds exactly one must be given, got "
                f"samples={self.samples!r} and seconds={self.seconds!r}"
            )


class Training:
    """Trains a network; ``run`` does.

    ``steps``, ``samples`` and ``seconds`` say what was done; ``curve`` has (samples, seconds, loss)
    of the training about a hundred times, each the mean since the one before; ``errors`` (samples,
    what ``evaluate`` finds) ten times, where there are examples to validate with.

    Args:
        net: in place.
        examples: to be trained on.
        schedule: how long, and how.
        validation: other examples.
        seed: of the order and of the augmentation; batch after batch depends on it alone.
        path: of a file that keeps all there is to keep; where it exists, training goes on from it,
            with the bits of one that was not interrupted if the budget is in samples.

    Raises ValueError where there are no examples, and where the file is of another training.
    """

    def __init__(
        self,
        net: DICsNet,
        examples: Examples,
        schedule: Schedule,
        *,
        validation: Examples | None = None,
        seed: int = 0,
        path: Path | str | None = None,
    ) -> None:
        self.net, self.examples, self.schedule, self.seed = net, examples, schedule, seed
        self.validation, self.path = validation, None if path is None else Path(path)
        if not len(examples):
            raise ValueError("examples must hold neurons, got none")
        self.optimizer = torch.optim.AdamW(
            [x for x in net.parameters() if x.requires_grad],
            schedule.rate,
            schedule.betas,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self.steps = self.samples = 0
        self.seconds = 0.0
        self.curve: list[tuple[int, float, float]] = []
        self.errors: list[tuple[int, dict[str, float]]] = []
        self._sum, self._since = 0.0, 0
        self._given = {**asdict(schedule), "seed": seed, "examples": len(examples)}
        self._given["betas"] = list(schedule.betas)
        if self.path is not None and self.path.exists():
            self._restore(torch.load(self.path, weights_only=True))

    @property
    def share(self) -> float:
        """How much of the budget is used."""
        if self.schedule.samples is not None:
            return self.samples / self.schedule.samples
        return self.seconds / self.schedule.seconds

    def run(
        self, progress: Callable[[float], object] | None = None, save_every: float = 60
    ) -> None:
        """Trains to the end of the budget. ``progress`` is told the share that is done after each
        step, and may raise to stop: what was done is kept, as every ``save_every`` seconds. Raises
        ValueError at once where it cannot be."""
        if self.path is not None:
            with files.folder(self.path.parent, "path's folder"):
                pass
        self.net.train()
        per_pass = -(-len(self.examples) // self.schedule.batch)
        saved = time.monotonic()
        try:
            while self.share < 1:
                number = self.steps // per_pass
                for batch in self._batches(number, self.steps % per_pass):
                    self._step(batch)
                    if time.monotonic() - saved > save_every:
                        self.save()
                        saved = time.monotonic()
                    if progress is not None:
                        progress(min(self.share, 1.0))
                    if self.share >= 1:
                        break
        finally:
            self.save()
            self.net.eval()

    def _batches(self, number: int, done: int) -> Iterator[tuple]:
        """Those of a pass over the examples, from batch ``done`` on."""
        size, generator = self.schedule.batch, _generator(self.seed, number)
        longest = self.schedule.longest if self.share < self.schedule.whole else MOST_SPIKES
        first, length = windows(self.examples.spikes, longest, generator)
        order = torch.randperm(len(self.examples), generator=generator)
        sorted_ones = [rows[length[rows].argsort()] for rows in order.split(size * _SORTED)]
        batches = torch.cat(sorted_ones).split(size)
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        for place in shuffled[done:]:
            rows = batches[place]
            examples = self.examples[rows]
            generator = _generator(self.seed, number, place)
            yield (
                augmented(examples.spikes, first[rows], length[rows], generator),
                examples.targets,
            )

    def _step(self, batch: tuple) -> None:
        started = time.monotonic()
        features, targets = batch
        rate = self.schedule.rate * (1 + math.cos(math.pi * min(self.share, 1))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.steps + 1) / self.schedule.warm_up)
        loss = training_loss(self.net(features), targets).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.schedule.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        before = int(100 * self.share)
        self._sum += loss.item()
        self._since += 1
        self.steps += 1
        self.samples += len(features.mask)
        self.seconds += time.monotonic() - started
        now = int(100 * self.share)
        if now > before:
            self.curve.append((self.samples, self.seconds, self._sum / self._since))
            self._sum, self._since = 0.0, 0
        if now // 10 > before // 10 and self.validation is not None:
            self.errors.append((self.samples, evaluate(self.net, self.validation)))

    def save(self) -> None:
        """Writes what was done to ``path``."""
        if self.path is None:
            return
        state = {
            "given": self._given,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": [self.steps, self.samples, self.seconds, self._sum, self._since],
            "curve": self.curve,
            "errors": self.errors,
            "generator": torch.get_rng_state(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        files.write(self.path, lambda file: torch.save(state, file))

    def _restore(self, state: dict) -> None:
        if state["given"] != self._given:
            differ = sorted(name for name, x in self._given.items() if state["given"][name] != x)
            raise ValueError(
                f"path must be of this training, got {self.path} of one with other "
                f"{', '.join(differ)}"
            )
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps, self.samples, self.seconds, self._sum, self._since = state["done"]
        self.curve = [tuple(point) for point in state["curve"]]
        self.errors = [tuple(point) for point in state["errors"]]
        torch.set_rng_state(state["generator"])


def _generator(*numbers: int) -> torch.Generator:
    """A generator of its own for each tuple of numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**63
    return torch.Generator().manual_seed(seed)
