"""What every task returns, and how answers are scored."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Sequences, what to answer at each step, and the steps at which answers count.

    The loss of any classification task is ``F.cross_entropy(outputs[batch.mask], batch.answers)``,
    that of any regression ``F.mse_loss(outputs[batch.mask], batch.answers)``.

    Where a sequence has one answer, ``targets`` repeats it at every step without taking memory
    (stride 0), so that a mean over steps can be trained, too.
    """

    inputs: Tensor  # (B,T,C), float32, or tokens (B,T), int64
    targets: Tensor  # classes (B,T), int64, or values (B,T,C), float32
    mask: Tensor  # (B,T), bool

    @property
    def answers(self) -> Tensor:
        """The targets that count, sequence after sequence: (N,) or (N,C)."""
        return self.targets[self.mask]

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """The batch elsewhere: ``Tensor.to``'s device and ``non_blocking`` (not a dtype, which its
        parts do not share)."""
        return Batch(*(x.to(*args, **kwargs) for x in self))


def last_step(batch_size: int, steps: int) -> Tensor:
    """A mask (B,T) that asks for one answer, at the end."""
    mask = torch.zeros(batch_size, steps, dtype=torch.bool)
    mask[:, -1] = True
    return mask


def accuracy(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Share of the answers that are right, ``{"accuracy": ..., "chance": 1 / K}``.

    outputs: scores of K classes at every step, (B,T,K), or at the steps of ``batch.mask`` alone,
    (N,K) as ``outputs[batch.mask]`` has them. A NaN is a wrong answer.
    Raises ValueError for another shape and where no answer counts.
    """
    scores = _read(outputs, batch)
    answers = batch.answers.to(scores.device)
    if int(answers.max()) >= scores.shape[-1]:
        raise ValueError(
            f"outputs must have a score for each class, up to {int(answers.max())}, got "
            f"{scores.shape[-1]} scores"
        )
    right = (scores.argmax(-1) == answers) & ~scores.isnan().any(-1)
    return {"accuracy": right.double().mean().item(), "chance": 1 / scores.shape[-1]}


def mean_square(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Mean square error of the answers, ``{"mse": ..., "chance": 1.0}``: what the constant answer 0
    costs where targets have mean 0 and variance 1.

    outputs: (B,T,C), or at the steps of ``batch.mask`` alone, (N,C).
    Raises ValueError for another shape and where no answer counts.
    """
    values = _read(outputs, batch)
    answers = batch.answers.to(values.device)
    if values.shape != answers.shape:
        raise ValueError(f"outputs must have {answers.shape[-1]} channels, got {values.shape[-1]}")
    return {"mse": (values.double() - answers).square().mean().item(), "chance": 1.0}


def _read(outputs: Tensor, batch: Batch) -> Tensor:
    """The outputs at the steps that count, (N,K)."""
    if not isinstance(outputs, Tensor):
        raise TypeError(f"outputs must be a tensor, got {type(outputs).__name__}")
    count = int(batch.mask.sum())
    if not count:
        raise ValueError("batch.mask must ask for an answer, got no step that counts")
    if outputs.dim() == 3 and outputs.shape[:2] == batch.mask.shape:
        return outputs[batch.mask.to(outputs.device)]
    if outputs.dim() == 2 and len(outputs) == count:
        return outputs
    raise ValueError(
        f"outputs must have shape {(*batch.mask.shape, 'K')} or, at the steps of the mask, "
        f"{(count, 'K')}, got {tuple(outputs.shape)}"
    )
