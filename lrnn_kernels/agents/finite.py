"""What is NaN or infinite is told where it came from, before a network has read it or learned of
it: it would be lost."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def given(what: str, x: Tensor) -> None:
    """Raises ValueError where what an environment gave, (B,...), is not finite."""
    if math.isfinite(x.sum().item()):  # at once, as a rule: this is asked at every step
        return
    rows = x.reshape(len(x), -1)
    wrong = ~rows.isfinite()
    if bool(wrong.any()):
        b, n = wrong.nonzero()[0].tolist()
        raise ValueError(f"env must give finite {what}, got {rows[b, n].item()} in environment {b}")


def gradient(parameters: Iterable[nn.Parameter], where: str) -> None:
    """Raises RuntimeError where a gradient is not finite, before a step by it."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm(torch.nn.utils.get_total_norm(gradients), where)


def norm(of_gradient: Tensor, where: str) -> None:
    """The same, of a gradient's norm that is known."""
    if not bool(of_gradient.isfinite()):
        raise RuntimeError(
            f"the gradient must be finite, got a norm of {of_gradient.item()} {where}; no step was "
            "taken by it"
        )
