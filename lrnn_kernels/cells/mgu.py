"""The minimal gated unit (Zhou, Wu, Zhang and Zhou 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Kernel
from ..options import boolean


def step(
    states: tuple[Tensor], p_f: Tensor, p_n: Tensor, w_hh: Tensor, *, reset_after: bool
) -> tuple[tuple[Tensor], Tensor]:
    """f = sigmoid(p_f + W_f h'), n = tanh(p_n + W_n (f h')) or tanh(p_n + f (W_n h')), h = (1-f) h'
    + f n (Zhou et al. 2016, eq. 6)."""
    (h,) = states
    w_f, w_n = w_hh.chunk(2)
    f = torch.sigmoid(p_f + h @ w_f.mT)
    n = torch.tanh(p_n + (f * (h @ w_n.mT) if reset_after else (f * h) @ w_n.mT))
    h = (1 - f) * h + f * n
    return (h,), h


def mgu(
    p_f: Tensor,
    p_n: Tensor,
    w_hh: Tensor,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    reset_after: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The minimal gated unit (Zhou, Wu, Zhang and Zhou 2016): a GRU whose one gate both resets and
    updates.

        f[t] = sigmoid(p_f[t] + W_f h[t-1])
        n[t] = tanh(p_n[t] + W_n (f[t] h[t-1]))
        h[t] = (1-f[t]) h[t-1] + f[t] n[t]

    Args:
        p_f, p_n: (B,T,C), the pre-activations of the gate and the candidate, biases included.
        w_hh: (2C,C), W_f and W_n, one below the other.
        reset_after: whether the gate acts after the candidate's product, n[t] = tanh(p_n[t] + f[t]
            (W_n h[t-1])), one product a step in place of two, one after the other.

    For the backward pass the gate, the candidate, its recurrent term (where reset_after) and the
    state before it are saved, 12 bytes per element in float32 (16). Matrix products, states,
    resets, gradients and errors: see ``lrnn_kernels.cells``.
    """
    options = mgu_options(reset_after)
    return run(
        MGU,
        [p_f, p_n],
        [w_hh],
        options,
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def mgu_step(
    p_f: Tensor,
    p_n: Tensor,
    w_hh: Tensor,
    h: Tensor | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reset_after: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``mgu``: p_f, p_n (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    options = mgu_options(reset_after)
    inputs = [p_f, p_n]
    return run_step(MGU, inputs, [w_hh], options, h, reset=reset, h_reset=h_reset, backend=backend)


def mgu_options(reset_after: bool) -> dict[str, Any]:
    """The options of an MGU, checked."""
    return {"reset_after": boolean("reset_after", reset_after)}


def _kernel(options: Mapping[str, Any], has_reset: bool) -> Kernel:
    return KERNELS[options["reset_after"]]


#: By whether the gate acts after the candidate's product.
KERNELS = {
    after: Kernel(
        "mgu_reset_after" if after else "mgu",
        streams=2,
        engine="matrix",
        saves="states",
        saved=4 if after else 3,
        blocks=(2,),
    )
    for after in (False, True)
}

MGU = Cell(
    "mgu",
    summary="f = sigmoid(p_f + W_f h'), n = tanh(p_n + W_n (f h')), h = (1-f) h' + f n; w_hh "
    "(2C,C)",
    inputs=("p_f", "p_n"),
    params=("w_hh",),
    step=step,
    kernels=tuple(KERNELS.values()),
    kernel=_kernel,
    function=mgu,
    streaming=mgu_step,
    options={"reset_after": False},
    check=mgu_options,
    variants=({}, {"reset_after": True}),
)
