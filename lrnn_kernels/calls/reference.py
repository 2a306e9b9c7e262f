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
    """H(x - y) = 1 if x >= y else 0, for infinite ones too, with dH/du := kappa(u) of u = x - y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, width: float) -> Tensor:
        return (x >= y).to(torch.promote_types(x.dtype, y.dtype))

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        x, y, ctx.width = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, y = ctx.saved_tensors
        through = grad * surrogate(x - y, ctx.width)
        return through, -through, None


class Sign(torch.autograd.Function):
    """S(u) = +1 if u >= 0 else -1, with dS/du := 2 kappa(u)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, width: float) -> Tensor:
        return torch.where(u >= 0, 1.0, -1.0).to(u.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        u, ctx.width = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * 2 * surrogate(u, ctx.width), None


class Write(torch.autograd.Function):
    """(1-z) h + z (alpha s + eps h) for z of 0 or 1, which selects: what is not selected takes no part, though it be infinite.

    With g the adjoint: dz = g (alpha s - (1-eps) h), dalpha = z g s, ds = z g alpha, dh = (1-z) g + z eps g.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, alpha: Tensor, s: Tensor, h: Tensor, eps: float) -> Tensor:
        return torch.where(z != 0, alpha * s + _share(eps, h), h)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, g: Tensor):
        z, alpha, s, h = ctx.saved_tensors
        writes = z != 0
        dz = g * (alpha * s - _share(1 - ctx.eps, h))
        return dz, torch.where(writes, g * s, 0), torch.where(writes, g * alpha, 0), torch.where(writes, _share(ctx.eps, g), g), None


class WriteByTwo(torch.autograd.Function):
    """(hold + (1-hold) eps) h + (1-hold) z_hi alpha, hold = (1-z_lo)(1-z_hi), for z_lo and z_hi of 0 or 1, which select as in Write.

    With g the adjoint: dhold = g ((1-eps) h - z_hi alpha), dz_lo = -(1-z_hi) dhold, dz_hi = (1-hold) g alpha - (1-z_lo) dhold.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z_lo: Tensor, z_hi: Tensor, alpha: Tensor, h: Tensor, eps: float) -> Tensor:
        return torch.where((z_lo != 0) | (z_hi != 0), torch.where(z_hi != 0, alpha, 0) + _share(eps, h), h)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, g: Tensor):
        z_lo, z_hi, alpha, h = ctx.saved_tensors
        low, high = z_lo != 0, z_hi != 0
        dhold = g * (_share(1 - ctx.eps, h) - torch.where(high, alpha, 0))
        dz_hi = torch.where(low | high, g * alpha, 0) - torch.where(low, 0, dhold)
        dh = torch.where(low | high, _share(ctx.eps, g), g)
        return torch.where(high, 0, -dhold), dz_hi, torch.where(high, g, 0), dh, None


def _share(part: float | Tensor, x: Tensor) -> Tensor:
    """part x, and 0 where part is 0."""
    return torch.where(torch.as_tensor(part, device=x.device) == 0, 0, part * x)


def magnitude(x: Tensor) -> Tensor:
    """|x|, whose derivative at 0 is 0, times whatever comes back."""
    return torch.where(x == 0, 0, x).abs()


# One step of each cell: step(h', inputs, params, **options) -> h.


def linear(h: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """h = a h' + b."""
    return a * h + b


def lru(h: Tensor, u: Tensor, lam: Tensor) -> Tensor:
    """The LRU's state: h = lambda h' + u, complex, one lambda per channel (Orvieto et al. 2023, eq. 4)."""
    return lam * h + u


def hysteresis(h: Tensor, c: Tensor, beta: Tensor, alpha: Tensor, *, eps: float, width: float) -> Tensor:
    """BMRU (eps = 0), CMRU (eps = 1): z = H(|c| - |beta|), h = (1-z) h' + z (alpha S(c) + eps h')."""
    z = Heaviside.apply(magnitude(c), magnitude(beta), width)
    return Write.apply(z, alpha.expand_as(z), Sign.apply(c, width), h, eps)


def fq_bmru(h: Tensor, x: Tensor, beta_lo: Tensor, beta_hi: Tensor, alpha: Tensor, *, eps: float, width: float) -> Tensor:
    """First-quadrant BMRU: h = (hold + (1-hold) eps) h' + (1-hold) z_hi alpha, hold = (1-z_lo)(1-z_hi), candidate ReLU(x)."""
    u = torch.relu(x)
    z_lo = Heaviside.apply(beta_lo.expand_as(u), u, width)
    z_hi = Heaviside.apply(u, beta_hi.expand_as(u), width)
    return WriteByTwo.apply(z_lo, z_hi, alpha.expand_as(u), h, eps)


def min_gru(h: Tensor, k: Tensor, v: Tensor, *, positive: bool) -> Tensor:
    """minGRU: z = sigmoid(k), h = (1-z) h' + z v; positive: g(v) in place of v (Feng et al. 2024, sec. 3.1 and app. B)."""
    z = torch.sigmoid(k)
    if positive:
        v = torch.where(v >= 0, v + 0.5, torch.sigmoid(v))
    return (1 - z) * h + z * v


# Step cells: step(states', inputs, params, **options) -> (states, y).


class Straight(torch.autograd.Function):
    """ReLU whose derivative is 1 everywhere."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.relu(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx, grad: Tensor):
        return grad


class Spike(torch.autograd.Function):
    """1 if u > 0 else 0 (a spike needs h above the threshold, so unlike H it is 0 at 0), with one of SPIKE_SURROGATES as its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, surrogate: str, width: float) -> Tensor:
        return (u > 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        u, surrogate, ctx.width = inputs
        ctx.slope = SPIKE_SURROGATES[surrogate]
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * ctx.slope(u, ctx.width), None, None


#: What stands for the derivative of a spike, by name; each has peak w and area 1.
SPIKE_SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "atan": surrogate,
    "fast_sigmoid": lambda u, w: w / (1 + 2 * w * u.abs()) ** 2,
    "sigmoid": lambda u, w: 4 * w * torch.sigmoid(4 * w * u) * torch.sigmoid(-4 * w * u),
    "triangle": lambda u, w: w * (1 - w * u.abs()).clamp(min=0),
}


