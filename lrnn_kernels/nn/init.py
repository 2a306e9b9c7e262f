"""The distributions that the papers draw their parameters from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..options import number

#: Standard deviation of N(0,1) cut to (-2,2): what the draw is divided by, so that its own variance
#: is the one asked for.
_TRUNCATED_STD = 0.87962566103423978


@torch.no_grad()
def lecun_normal_(weight: Tensor) -> Tensor:
    """Fills an (out,in) weight from a normal cut at two standard deviations, with variance 1/in."""
    std = 1 / math.sqrt(weight.shape[1]) / _TRUNCATED_STD
    return torch.nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


@torch.no_grad()
def random_choice_(x: Tensor, low: float, high: float) -> Tensor:
    """Fills x with low or high, each with probability one half."""
    return x.bernoulli_(0.5).mul_(high - low).add_(low)


@torch.no_grad()
def recurrent_uniform_(p: Mapping[str, Tensor], hidden_size: int) -> None:
    """Fills a layer's parameters, one after the other, uniformly in +-1/sqrt(H), as torch's
    recurrent layers do; a learned initial state is zero."""
    bound = 1 / math.sqrt(hidden_size)
    for name, x in p.items():
        x.zero_() if name == "h0" else x.uniform_(-bound, bound)


@torch.no_grad()
def lru_ring_(
    nu: Tensor, theta: Tensor, gamma: Tensor, r_min: float, r_max: float, max_phase: float
) -> None:
    """Fills nu, theta and gamma so that lambda is uniform on the ring between r_min and r_max, its
    phase on [0, max_phase].

    nu = log(-1/2 log(u1 (r_max^2 - r_min^2) + r_min^2)), theta = log(max_phase u2), gamma = log
    sqrt(1 - |lambda|^2), u1, u2 ~ U(0,1).
    """
    tiny = torch.finfo(torch.float32).tiny
    u1, u2 = (
        torch.empty(nu.shape, dtype=torch.float32, device=nu.device).uniform_().clamp_(min=tiny)
        for _ in range(2)
    )
    # |lambda|^2 = 0 or 1 would make nu infinite; float32's neighbours of both are close enough.
    squared = (u1 * (r_max**2 - r_min**2) + r_min**2).clamp_(tiny, 1 - 2**-24)
    nu.copy_((-0.5 * squared.log()).log())
    theta.copy_((max_phase * u2).log())
    gamma.copy_(0.5 * torch.log1p(-squared))


#: Where parameters start: one number for all, or a range from which each is drawn.
Range = float | tuple[float, float]


def given_range(name: str, value: Range) -> Range:
    """A starting value, or a range (low, high) of them, checked."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be a number or (low, high), got {len(value)} numbers")
        low, high = (number(name, x, -math.inf, math.inf) for x in value)
        if low > high:
            raise ValueError(
                f"{name} must be (low, high) with low <= high, got ({low:g}, {high:g})"
            )
        return low, high
    return number(name, value, -math.inf, math.inf)


@torch.no_grad()
def from_range_(x: Tensor, value: Range) -> Tensor:
    """Fills x with a number, or uniformly from a range."""
    return x.uniform_(*value) if isinstance(value, tuple) else x.fill_(value)
