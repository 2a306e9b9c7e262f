"""The reference: what every cell computes, one time step at a time, in plain PyTorch.

This file is the documentation of the maths and the oracle of the tests. Autograd differentiates it; where a cell steps, the
step has a declared surrogate derivative. Nothing here is fast.

Conventions: H(0) = 1 and S(0) = +1; B batch, T time, C channels; h' is the state of the step before.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def surrogate(u: Tensor, width: float) -> Tensor:
    """kappa(u) = w / (1 + (pi w u)^2), which stands for the derivative of H; S = 2H - 1 gets twice that."""
    return width / (1 + (math.pi * width * u) ** 2)


class Heaviside(torch.autograd.Function):
    """H(u) = 1 if u >= 0 else 0, with dH/du := kappa(u)."""

    @staticmethod
    def forward(ctx, u: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.width = width
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * surrogate(u, ctx.width), None


class Sign(torch.autograd.Function):
    """S(u) = +1 if u >= 0 else -1, with dS/du := 2 kappa(u)."""

    @staticmethod
    def forward(ctx, u: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.width = width
        return torch.where(u >= 0, 1.0, -1.0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * 2 * surrogate(u, ctx.width), None


# One step of each cell: step(h', inputs, params, **options) -> h.


def linear(h: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """h = a h' + b."""
    return a * h + b


def lru(h: Tensor, u: Tensor, lam: Tensor) -> Tensor:
    """The LRU's state: h = lambda h' + u, complex, one lambda per channel (Orvieto et al. 2023, eq. 4)."""
    return lam * h + u


def hysteresis(h: Tensor, c: Tensor, beta: Tensor, alpha: Tensor, *, eps: float, width: float) -> Tensor:
    """BMRU (eps = 0), CMRU (eps = 1): z = H(|c| - |beta|), h = (1-z) h' + z (alpha S(c) + eps h')."""
    z = Heaviside.apply(c.abs() - beta.abs(), width)
    written = alpha * Sign.apply(c, width)
    # (1-z) h' + z eps h' + z alpha S(c), in the order that keeps h' untouched where z = 0
    return (1 - z + z * eps) * h + z * written


def fq_bmru(h: Tensor, x: Tensor, beta_lo: Tensor, beta_hi: Tensor, alpha: Tensor, *, eps: float, width: float) -> Tensor:
    """First-quadrant BMRU: h = (hold + (1-hold) eps) h' + (1-hold) z_hi alpha, hold = (1-z_lo)(1-z_hi), candidate ReLU(x)."""
    u = torch.relu(x)
    z_lo = Heaviside.apply(beta_lo - u, width)
    z_hi = Heaviside.apply(u - beta_hi, width)
    hold = (1 - z_lo) * (1 - z_hi)
    return (hold + (1 - hold) * eps) * h + (1 - hold) * z_hi * alpha


def min_gru(h: Tensor, k: Tensor, v: Tensor, *, positive: bool) -> Tensor:
    """minGRU: z = sigmoid(k), h = (1-z) h' + z v; positive: g(v) in place of v (Feng et al. 2024, sec. 3.1 and app. B)."""
    z = torch.sigmoid(k)
    if positive:
        v = torch.where(v >= 0, v + 0.5, torch.sigmoid(v))
    return (1 - z) * h + z * v


def scan(
    step: Callable[..., Tensor],
    inputs: list[Tensor],  # each [B, T, C], the step's first arguments
    params: list[Tensor],  # each [C] or [B, C], the step's next arguments
    *,
    h0: Tensor | None = None,  # [B, C]
    reset: Tensor | None = None,  # [B, T] bool
    h_reset: Tensor | None = None,  # [C] or [B, C]
    reverse: bool = False,
    **options,
) -> tuple[Tensor, Tensor]:
    """Runs a step over time; where ``reset`` is set, the state before the step is ``h_reset``. Returns y [B,T,C], h_last [B,C]."""
    first = inputs[0]
    B, T, C = first.shape
    carry = carry_dtype(first.dtype)
    inputs = [x.to(carry).unbind(1) for x in inputs]  # one gradient buffer a stream; x[:, t] would make one a step
    h = torch.zeros(B, C, dtype=carry, device=first.device) if h0 is None else h0
    if h_reset is None:
        h_reset = torch.zeros(C, dtype=carry, device=first.device)
    outputs = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        if reset is not None:
            h = torch.where(reset[:, t, None], h_reset, h)
        h = step(h, *(x[t] for x in inputs), *params, **options)
        outputs[t] = h
    y = torch.stack(outputs, dim=1).to(first.dtype) if T else first.clone()
    return y, h


def carry_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of states and parameters: float32 for 16-bit inputs, else the inputs' own."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
