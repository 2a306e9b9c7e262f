"""The first-quadrant BMRU: the unit of the analog circuit."""

from __future__ import annotations

import torch
from torch import Tensor

from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Heaviside, Kernel, affine, share
from .hysteresis import EPS, eps_and_width, numbers


class WriteByTwo(torch.autograd.Function):
    """(hold + (1-hold) eps) h + (1-hold) z_hi alpha, hold = (1-z_lo)(1-z_hi), for z_lo and z_hi of
    0 or 1, which select as in hysteresis.Write.

    With g the adjoint: dhold = g ((1-eps) h - z_hi alpha), dz_lo = -(1-z_hi) dhold, dz_hi =
    (1-hold) g alpha - (1-z_lo) dhold.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z_lo: Tensor, z_hi: Tensor, alpha: Tensor, h: Tensor, eps: float) -> Tensor:
        return torch.where(
            (z_lo != 0) | (z_hi != 0), torch.where(z_hi != 0, alpha, 0) + share(eps, h), h
        )

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, g: Tensor):
        z_lo, z_hi, alpha, h = ctx.saved_tensors
        low, high = z_lo != 0, z_hi != 0
        dhold = g * (share(1 - ctx.eps, h) - torch.where(high, alpha, 0))
        dz_hi = torch.where(low | high, g * alpha, 0) - torch.where(low, 0, dhold)
        dh = torch.where(low | high, share(ctx.eps, g), g)
        return torch.where(high, 0, -dhold), dz_hi, torch.where(high, g, 0), dh, None


def step(
    h: Tensor,
    x: Tensor,
    beta_lo: Tensor,
    beta_hi: Tensor,
    alpha: Tensor,
    *,
    eps: float,
    width: float,
) -> Tensor:
    """First-quadrant BMRU: h = (hold + (1-hold) eps) h' + (1-hold) z_hi alpha, hold =
    (1-z_lo)(1-z_hi), candidate ReLU(x)."""
    u = torch.relu(x)
    z_lo = Heaviside.apply(beta_lo.expand_as(u), u, width)
    z_hi = Heaviside.apply(u, beta_hi.expand_as(u), width)
    return WriteByTwo.apply(z_lo, z_hi, alpha.expand_as(u), h, eps)


def fq_bmru(
    x: Tensor,
    beta_lo: Tensor,
    beta_hi: Tensor,
    alpha: Tensor,
    *,
    eps: float | Tensor = 0.0,
    width: float = 1.0,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The first-quadrant BMRU of the analog circuit: states 0 and alpha, switched by two positive
    thresholds.

    u = ReLU(x), z_lo = H(beta_lo - u), z_hi = H(u - beta_hi), hold = (1-z_lo)(1-z_hi),
    h[t] = (hold + (1-hold) eps) h[t-1] + (1-hold) z_hi alpha.

    Args:
        x: (B,T,C), the pre-activation W x + b; its ReLU is fused.
        beta_lo, beta_hi, alpha: (C,), with 0 < beta_lo < beta_hi expected (not checked: values are
            data).
        eps: 0 is the circuit; up to 1 in training. A tensor under torch.compile, as of ``bmru``.
        width: of the surrogate derivative, > 0.
    """
    params = [beta_lo, beta_hi, alpha]
    return run(
        FQ_BMRU,
        [x],
        params,
        eps_and_width(eps, width),
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def fq_bmru_step(
    x: Tensor,
    beta_lo: Tensor,
    beta_hi: Tensor,
    alpha: Tensor,
    h: Tensor | None = None,
    *,
    eps: float | Tensor = 0.0,
    width: float = 1.0,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``fq_bmru``: x (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    return run_step(
        FQ_BMRU,
        [x],
        [beta_lo, beta_hi, alpha],
        eps_and_width(eps, width),
        h,
        reset=reset,
        h_reset=h_reset,
        backend=backend,
    )


def _draw(draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    low = draw(draw.channels, 0.1, 0.4, sign=False)
    x = 0.5 + 0.5 * draw.normal(draw.stream)
    x[:, 1::7, ::3] = 0.0  # the kink of ReLU
    return [x], [
        low,
        low + draw(draw.channels, 0.3, 0.6, sign=False),
        draw(draw.channels, 0.5, 1.5),
    ]


FQ_BMRU = Cell(
    "fq_bmru",
    summary="states {0, alpha}, two thresholds, ReLU fused",
    inputs=("x",),
    params=("beta_lo", "beta_hi", "alpha"),
    step=affine(step),
    kernels=(Kernel("fq_bmru", streams=1, reads=("x",), varying=EPS),),
    function=fq_bmru,
    streaming=fq_bmru_step,
    layer_step="fq_bmru_thresholds",
    options={"eps": 0.0, "width": 1.0},
    check=eps_and_width,
    numbers=numbers,
    draw=_draw,
    variants=({}, {"eps": 0.5, "width": 0.7}, {"eps": 1.0}),
)
