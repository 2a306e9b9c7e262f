"""The recurrences: a file each, under the name it has in csrc/cells/ and triton_kernels/. Here is
the list.

Every operator gives (y, h_last) of a whole sequence, and has a form ``_step`` for one step. They
are elementwise over channels, but for those with matrices: nbrc, gru, lstm, mgu. Those of the
affine family, h[t] = a[t] h[t-1] +
b[t] with a and b of no state, run in parallel over time too.

Common to all (and said once, here):

Streams are (B,T,C) tensors, float32, float64, bfloat16 or float16 (complex64 or complex128 for
``linear_scan`` and ``lru``). The channel stride should be 1; B and T may have any stride, so a
slice of a GEMM's output or a permuted (T,B,C) tensor goes in without a copy. Streams of several
dtypes are brought to the widest. States and parameters are float32 for 16-bit streams, else of the
streams' own dtype; narrower ones are widened. Any B, T >= 0 and C >= 1.

A parameter of one value per channel is (C,), or (B,C) for one per channel and sequence. Matrices,
and the bias beside them, are the same for all sequences.

Keyword arguments:
    h0: (B,C), the state before the first step; zero by default. Of the cells with several states,
        ``src`` and ``lstm``, ``state``: a tuple of them.
    reset: (B,T) bool. Where set, the state before that step is ``h_reset`` and nothing flows
        across: the start of an episode, or of a sequence in a packed batch.
    h_reset: (C,) or (B,C), the state at resets, or a tuple of them; zero by default. It is not h0:
        a state carried in and a learned start differ.
    reverse: run from t = T-1 down to 0; ``h_last`` is then the state at t = 0.
    process_group: of torch.distributed, whose ranks hold contiguous pieces of the sequences, in
        the order of time and of any lengths: see below. Of the affine family alone.
    backend: "auto", "cpu", "cuda", "triton" or "reference". A named backend runs or raises; see
        ``explain``.

Returns (y, h_last): y (B,T,C) in the streams' dtype, holding h[t]; h_last (B,C), the state after
the last step, in the state dtype, so that a sequence run in pieces equals the whole.

Gradients reach every stream, parameter, h0, h_reset, and come from y and h_last. They are
deterministic. Where a cell steps (H, S), the step's derivative is the surrogate kappa(u) = w / (1 +
(pi w u)^2), with w = ``width``: dH/du = kappa, dS/du = 2 kappa.

With ``process_group`` all ranks make the call, and all its backward pass, of alike B and C. y is of
the rank's own piece; h0 is read on the rank at which the scan begins, and gets its gradient there;
h_last is that of the whole sequence, on every rank, and its gradients of all ranks are added. The
gradients of parameters and h_reset are those of the rank's own piece: the ranks' sum is the whole
(DistributedDataParallel takes the mean). BMRU and CMRU have the bits of one process, others its
values to rounding. A rank sends two numbers a channel and sequence (three backward), but a CMRU's
forward passes run one rank after another: its sums are taken in order. What does not fit, and a
rank that has failed, raises on every rank, at the group's timeout at the latest. Differentiable
once; torch.compile leaves the call as it is.

Infinity and NaN in data are no errors: what the readable ``step`` of a cell makes of them in
float64, its kernels do. Channels and batch elements do not mix, so only the lane that holds such a
number is touched. In it, outputs and states are infinite or NaN where the reference's are;
gradients are not finite where the reference's are not, infinity or NaN as the order of a sum has
it.
    - A reset selects: nothing of what was before it passes, whatever it was; and so backward.
    - The gates that step, H, select as well: with eps = 0 a write ends what was infinite, and a
      held state is what it was.
    - A sigmoid of -inf is exactly 0, of +inf exactly 1, its derivative 0: a gate masked with -inf
      is shut. But it is a factor, and 0 times infinity is NaN. A saturated tanh is exactly 1.
    - What overflows the state dtype on its way is infinite. In 16 bits, a backward pass reads y, h0
      and h_reset as y stores them.
    - Where few lanes are cut in time (see ``explain``), an infinity may be NaN, and a piece whose
      factors' product is 0 in the state dtype drops what enters it.
Options are finite: a ValueError says which is not. A tensor as ``eps`` is read and checked when the
operator runs.

Operators with matrices take a product of the states of all batch elements with them a step, in
float32 for 16-bit streams, and what is elementwise around it in one pass. The batch is shared out
over threads, each of which runs all of time by itself: gradients of parameters depend on the number
of threads, by rounding. Channels mix, so what is said above of a lane is true of a batch element.
Under vmap the mapped elements run one after another.

Raises TypeError or ValueError, naming the argument, what was got and what was expected;
RuntimeError if a named backend is missing.
"""

from __future__ import annotations

from typing import Any

from ..backends import choose
from ..calls.explain import Explanation, explain_call
from ..cell import Cell, Kernel

# isort: off
from .linear import LINEAR_SCAN, PER_CHANNEL
from .lru import LRU
from .hysteresis import BMRU, CMRU, ALPHA_BMRU, ALPHA_CMRU
from .fq_bmru import FQ_BMRU
from .min_gru import MIN_GRU
from .src import SRC
from .brc import BRC
from .nbrc import NBRC
from .gru import GRU
from .lstm import LSTM
from .mgu import MGU
# isort: on

#: Every row by its name: those that are imported above, in that order.
CELLS: dict[str, Cell] = {
    row.name: row for row in list(globals().values()) if isinstance(row, Cell)
}

#: Every kernel of a row by its name.
KERNELS: dict[str, Kernel] = {
    kernel.name: kernel for row in CELLS.values() for kernel in row.kernels
}

choose.load(KERNELS, {row.layer_step: row for row in CELLS.values() if row.layer_step})


def explain(op: str, *args: Any, backend: str = "auto", **kwargs: Any) -> Explanation:
    """What ``lrnn_kernels.<op>(*args, backend=backend, **kwargs)`` would run, and why; nothing is
    computed.

        print(lrnn_kernels.explain("bmru", c, beta, alpha))

    Raises ValueError for an unknown op, and whatever the call itself would raise.
    """
    rows = {name: row for name, row in CELLS.items() if row.function.__name__ == name}
    if op not in rows:
        raise ValueError(f"op must be one of {', '.join(rows)}, got {op!r}")
    return explain_call(rows[op], *args, backend=backend, **kwargs)
