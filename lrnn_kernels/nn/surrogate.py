"""Functions of parameters with a declared derivative: plain operations, so that they pass
through torch.func and torch.compile. Where nobody asks for a derivative, as a policy acts, they are
the functions alone, and take a tenth of the time."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cell import surrogate
from .directions import is_transformed


def _has_derivative() -> bool:
    return torch.is_grad_enabled() or is_transformed()


def heaviside(u: Tensor, width: float) -> Tensor:
    """H(u) = 1 if u >= 0 else 0, with dH/du := kappa(u) = w / (1 + (pi w u)^2)."""
    value = (u >= 0).to(u.dtype)
    if not _has_derivative():
        return value
    return value + surrogate(u.detach(), width) * (u - u.detach())


def sign(u: Tensor, width: float) -> Tensor:
    """S(u) = 2 H(u) - 1, with dS/du := 2 kappa(u)."""
    return 2 * heaviside(u, width) - 1


def ceiling(u: Tensor, limit: float) -> Tensor:
    """min(u, limit), with derivative 1 everywhere, so that a parameter above the limit can come
    back below it."""
    if not _has_derivative():
        return u.clamp(max=limit)
    return torch.where(u > limit, limit + (u - u.detach()), u)
