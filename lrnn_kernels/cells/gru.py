"""The gated recurrent unit (Cho et al. 2014), in torch's form and in the paper's."""

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
    states: tuple[Tensor],
    p_r: Tensor,
    p_z: Tensor,
    p_n: Tensor,
    w_hh: Tensor,
    b_hn: Tensor,
    *,
    reset_after: bool,
) -> tuple[tuple[Tensor], Tensor]:
    """r = sigmoid(p_r + W_r h'), z = sigmoid(p_z + W_z h'), n = tanh(p_n + r (W_n h' + b_hn)), h =
    z h' + (1-z) n; or n = tanh(p_n + W_n (r h') + b_hn), the paper's order (Cho et al. 2014)."""
    (h,) = states
    w_r, w_z, w_n = w_hh.chunk(3)
    r = torch.sigmoid(p_r + h @ w_r.mT)
    z = torch.sigmoid(p_z + h @ w_z.mT)
    recurrent = r * (h @ w_n.mT + b_hn) if reset_after else (r * h) @ w_n.mT + b_hn
    n = torch.tanh(p_n + recurrent)
    h = z * h + (1 - z) * n
    return (h,), h


def gru(
    p_r: Tensor,
    p_z: Tensor,
    p_n: Tensor,
    w_hh: Tensor,
    b_hn: Tensor | None = None,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    reset_after: bool = True,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The gated recurrent unit (Cho et al. 2014), as torch.nn.GRU has it.

        r[t] = sigmoid(p_r[t] + W_r h[t-1]),  z[t] = sigmoid(p_z[t] + W_z h[t-1])
        n[t] = tanh(p_n[t] + r[t] (W_n h[t-1] + b_hn))
        h[t] = z[t] h[t-1] + (1-z[t]) n[t]

    Args:
        p_r, p_z, p_n: (B,T,C), the pre-activations of the reset gate, the update gate and the
            candidate: W_i x and all biases but b_hn.
        w_hh: (3C,C), W_r, W_z and W_n, one below the other.
        b_hn: (C,), the candidate's recurrent bias; zero by default.
        reset_after: whether the reset gate acts after the candidate's product, as above and in
            torch and cuDNN; False for the paper's n[t] = tanh(p_n[t] + W_n (r[t] h[t-1]) + b_hn),
            two products a step, one after the other.

    For the backward pass the gates, the candidate, its recurrent term (where reset_after) and the
    state before it are saved, 20 bytes per element in float32 (16). Matrix products, states,
    resets, gradients and errors: see ``lrnn_kernels.cells``.
    """
    inputs, options = [p_r, p_z, p_n], gru_options(reset_after)
    return run(
        GRU,
        inputs,
        _params(p_r, w_hh, b_hn),
        options,
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def gru_step(
    p_r: Tensor,
    p_z: Tensor,
    p_n: Tensor,
    w_hh: Tensor,
    b_hn: Tensor | None = None,
    h: Tensor | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reset_after: bool = True,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``gru``: p_r, p_z, p_n (B,C), h (B,C) or None for zero. Returns (y, h), both
    (B,C)."""
    inputs, params = [p_r, p_z, p_n], _params(p_r, w_hh, b_hn)
    options = gru_options(reset_after)
    return run_step(GRU, inputs, params, options, h, reset=reset, h_reset=h_reset, backend=backend)


def gru_options(reset_after: bool) -> dict[str, Any]:
    """The options of a GRU, checked."""
    return {"reset_after": boolean("reset_after", reset_after)}


def _given(
    p_r: Tensor,
    p_z: Tensor,
    p_n: Tensor,
    w_hh: Tensor,
    b_hn: Tensor | None,
    reset_after: bool,
) -> tuple[Cell, list[Tensor], list[Tensor], Mapping[str, Any]]:
    return GRU, [p_r, p_z, p_n], _params(p_r, w_hh, b_hn), gru_options(reset_after)


def _params(p_r: Tensor, w_hh: Tensor, b_hn: Tensor | None) -> list[Tensor]:
    if b_hn is None and isinstance(w_hh, Tensor):
        b_hn = w_hh.new_zeros(w_hh.shape[-1:])
    return [w_hh, b_hn]


def _kernel(options: Mapping[str, Any], has_reset: bool) -> Kernel:
    return KERNELS[options["reset_after"]]


#: By whether the reset gate acts after the candidate's product.
KERNELS = {
    after: Kernel(
        "gru" if after else "gru_reset_before",
        streams=3,
        engine="matrix",
        saves="states",
        saved=5 if after else 4,
        blocks=(3,),
    )
    for after in (True, False)
}

GRU = Cell(
    "gru",
    summary="r, z = sigmoid(p + W h'), n = tanh(p_n + r (W_n h' + b_hn)), h = z h' + (1-z) n; w_hh "
    "(3C,C)",
    inputs=("p_r", "p_z", "p_n"),
    params=("w_hh", "b_hn"),
    step=step,
    kernels=tuple(KERNELS.values()),
    kernel=_kernel,
    function=gru,
    streaming=gru_step,
    options={"reset_after": True},
    check=gru_options,
    arguments=_given,
    variants=({}, {"reset_after": False}),
)
