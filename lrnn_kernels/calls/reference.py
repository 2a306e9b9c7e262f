"""The reference: a cell's readable step, one time step after another, in plain PyTorch.

It is the oracle of the tests. Autograd differentiates it; where a cell steps, the step has a
declared surrogate derivative. Nothing here is fast.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..cell import carry_dtype


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
    """Runs a step over time; where ``reset`` is set, the state before the step is ``h_reset``.
    Returns y [B,T,C], h_last as h0."""
    first = inputs[0]
    B, T, C = first.shape
    carry = carry_dtype(first.dtype)
    inputs = [
        x.to(carry).unbind(1) for x in inputs
    ]  # one gradient buffer a stream; x[:, t] would make one a step
    if h0 is None:
        h0 = torch.zeros(B, states * C, dtype=carry, device=first.device)
    if h_reset is None:
        h_reset = torch.zeros(states * C, dtype=carry, device=first.device)
    h, at_reset = h0.chunk(states, -1), h_reset.chunk(states, -1)
    outputs = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        if reset is not None:
            h = tuple(
                torch.where(reset[:, t, None], start, now)
                for start, now in zip(at_reset, h, strict=True)
            )
        h, outputs[t] = step(h, *(x[t] for x in inputs), *params, **options)
    y = torch.stack(outputs, dim=1).to(first.dtype) if T else first.clone()
    return y, torch.cat(h, -1)
