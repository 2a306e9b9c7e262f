"""The bistable recurrent cell (Vecoven, Ernst and Drion 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Kernel


def step(
    states: tuple[Tensor], p_a: Tensor, p_c: Tensor, p_h: Tensor, w_a: Tensor, w_c: Tensor
) -> tuple[tuple[Tensor], Tensor]:
    """a = 1 + tanh(p_a + w_a h'), c = sigmoid(p_c + w_c h'), h = c h' + (1-c) tanh(p_h + a h')
    (Vecoven et al. 2021, sec. 2)."""
    (h,) = states
    a = 1 + torch.tanh(p_a + w_a * h)
    c = torch.sigmoid(p_c + w_c * h)
    h = c * h + (1 - c) * torch.tanh(p_h + a * h)
    return (h,), h


def brc(
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
    """The bistable recurrent cell (Vecoven, Ernst and Drion 2021, eq. 5-7), from its three
    pre-activations.

        a[t] = 1 + tanh(p_a[t] + w_a h[t-1]),  c[t] = sigmoid(p_c[t] + w_c h[t-1])
        h[t] = c[t] h[t-1] + (1-c[t]) tanh(p_h[t] + a[t] h[t-1])

    Args:
        p_a, p_c, p_h: (B,T,C), the pre-activations U_a x + b_a, U_c x + b_c and U x.
        w_a, w_c: (C,), the recurrent weights of the two gates. A channel is bistable while a > 1.

    States, resets, gradients and errors: see ``lrnn_kernels.cells``. The backward pass reads y and
        the pre-activations.
    """
    inputs, params = [p_a, p_c, p_h], [w_a, w_c]
    return run(
        BRC,
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


def brc_step(
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
    """One step of ``brc``: p_a, p_c, p_h (B,C), h (B,C) or None for zero. Returns (y, h), both
    (B,C)."""
    return run_step(
        BRC, [p_a, p_c, p_h], [w_a, w_c], {}, h, reset=reset, h_reset=h_reset, backend=backend
    )


BRC = Cell(
    "brc",
    summary="a = 1 + tanh(p_a + w_a h'); c = sigmoid(p_c + w_c h'); "
    "h = c h' + (1-c) tanh(p_h + a h')",
    inputs=("p_a", "p_c", "p_h"),
    params=("w_a", "w_c"),
    step=step,
    kernels=(Kernel("brc", streams=3, reads=("p_a", "p_c", "p_h"), engine="step"),),
    function=brc,
    streaming=brc_step,
)
