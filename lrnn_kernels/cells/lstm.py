"""Long short-term memory (Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000)."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from ..calls.arguments import joined, refuse
from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Kernel

States = tuple[Tensor, Tensor]


def step(
    states: States, p_i: Tensor, p_f: Tensor, p_g: Tensor, p_o: Tensor, w_hh: Tensor
) -> tuple[States, Tensor]:
    """i, f, o = sigmoid(p + W h'), g = tanh(p_g + W_g h'), c = f c' + i g, h = o tanh(c) (Gers et
    al. 2000)."""
    h, c = states
    w_i, w_f, w_g, w_o = w_hh.chunk(4)
    i = torch.sigmoid(p_i + h @ w_i.mT)
    f = torch.sigmoid(p_f + h @ w_f.mT)
    g = torch.tanh(p_g + h @ w_g.mT)
    o = torch.sigmoid(p_o + h @ w_o.mT)
    c = f * c + i * g
    h = o * torch.tanh(c)
    return (h, c), h


def lstm(
    p_i: Tensor,
    p_f: Tensor,
    p_g: Tensor,
    p_o: Tensor,
    w_hh: Tensor,
    *,
    state: States | None = None,
    reset: Tensor | None = None,
    h_reset: States | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
    **unknown: NoReturn,
) -> tuple[Tensor, States]:
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers,
    Schmidhuber and Cummins 2000), as torch.nn.LSTM has it.

        i[t] = sigmoid(p_i[t] + W_i h[t-1]),  f[t] = sigmoid(p_f[t] + W_f h[t-1])
        g[t] = tanh(p_g[t] + W_g h[t-1]),     o[t] = sigmoid(p_o[t] + W_o h[t-1])
        c[t] = f[t] c[t-1] + i[t] g[t],       h[t] = o[t] tanh(c[t])

    Args:
        p_i, p_f, p_g, p_o: (B,T,C), the pre-activations of the input gate, the forget gate, the
            candidate and the output gate, biases included.
        w_hh: (4C,C), W_i, W_f, W_g and W_o, one below the other.
        state: (h, c), each (B,C), before the first step; zero by default.
        reset, reverse, process_group, backend: as in ``lrnn_kernels.cells``.
        h_reset: (h, c), each (C,) or (B,C), both alike: the states at resets; zero by default.

    Returns (y, (h, c)): y (B,T,C) holds h[t]; the states after the last step, each (B,C), float32
    for 16-bit streams.

    For the backward pass the gates, the candidate and both states before it are saved, 24 bytes per
    element in float32. Matrix products, gradients and errors: see ``lrnn_kernels.cells``.
    """
    if unknown:
        refuse("lstm", LSTM, unknown)
    inputs = [p_i, p_f, p_g, p_o]
    h0 = joined("state", state, p_i, LSTM, shared=False)
    after = joined("h_reset", h_reset, p_i, LSTM, shared=True)
    how: dict[str, Any] = {"reverse": reverse, "process_group": process_group, "backend": backend}
    y, last = run(LSTM, inputs, [w_hh], {}, h0=h0, reset=reset, h_reset=after, **how)
    # Nobody else has last: the two may be changed in place.
    h, c = torch.unsafe_chunk(last, 2, -1)
    return y, (h, c)


def lstm_step(
    p_i: Tensor,
    p_f: Tensor,
    p_g: Tensor,
    p_o: Tensor,
    w_hh: Tensor,
    state: States | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: States | None = None,
    backend: str = "auto",
    **unknown: NoReturn,
) -> tuple[Tensor, States]:
    """One step of ``lstm``: p_i, p_f, p_g, p_o (B,C), state (h, c) or None for zero. Returns (y,
    state)."""
    if unknown:
        refuse("lstm_step", LSTM, unknown)
    inputs = [p_i, p_f, p_g, p_o]
    h0 = joined("state", state, p_i, LSTM, shared=False)
    after = joined("h_reset", h_reset, p_i, LSTM, shared=True)
    y, last = run_step(LSTM, inputs, [w_hh], {}, h0, reset=reset, h_reset=after, backend=backend)
    # Nobody else has last: the two may be changed in place.
    h, c = torch.unsafe_chunk(last, 2, -1)
    return y, (h, c)


LSTM = Cell(
    "lstm",
    summary="i, f, o = sigmoid(p + W h'), g = tanh(p_g + W_g h'), c = f c' + i g, h = o tanh(c); "
    "w_hh (4C,C), states (h, c)",
    inputs=("p_i", "p_f", "p_g", "p_o"),
    params=("w_hh",),
    step=step,
    # Saved are the three gates, the candidate, and both states.
    kernels=(
        Kernel("lstm", streams=4, engine="matrix", states=2, saves="states", saved=6, blocks=(4,)),
    ),
    function=lstm,
    streaming=lstm_step,
    states=("h", "c"),
)
