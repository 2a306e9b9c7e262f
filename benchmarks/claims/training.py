"""One training loop for every claim: an optimizer, a short warm-up, a schedule, clipping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrnn_kernels.nn import EpsAnneal

from . import progress

#: Steps over which a score is averaged.
_MEMORY = 20


@dataclass(frozen=True)
class Recipe:
    """The optimizer's settings; defaults are those of the cells' papers, but for warm-up, which
    these do not have.

    schedule: "cosine" to last_lr; "flat", linear to last_lr over the last fifth.
    anneal: eps of BMRUs is 1 for the first of these shares of the run, and falls to 0 over the
        second; None leaves it as it is.
    """

    steps: int
    lr: float = 1e-3
    schedule: str = "cosine"
    last_lr: float = 0.01  # as a share of lr
    warmup: int = 20  # steps
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    anneal: tuple[float, float] | None = None

    def rate(self, step: int) -> float:
        """The learning rate at a step, as a share of lr."""
        done = min(step / self.steps, 1.0)
        if self.schedule == "cosine":
            rate = self.last_lr + (1 - self.last_lr) * (1 + math.cos(math.pi * done)) / 2
        elif self.schedule == "flat":
            rate = max(self.last_lr, min(1.0, 5 * (1 - done)))
        else:
            raise ValueError(f"schedule must be 'cosine' or 'flat', got {self.schedule!r}")
        return rate * min(1.0, (step + 1) / (self.warmup + 1))


class Training:
    """A network, its optimizer and schedule, and how well it did so far; can be interrupted
    between steps and continued from ``state_dict``."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.network, self.recipe, self.step = network, recipe, 0
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=recipe.lr,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, recipe.rate)
        self.anneal = None
        if recipe.anneal is not None:
            hold, decay = recipe.anneal
            self.anneal = EpsAnneal.over(network, recipe.steps, hold=hold, decay=decay)
        self.scores: list[float] = []

    def train(
        self,
        attempt: Callable[[], tuple[Tensor, Tensor | float]],
        until: Callable[[float], bool] | None = None,
    ) -> dict[str, float]:
        """Steps until the recipe's number of them, or until the score of late, its mean over 20
        steps, satisfies ``until``. Each attempt draws a batch, and returns its loss and its score.

        Returns the last loss and score of late, the steps and the seconds they took.
        """
        self.network.train()
        started, loss = time.perf_counter(), torch.tensor(math.nan)
        while self.step < self.recipe.steps:
            loss, score = attempt()
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.schedule.step()
            if self.anneal is not None:
                self.anneal.step()
            self.scores.append(float(score))
            self.step += 1
            progress.at(self.step / self.recipe.steps)
            if until is not None and self.step >= _MEMORY and until(self.late()):
                break
        return {
            "loss": loss.item(),
            "score": self.late(),
            "steps": self.step,
            "seconds": time.perf_counter() - started,
        }

    def late(self, end: int | None = None) -> float:
        """The mean score of the last steps, or of those before a step."""
        end = len(self.scores) if end is None else end
        scores = self.scores[max(0, end - _MEMORY) : end]
        return sum(scores) / max(len(scores), 1)

    def first(self, reached: Callable[[float], bool]) -> int | None:
        """The first step after which the score of late satisfied this."""
        return next(
            (n for n in range(_MEMORY, len(self.scores) + 1) if reached(self.late(n))), None
        )

    def curve(self, points: int = 50) -> list[tuple[int, float]]:
        """(steps, score of late) at so many places of the run."""
        ends = sorted({round(len(self.scores) * (k + 1) / points) for k in range(points)} - {0})
        return [(end, round(self.late(end), 4)) for end in ends]

    def state_dict(self) -> dict:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "anneal": self.anneal and self.anneal.state_dict(),
            "step": self.step,
            "scores": self.scores,
        }

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.anneal is not None:
            self.anneal.load_state_dict(state["anneal"])
        self.step, self.scores = state["step"], list(state["scores"])


def fit(
    network: nn.Module,
    x: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    batch: int = 64,
    noise: float = 0.0,
) -> dict[str, float]:
    """Trains a classifier on sequences x (N,T,inputs) and their labels (N,), in random order;
    ``noise`` is the standard deviation of what is added to the inputs. The seed is of both."""
    generator = torch.Generator().manual_seed(seed)
    batches = epochs(x, labels, batch, generator)

    def attempt() -> tuple[Tensor, Tensor]:
        inputs, answers = next(batches)
        if noise:
            inputs = inputs + noise * torch.randn(inputs.shape, generator=generator)
        out = network(inputs)
        return F.cross_entropy(out, answers), (out.argmax(-1) == answers).float().mean()

    return Training(network, recipe).train(attempt)


def epochs(
    x: Tensor, labels: Tensor, batch: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in random order, again and again; each epoch leaves out what fills none."""
    while True:
        order = torch.randperm(len(x), generator=generator)
        for picked in order[: len(x) // batch * batch].view(-1, batch):
            yield x[picked], labels[picked]


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor, batch: int = 512) -> float:
    """The share of sequences that the model classifies rightly."""
    model.eval()
    right = sum(
        (model(a).argmax(-1) == b).sum().item()
        for a, b in zip(x.split(batch), labels.split(batch), strict=True)
    )
    return right / len(x)
