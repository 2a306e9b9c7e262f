"""One training loop for every task: AdamW, cosine, clipping, and for the BMRU the anneal of eps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from lrnn_kernels.nn import BMRU, EpsAnneal


@dataclass
class Recipe:
    """The optimizer's settings; defaults are those of the cells' papers."""

    epochs: int
    batch: int = 64
    lr: float = 1e-3
    last_lr: float = 0.01  # as a share of lr
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0


def train(model: nn.Module, x: Tensor, labels: Tensor, recipe: Recipe, *, seed: int, label: str) -> dict[str, float]:
    """Trains in place on x (N,T,inputs) and labels (N,); returns the last loss and the seconds it took."""
    generator = torch.Generator().manual_seed(seed)
    batches = len(x) // recipe.batch
    steps = recipe.epochs * batches
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step / steps, recipe.last_lr))
    anneal = EpsAnneal.over(model, steps) if any(isinstance(m, BMRU) for m in model.modules()) else None
    model.train()
    started = time.perf_counter()
    loss = torch.tensor(math.nan)
    with tqdm(total=steps, desc=label, leave=False) as bar:
        for _ in range(recipe.epochs):
            order = torch.randperm(len(x), generator=generator)
            for picked in order[: batches * recipe.batch].view(batches, recipe.batch):
                loss = F.cross_entropy(model(x[picked]), labels[picked])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                optimizer.step()
                schedule.step()
                if anneal is not None:
                    anneal.step()
                bar.update()
            bar.set_postfix_str(f"loss {loss.item():.3f}")
    return {"loss": loss.item(), "seconds": time.perf_counter() - started}


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor, batch: int = 512) -> float:
    """The share of sequences that the model classifies rightly."""
    model.eval()
    right = sum((model(a).argmax(-1) == b).sum().item() for a, b in zip(x.split(batch), labels.split(batch), strict=True))
    return right / len(x)


def _cosine(done: float, last: float) -> float:
    return last + (1 - last) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
