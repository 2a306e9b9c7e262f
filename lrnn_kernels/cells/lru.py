"""The linear recurrent unit's state: complex and diagonal (Orvieto et al. 2023)."""

from __future__ import annotations

from torch import Tensor

from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import COMPLEX, Cell, affine
from .linear import KERNEL_PER_CHANNEL, draw_per_channel


def step(h: Tensor, u: Tensor, lam: Tensor) -> Tensor:
    """h = lambda h' + u, complex, one lambda per channel (Orvieto et al. 2023, eq. 4)."""
    return lam * h + u


def lru(
    u: Tensor,
    lam: Tensor,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The LRU's state, h[t] = lam h[t-1] + u[t], complex and diagonal (Orvieto et al. 2023, eq. 4).

    Args:
        u: (B,T,C) complex64 or complex128; or split storage, real (B,T,2C): C real parts, then C
            imaginary parts, as one real GEMM writes them. y, h0, h_reset and h_last are then stored
            in the same way.
        lam: (C,) complex, or (B,C), one per channel and sequence.

    States, resets, gradients and errors: see ``lrnn_kernels.cells``. Differentiable any number of
    times, in both modes.
    """
    return run(
        LRU,
        [u],
        [lam],
        {},
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        process_group=process_group,
        backend=backend,
    )


def lru_step(
    u: Tensor,
    lam: Tensor,
    h: Tensor | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``lru``: u (B,C) complex or (B,2C) split, h alike or None for zero. Returns
    (y, h)."""
    return run_step(LRU, [u], [lam], {}, h, reset=reset, h_reset=h_reset, backend=backend)


LRU = Cell(
    "lru",
    summary="h = lam h' + u, complex; interleaved or split storage",
    inputs=("u",),
    params=("lam",),
    step=affine(step),
    kernels=(KERNEL_PER_CHANNEL,),
    function=lru,
    streaming=lru_step,
    layer_step="lru",
    dtypes=COMPLEX,
    draw=draw_per_channel,
)
