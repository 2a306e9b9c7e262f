"""The linear scan, h = a h' + b, with a factor per step or per channel."""

from __future__ import annotations

from torch import Tensor

from ..calls.arguments import shape, strided, tensor
from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import COMPLEX, REAL, Cell, Kernel, affine


def step(h: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """h = a h' + b."""
    return a * h + b


def linear_scan(
    a: Tensor,
    b: Tensor,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """h[t] = a[t] h[t-1] + b[t], real or complex.

    Args:
        a: (B,T,C), or (C,) for one factor per channel, (B,C) for one per channel and sequence
            (never expanded in memory).
        b: (B,T,C). A real b and an a of (B,T,C) that is complex are both taken for complex. Beside
            a complex a of (C,) or (B,C) a real b is split storage, as of ``lru``: (B,T,2C), C real
            parts, then C imaginary parts, and y, h0, h_reset and h_last alike; b.to(a.dtype) there
            for values that are real.

    Shapes, states, resets, gradients and errors: see ``lrnn_kernels.cells``. Differentiable any
    number of times, in both modes; for complex values da[t] = conj(h[t-1]) g[t] with g the total
    adjoint of h[t], as torch defines complex gradients.
    """
    row, inputs, params, options = _given(a, b)
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


def linear_scan_step(
    a: Tensor,
    b: Tensor,
    h: Tensor | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``linear_scan``: a (B,C) or (C,), b (B,C), h (B,C) or None for zero. Returns
    (y, h), both (B,C)."""
    row, inputs, params, options = _given(a, b, 2)
    return run_step(row, inputs, params, options, h, reset=reset, h_reset=h_reset, backend=backend)


def _given(a: Tensor, b: Tensor, dims: int = 3) -> tuple[Cell, list[Tensor], list[Tensor], dict]:
    """What runs: a is a stream, or one value per channel, or per channel and sequence."""
    tensor("a", a)
    if a.dim() == dims:
        return LINEAR_SCAN, [a, b], [], {}
    if dims == 3 and a.dim() not in (1, 2):
        strided("a", a)
        raise ValueError(f"a must have shape (B, T, C), (C,) or (B, C), got {shape(a)}")
    return PER_CHANNEL, [b], [a], {}


def _draw(draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    return [draw(draw.stream, 0.25, 0.875), draw.normal(draw.stream)], []


def draw_per_channel(draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    return [draw.normal(draw.stream)], [draw(draw.channels, 0.25, 0.875)]


KERNEL = Kernel("linear", streams=2, reads=("a",), linear="linear")
KERNEL_PER_CHANNEL = Kernel("linear_per_channel", streams=1, linear=KERNEL.name)

LINEAR_SCAN = Cell(
    "linear_scan",
    summary="h = a h' + b, real or complex; a per step or per channel",
    inputs=("a", "b"),
    params=(),
    step=affine(step),
    kernels=(KERNEL,),
    function=linear_scan,
    streaming=linear_scan_step,
    arguments=_given,
    dtypes=REAL + COMPLEX,
    draw=_draw,
)
PER_CHANNEL = Cell(
    "linear_scan_per_channel",
    inputs=("b",),
    params=("a",),
    per_step=("a",),
    step=affine(lambda h, b, a: step(h, a, b)),
    kernels=(KERNEL_PER_CHANNEL,),
    function=linear_scan,
    streaming=linear_scan_step,
    arguments=_given,
    dtypes=REAL + COMPLEX,
    draw=draw_per_channel,
    measured={"linear_scan (C,)": {}},
)
