"""Units that remember by quantized hysteresis: BMRU, CMRU, and both with a magnitude per step
(the alpha-CMRU)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..calls.arguments import shape, strided, tensor
from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Heaviside, Kernel, Sign, affine, magnitude, share
from ..options import Varying, number, varying

#: How much of the old state an update keeps.
EPS = Varying("eps", 0.0, 1.0)


class Write(torch.autograd.Function):
    """(1-z) h + z (alpha s + eps h) for z of 0 or 1, which selects: what is not selected takes no
    part, though it be infinite.

    With g the adjoint: dz = g (alpha s - (1-eps) h), dalpha = z g s, ds = z g alpha, dh = (1-z) g +
    z eps g.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, alpha: Tensor, s: Tensor, h: Tensor, eps: float) -> Tensor:
        return torch.where(z != 0, alpha * s + share(eps, h), h)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, g: Tensor):
        z, alpha, s, h = ctx.saved_tensors
        writes = z != 0
        dz = g * (alpha * s - share(1 - ctx.eps, h))
        return (
            dz,
            torch.where(writes, g * s, 0),
            torch.where(writes, g * alpha, 0),
            torch.where(writes, share(ctx.eps, g), g),
            None,
        )


def step(h: Tensor, c: Tensor, beta: Tensor, alpha: Tensor, *, eps: float, width: float) -> Tensor:
    """BMRU (eps = 0), CMRU (eps = 1): z = H(|c| - |beta|), h = (1-z) h' + z (alpha S(c) + eps
    h')."""
    z = Heaviside.apply(magnitude(c), magnitude(beta), width)
    return Write.apply(z, alpha.expand_as(z), Sign.apply(c, width), h, eps)


