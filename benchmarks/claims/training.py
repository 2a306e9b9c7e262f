"""One training loop for every task: AdamW, a short warm-up, cosine, clipping."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm


@dataclass
class Recipe:
    """The optimizer's settings; defaults are those of the cells' papers, but for warm-up and
    noise, which these do not have."""

    epochs: int
    batch: int = 64
    lr: float = 1e-3
    last_lr: float = 0.01  # as a share of lr
    warmup: int = 20  # steps
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    noise: float = 0.0  # standard deviation of what is added to the inputs


def train(
    model: nn.Module, x: Tensor, labels: Tensor, recipe: Recipe, *, seed: int, label: str
) -> dict[str, float]:
    """Trains in place on x (N,T,inputs) and labels (N,); returns the last loss and the seconds it
    took.

    eps stays as it is. Annealing it from 1 to 0 over 5 % and 70 % of the run, as the BMRU's paper
    does, did harm here: what was learned while the states could count was lost when they no longer
    could, and too few steps were left to learn it anew.
    """
    generator = torch.Generator().manual_seed(seed)
    batches = len(x) // recipe.batch
    steps = recipe.epochs * batches
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, recipe))
    model.train()
    started = time.perf_counter()
    loss = torch.tensor(math.nan)
    with tqdm(total=steps, desc=label, leave=False, disable=None) as bar:
        for _ in range(recipe.epochs):
            order = torch.randperm(len(x), generator=generator)
            for picked in order[: batches * recipe.batch].view(batches, recipe.batch):
                batch = x[picked]
                if recipe.noise:
                    batch += recipe.noise * torch.randn(batch.shape, generator=generator)
                loss = F.cross_entropy(model(batch), labels[picked])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                optimizer.step()
                schedule.step()
                bar.update()
            bar.set_postfix_str(f"loss {loss.item():.3f}")
    return {"loss": loss.item(), "seconds": time.perf_counter() - started}


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor, batch: int = 512) -> float:
    """The share of sequences that the model classifies rightly."""
    model.eval()
    right = sum(
        (model(a).argmax(-1) == b).sum().item()
        for a, b in zip(x.split(batch), labels.split(batch), strict=True)
    )
    return right / len(x)


def _rate(step: int, steps: int, recipe: Recipe) -> float:
    cosine = (
        recipe.last_lr + (1 - recipe.last_lr) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2
    )
    return cosine * min(1.0, (step + 1) / (recipe.warmup + 1))
