"""The neuromodulated bistable recurrent cell: the BRC with recurrent matrices (Vecoven, Ernst
and Drion 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Kernel


def step(
    states: tuple[Tensor], p_a: Tensor, p_c: Tensor, p_h: Tensor, w_a: Tensor, w_c: Tensor
) -> tuple[tuple[Tensor], Tensor]:
    """The BRC's step with recurrent matrices, w_a and w_c (C,C) (Vecoven et al. 2021, sec. 2)."""
    (h,) = states
    a = 1 + torch.tanh(p_a + h @ w_a.mT)
    c = torch.sigmoid(p_c + h @ w_c.mT)
    h = c * h + (1 - c) * torch.tanh(p_h + a * h)
    return (h,), h


def nbrc(
    p_a: Tensor,
    p_c: Tensor,
    p_h: Tensor,
    w_a: Tensor,
    w_c: Tensor,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The neuromodulated bistable recurrent cell (Vecoven, Ernst and Drion 2021, eq. 8-9): the BRC
    with recurrent matrices.

        a[t] = 1 + tanh(p_a[t] + W_a h[t-1]),  c[t] = sigmoid(p_c[t] + W_c h[t-1])
        h[t] = c[t] h[t-1] + (1-c[t]) tanh(p_h[t] + a[t] h[t-1])

    Args:
        p_a, p_c, p_h: (B,T,C), the pre-activations U_a x + b_a, U_c x + b_c and U x.
        w_a, w_c: (C,C), the recurrent matrices.

    For the backward pass both gates' pre-activations and the states are saved, 12 bytes per element
    in float32. Matrix products, states, resets, gradients and errors: see ``lrnn_kernels.cells``.
    """
    inputs, params = [p_a, p_c, p_h], [w_a, w_c]
    return run(
        NBRC,
        inputs,
        params,
        {},
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def nbrc_step(
    p_a: Tensor,
    p_c: Tensor,
    p_h: Tensor,
    w_a: Tensor,
    w_c: Tensor,
    h: Tensor | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``nbrc``: p_a, p_c, p_h (B,C), h (B,C) or None for zero. Returns (y, h), both
    (B,C)."""
    return run_step(
        NBRC, [p_a, p_c, p_h], [w_a, w_c], {}, h, reset=reset, h_reset=h_reset, backend=backend
    )


NBRC = Cell(
    "nbrc",
    summary="the same with matrices w_a, w_c (C,C): one product a step",
    inputs=("p_a", "p_c", "p_h"),
    params=("w_a", "w_c"),
    step=step,
    # Saved are both gates' pre-activations and the states.
    kernels=(
        Kernel(
            "nbrc",
            streams=3,
            reads=("p_h",),
            engine="matrix",
            saves="states",
            saved=3,
            blocks=(1, 1),
        ),
    ),
    function=nbrc,
    streaming=nbrc_step,
)
