"""Functions of parameters with a declared derivative: plain operations, so that they pass
through torch.func and torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cell import surrogate


def heaviside(u: Tensor, width: float) -> Tensor:
    """H(u) = 1 if u >= 0 else 0, with dH/du := kappa(u) = w / (1 + (pi w u)^2)."""
    return (u >= 0).to(u.dtype) + surrogate(u.detach(), width) * (u - u.detach())


def sign(u: Tensor, width: float) -> Tensor:
    """S(u) = 2 H(u) - 1, with dS/du := 2 kappa(u)."""
    return 2 * heaviside(u, width) - 1


def ceiling(u: Tensor, limit: float) -> Tensor:
    """min(u, limit), with derivative 1 everywhere, so that a parameter above the limit can come
    back below it."""
    return torch.where(u > limit, u - (u - limit).detach(), u)
