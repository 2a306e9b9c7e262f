"""Steps with a surrogate derivative, for parameters: plain operations, so that they pass through torch.func and torch.compile."""

from __future__ import annotations

from torch import Tensor

from ..reference import surrogate


def heaviside(u: Tensor, width: float) -> Tensor:
    """H(u) = 1 if u >= 0 else 0, with dH/du := kappa(u) = w / (1 + (pi w u)^2)."""
    return (u >= 0).to(u.dtype) + surrogate(u.detach(), width) * (u - u.detach())


def sign(u: Tensor, width: float) -> Tensor:
    """S(u) = 2 H(u) - 1, with dS/du := 2 kappa(u)."""
    return 2 * heaviside(u, width) - 1
