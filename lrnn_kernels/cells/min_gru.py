"""minGRU: a gated recurrence whose gate does not see the state (Feng et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Kernel, affine
from ..options import boolean


def step(h: Tensor, k: Tensor, v: Tensor, *, positive: bool) -> Tensor:
    """minGRU: z = sigmoid(k), h = (1-z) h' + z v; positive: g(v) in place of v (Feng et al.
    2024, sec. 3.1 and app. B)."""
    z = torch.sigmoid(k)
    if positive:
        v = torch.where(v >= 0, v + 0.5, torch.sigmoid(v))
    return (1 - z) * h + z * v


def min_gru(
    k: Tensor,
    v: Tensor,
    *,
    positive: bool = False,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """minGRU in linear space: z = sigmoid(k), h[t] = (1-z) h[t-1] + z v (Feng et al. 2024, sec.
    3.1).

    Args:
        k, v: (B,T,C), the pre-activations of gate and candidate.
        positive: put g(v) = v + 1/2 for v >= 0, sigmoid(v) below, in place of v (ibid., app. B).
    """
    return run(
        MIN_GRU,
        [k, v],
        [],
        _options(positive),
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def min_gru_step(
    k: Tensor,
    v: Tensor,
    h: Tensor | None = None,
    *,
    positive: bool = False,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``min_gru``: k, v (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    return run_step(
        MIN_GRU, [k, v], [], _options(positive), h, reset=reset, h_reset=h_reset, backend=backend
    )


def _options(positive: bool) -> dict[str, bool]:
    return {"positive": boolean("positive", positive)}


def _kernel(options: Mapping[str, Any], has_reset: bool) -> Kernel:
    return POSITIVE if options["positive"] else KERNEL


def _draw(draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    v = draw.normal(draw.stream)
    v[:, 1::7, ::3] = 0.0  # the kink of the positive form
    return [1 + draw.normal(draw.stream), v], []


KERNEL = Kernel("min_gru", streams=2, reads=("k", "v"))
POSITIVE = Kernel("min_gru_positive", streams=2, reads=("k", "v"))

MIN_GRU = Cell(
    "min_gru",
    summary="z = sigmoid(k); h = (1-z) h' + z v",
    inputs=("k", "v"),
    params=(),
    step=affine(step),
    kernels=(KERNEL, POSITIVE),
    kernel=_kernel,
    function=min_gru,
    streaming=min_gru_step,
    options={"positive": False},
    check=_options,
    draw=_draw,
    variants=({}, {"positive": True}),
)