def bmru(
    c: Tensor,
    beta: Tensor,
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
    """The bistable memory recurrent unit: z = H(|c| - |beta|), h[t] = (1-z) h[t-1] + z (alpha S(c)
    + eps h[t-1]).

    Args:
        c: (B,T,C), the candidate, any sign.
        beta: (B,T,C), the threshold; its magnitude counts, and |c| = |beta| updates. Or (C,), one
            that does not change, which takes no memory.
        alpha: (C,), the state's magnitude, any sign; or (B,C), one per sequence; or (B,T,C), a
            magnitude per step.
        eps: how much of the old state an update keeps: 0 is the BMRU (states -alpha and +alpha,
            "last write wins"), 1 the CMRU, in between the anneal of training. Under torch.compile,
            for which every number is a constant, a float64 tensor () on the CPU may change without
            compiling anew; it gets no gradient, and the reference does not check its range there.
        width: of the surrogate derivative, > 0.

    With eps 0 or 1 the forward pass equals the sequential loop bit for bit on one thread; see
    ``lrnn_kernels.cells`` for the rest. With eps = 0, alpha (C,) and no resets, the backward pass
    is served by one saved bit per element.
    """
    row, inputs, params, options = _given(c, beta, alpha, eps, width)
    return run(
        row,
        inputs,
        params,
        options,
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def bmru_step(
    c: Tensor,
    beta: Tensor,
    alpha: Tensor,
    h: Tensor | None = None,
    *,
    eps: float | Tensor = 0.0,
    width: float = 1.0,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``bmru``: c (B,C), beta and alpha (B,C) or (C,), h (B,C) or None for zero.
    Returns (y, h), both (B,C)."""
    row, inputs, params, options = _given(c, beta, alpha, eps, width, 2)
    return run_step(row, inputs, params, options, h, reset=reset, h_reset=h_reset, backend=backend)


def cmru(
    c: Tensor,
    beta: Tensor,
    alpha: Tensor,
    *,
    width: float = 1.0,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The cumulative memory recurrent unit, ``bmru`` with eps = 1: h[t] = h[t-1] + z alpha S(c), a
    staircase whose every level holds.

    Arguments as in ``bmru``; alpha of shape (B,T,C) is the alpha-CMRU. Its backward pass needs no
    saved state.
    """
    row, inputs, params, options = _given(c, beta, alpha, 1.0, width, cumulative=True)
    return run(
        row,
        inputs,
        params,
        options,
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def cmru_step(
    c: Tensor,
    beta: Tensor,
    alpha: Tensor,
    h: Tensor | None = None,
    *,
    width: float = 1.0,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``cmru``; see ``bmru_step``."""
    row, inputs, params, options = _given(c, beta, alpha, 1.0, width, 2, cumulative=True)
    return run_step(row, inputs, params, options, h, reset=reset, h_reset=h_reset, backend=backend)


def _given(
    c: Tensor,
    beta: Tensor,
    alpha: Tensor,
    eps: float | Tensor,
    width: float,
    dims: int = 3,
    cumulative: bool = False,
) -> tuple[Cell, list[Tensor], list[Tensor], dict[str, Any]]:
    """What runs: alpha changes with time (the alpha-CMRU) or is one value per channel. cumulative:
    whether its users call it cmru."""
    tensor("alpha", alpha)
    if isinstance(beta, Tensor) and beta.dim() != dims:
        tensor("c", c)
        if c.dim() == dims:
            beta = _for_all_steps(beta, c)
    if alpha.dim() == dims:
        row = ALPHA_CMRU if cumulative else ALPHA_BMRU
        return row, [c, beta, alpha], [], eps_and_width(eps, width)
    if alpha.dim() not in (1, 2):
        strided("alpha", alpha)
        raise ValueError(
            "alpha must have shape (C,) or (B, C), or that of c for the alpha-CMRU, got "
            f"{shape(alpha)}"
        )
    row = CMRU if cumulative else BMRU
    return row, [c, beta], [alpha], eps_and_width(eps, width)


def _for_all_steps(beta: Tensor, c: Tensor) -> Tensor:
    """Thresholds that do not change, (C,), as a stream of c's shape that takes no memory."""
    if beta.dim() != 1 or beta.shape[0] != c.shape[-1]:
        strided("beta", beta)
        raise ValueError(
            f"beta must have the shape of c, {shape(c)}, or ({c.shape[-1]},), got {shape(beta)}"
        )
    return beta.expand(c.shape)


def eps_and_width(eps: float | Tensor, width: float) -> dict[str, float | Tensor]:
    """The options of a cell that writes, checked."""
    return {
        "eps": varying(EPS, eps),
        "width": number("width", width, 0.0, float("inf"), open_low=True),
    }


def numbers(options: Mapping[str, Any]) -> list[float]:
    """The options as plain numbers; eps is none where it is a tensor."""
    return (
        [options["width"]]
        if isinstance(options["eps"], Tensor)
        else [options["eps"], options["width"]]
    )


def _kernel(options: Mapping[str, Any], has_reset: bool) -> Kernel:
    eps = options["eps"]
    if isinstance(eps, Tensor):  # whose value is not known yet
        return KERNEL
    if eps == 1.0:
        return ADDING
    # The last-write-wins engine saves one bit per element, which tells +alpha from -alpha: alpha
    # must not change with time, and the only other value a state may hold is h0.
    return LATCH if eps == 0.0 and not has_reset else KERNEL


def _kernel_per_step(options: Mapping[str, Any], has_reset: bool) -> Kernel:
    eps = options["eps"]
    return ADDING_PER_STEP if not isinstance(eps, Tensor) and eps == 1.0 else PER_STEP


def _exact(options: Mapping[str, Any], in_one_piece: bool) -> bool:
    """A BMRU only copies values, in any order; a CMRU adds, so its sums must be taken in the
    loop's order."""
    return options["eps"] == 0.0 or (options["eps"] == 1.0 and in_one_piece)


def _draw(draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    c, beta = (
        draw.normal(draw.stream),
        1.2 + 0.3 * draw.normal(draw.stream),
    )  # about a quarter of the steps update
    for t, (x, threshold) in enumerate(
        [
            (0.0, 0.0),
            (-0.0, 0.0),
            (0.75, 0.75),
            (-0.75, 0.75),
            (0.75, -0.75),
            (0.0, 0.5),
            (1.0, 0.0),
        ]
    ):
        c[:, t + 1 :: 29, ::5], beta[:, t + 1 :: 29, ::5] = (
            x,
            threshold,
        )  # signed zeros, ties, zero thresholds
    alpha = draw(draw.channels if cell.params else draw.stream, 0.5, 1.5)
    return ([c, beta], [alpha]) if cell.params else ([c, beta, alpha], [])


KERNEL = Kernel("hysteresis", streams=2, reads=("c", "beta"), varying=EPS)
PER_STEP = Kernel("hysteresis_per_step", streams=3, reads=("c", "beta", "alpha"), varying=EPS)
ADDING = Kernel("cmru", streams=2, reads=("c", "beta"), saves="nothing")
ADDING_PER_STEP = Kernel("cmru_per_step", streams=3, reads=("c", "beta", "alpha"), saves="nothing")
LATCH = Kernel("bmru", streams=2, reads=("c", "beta"), engine="latch", saves="bits", generic=KERNEL)

_PER_CHANNEL: dict[str, Any] = {
    "inputs": ("c", "beta"),
    "params": ("alpha",),
    "per_step": ("alpha",),
    "kernels": (KERNEL, ADDING, LATCH),
    "kernel": _kernel,
}
_PER_STEP: dict[str, Any] = {
    "inputs": ("c", "beta", "alpha"),
    "params": (),
    "kernels": (PER_STEP, ADDING_PER_STEP),
    "kernel": _kernel_per_step,
}
_ALL: dict[str, Any] = {"step": affine(step), "numbers": numbers, "draw": _draw, "exact": _exact}
_BMRU: dict[str, Any] = {
    "function": bmru,
    "streaming": bmru_step,
    "arguments": _given,
    "options": {"eps": 0.0, "width": 1.0},
    "variants": ({}, {"eps": 0.5, "width": 0.7}),
}
_CMRU: dict[str, Any] = {
    "function": cmru,
    "streaming": cmru_step,
    "arguments": partial(_given, eps=1.0, cumulative=True),
    "options": {"eps": 1.0, "width": 1.0},
}

_SUMMARY = "z = H(|c| - |beta|); h = (1-z) h' + z (alpha S(c) + eps h')"
_CUMULATIVE = "the same with eps = 1; alpha of shape (B,T,C) makes the alpha-CMRU"

BMRU = Cell("bmru", summary=_SUMMARY, **_PER_CHANNEL, **_BMRU, **_ALL)
CMRU = Cell("cmru", summary=_CUMULATIVE, **_PER_CHANNEL, **_CMRU, **_ALL)
# It moves as many bytes as the alpha-CMRU, and y once more: nothing to measure apart.
ALPHA_BMRU = Cell("alpha_bmru", **_PER_STEP, **_BMRU, **_ALL, measured={})
ALPHA_CMRU = Cell("alpha_cmru", **_PER_STEP, **_CMRU, **_ALL)