def src(
    states: tuple[Tensor, Tensor, Tensor],
    u: Tensor,
    bias: Tensor,
    *,
    gradient: str,
    leak: float,
    rho: float,
    r: float,
    r_s: float,
    z: float,
    z_hyp: float,
    z_dep: float,
    slope: float,
    midpoint: float,
    threshold: float | None,
    surrogate: str,
    width: float,
    memory: str | int,  # where the kernels keep what their backward pass reads: no matter here
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """The spiking recurrent cell, states (i, h, h_s); with the detached gradient h' and h_s' are constants and dReLU is 1."""
    i, h_before, slow_before = states
    if gradient == "detached":
        h_before, slow_before = h_before.detach(), slow_before.detach()
    i = leak * i + u
    x = rho * torch.tanh(i / rho)
    z_s = z_hyp + (z_dep - z_hyp) * torch.sigmoid(slope * (h_before - midpoint))
    h = _share(z, h_before) + (1 - z) * torch.tanh(x + r * h_before + r_s * slow_before + bias)
    slow = z_s * slow_before + (1 - z_s) * h_before
    if threshold is not None:
        y = Spike.apply(h - threshold, surrogate, width)
    elif gradient == "detached":
        y = Straight.apply(h)
    else:
        y = torch.relu(h)
    return (i, h, slow), y


def brc(states: tuple[Tensor], p_a: Tensor, p_c: Tensor, p_h: Tensor, w_a: Tensor, w_c: Tensor) -> tuple[tuple[Tensor], Tensor]:
    """BRC: a = 1 + tanh(p_a + w_a h'), c = sigmoid(p_c + w_c h'), h = c h' + (1-c) tanh(p_h + a h') (Vecoven et al. 2021, sec. 2)."""
    (h,) = states
    a = 1 + torch.tanh(p_a + w_a * h)
    c = torch.sigmoid(p_c + w_c * h)
    h = c * h + (1 - c) * torch.tanh(p_h + a * h)
    return (h,), h


def nbrc(states: tuple[Tensor], p_a: Tensor, p_c: Tensor, p_h: Tensor, w_a: Tensor, w_c: Tensor) -> tuple[tuple[Tensor], Tensor]:
    """nBRC: the BRC with recurrent matrices, w_a and w_c (C,C) (Vecoven et al. 2021, sec. 2)."""
    (h,) = states
    a = 1 + torch.tanh(p_a + h @ w_a.mT)
    c = torch.sigmoid(p_c + h @ w_c.mT)
    h = c * h + (1 - c) * torch.tanh(p_h + a * h)
    return (h,), h


def affine(step: Callable[..., Tensor]) -> Callable[..., tuple[tuple[Tensor], Tensor]]:
    """An affine cell's step in the form of a step cell's: one state, which is the output."""

    def with_states(states: tuple[Tensor], *args, **options) -> tuple[tuple[Tensor], Tensor]:
        h = step(states[0], *args, **options)
        return (h,), h

    return with_states


def scan(
    step: Callable[..., tuple[tuple[Tensor, ...], Tensor]],
    inputs: list[Tensor],  # each [B, T, C], the step's first arguments
    params: list[Tensor],  # each [C] or [B, C], the step's next arguments
    *,
    states: int = 1,
    h0: Tensor | None = None,  # [B, states*C], side by side
    reset: Tensor | None = None,  # [B, T] bool
    h_reset: Tensor | None = None,  # [states*C] or [B, states*C]
    reverse: bool = False,
    **options,
) -> tuple[Tensor, Tensor]:
    """Runs a step over time; where ``reset`` is set, the state before the step is ``h_reset``. Returns y [B,T,C], h_last as h0."""
    first = inputs[0]
    B, T, C = first.shape
    carry = carry_dtype(first.dtype)
    inputs = [x.to(carry).unbind(1) for x in inputs]  # one gradient buffer a stream; x[:, t] would make one a step
    if h0 is None:
        h0 = torch.zeros(B, states * C, dtype=carry, device=first.device)
    if h_reset is None:
        h_reset = torch.zeros(states * C, dtype=carry, device=first.device)
    h, at_reset = h0.chunk(states, -1), h_reset.chunk(states, -1)
    outputs = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        if reset is not None:
            h = tuple(torch.where(reset[:, t, None], start, now) for start, now in zip(at_reset, h, strict=True))
        h, outputs[t] = step(h, *(x[t] for x in inputs), *params, **options)
    y = torch.stack(outputs, dim=1).to(first.dtype) if T else first.clone()
    return y, torch.cat(h, -1)


def carry_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of states and parameters: float32 for 16-bit inputs, else the inputs' own."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
