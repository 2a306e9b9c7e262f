"""The public operators of the affine family, h[t] = a[t] h[t-1] + b[t]: time-parallel, elementwise over channels.

Common to all (and said once, here):

Streams are (B,T,C) tensors, float32, float64, bfloat16 or float16 (complex64 or complex128 for ``linear_scan`` and ``lru``). The channel
stride should be 1; B and T may have any stride, so a slice of a GEMM's output or a permuted (T,B,C) tensor goes in without a copy.
Streams of several dtypes are brought to the widest. States and parameters are float32 for 16-bit streams, else of the streams' own
dtype; narrower ones are widened. Any B, T >= 0 and C >= 1.

Keyword arguments:
    h0: (B,C), the state before the first step; zero by default.
    reset: (B,T) bool. Where set, the state before that step is ``h_reset`` and nothing flows across: the start of an episode, or of
        a sequence in a packed batch.
    h_reset: (C,) or (B,C), the state at resets; zero by default. It is not h0: a state carried in and a learned start differ.
    reverse: run from t = T-1 down to 0; ``h_last`` is then the state at t = 0.
    backend: "auto", "cpu", "cuda", "triton" or "reference". A named backend runs or raises; see ``explain``.

Returns (y, h_last): y (B,T,C) in the streams' dtype, holding h[t]; h_last (B,C), the state after the last step, in the state dtype, so
that a sequence run in pieces equals the whole.

Gradients reach every stream, parameter, h0, h_reset, and come from y and h_last. They are deterministic. Where a cell steps
(H, S), the step's derivative is the surrogate kappa(u) = w / (1 + (pi w u)^2), with w = ``width``: dH/du = kappa, dS/du = 2 kappa.

Infinity and NaN in data are no errors: what the readable cells of ``lrnn_kernels.reference`` make of them in float64, kernels do.
Channels and batch elements do not mix, so only the lane that holds such a number is touched. In it, outputs and states are infinite or
NaN where the reference's are; gradients are not finite where the reference's are not, infinity or NaN as the order of a sum has it.
    - A reset selects: nothing of what was before it passes, whatever it was; and so backward.
    - The gates that step, H, select as well: with eps = 0 a write ends what was infinite, and a held state is what it was.
    - A sigmoid of -inf is exactly 0, of +inf exactly 1, its derivative 0: a gate masked with -inf is shut. But it is a factor, and 0
      times infinity is NaN. A saturated tanh is exactly 1.
    - What overflows the state dtype on its way is infinite. In 16 bits, a backward pass reads y, h0 and h_reset as y stores
      them.
    - Where few lanes are cut in time (see ``explain``), an infinity may be NaN, and a piece whose factors' product is 0 in the state dtype
      drops what enters it.
Options are finite: a ValueError says which is not. A tensor as ``eps`` is read and checked when the operator runs.

Raises TypeError or ValueError, naming the argument, what was got and what was expected; RuntimeError if a named backend is missing.
"""

from __future__ import annotations

from torch import Tensor

from .calls import arguments
from .calls.run import run, run_step


def _eps_width(eps: float | Tensor, width: float) -> dict[str, float | Tensor]:
    return {"eps": arguments.varying("eps", eps, 0.0, 1.0), "width": arguments.number("width", width, 0.0, float("inf"), open_low=True)}


def _hysteresis_call(c: Tensor, beta: Tensor, alpha: Tensor, time_dims: int) -> tuple[str, list[Tensor], list[Tensor]]:
    """Whether alpha changes with time (the alpha-CMRU) or is one value per channel."""
    arguments.tensor("alpha", alpha)
    if alpha.dim() == time_dims:
        return "alpha_bmru", [c, beta, alpha], []
    if alpha.dim() not in (1, 2):
        raise ValueError(f"alpha must have shape (C,), or that of c for the alpha-CMRU, got {arguments.shape(alpha)}")
    return "bmru", [c, beta], [alpha]


def linear_scan(
    a: Tensor,
    b: Tensor,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """h[t] = a[t] h[t-1] + b[t], real or complex.

    Args:
        a: (B,T,C), or (C,) for one factor per channel (never expanded in memory).
        b: (B,T,C).

    Shapes, states, resets, gradients and errors: see the module. Differentiable any number of times, in both modes; for complex values
    da[t] = conj(h[t-1]) g[t] with g the total adjoint of h[t], as torch defines complex gradients.
    """
    arguments.tensor("a", a)
    states = {"h0": h0, "reset": reset, "h_reset": h_reset, "reverse": reverse, "backend": backend}
    if a.dim() == 3:
        return run("linear_scan", [a, b], [], {}, **states)
    if a.dim() != 1:
        raise ValueError(f"a must have shape (B, T, C) or (C,), got {arguments.shape(a)}")
    return run("linear_scan_per_channel", [b], [a], {}, **states)


def linear_scan_step(
    a: Tensor, b: Tensor, h: Tensor | None = None, *, reset=None, h_reset=None, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """One step of ``linear_scan``: a (B,C) or (C,), b (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    arguments.tensor("a", a)
    cell, inputs, params = ("linear_scan", [a, b], []) if a.dim() == 2 else ("linear_scan_per_channel", [b], [a])
    return run_step(cell, inputs, params, {}, h, reset=reset, h_reset=h_reset, backend=backend)


def lru(
    u: Tensor,
    lam: Tensor,
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The LRU's state, h[t] = lam h[t-1] + u[t], complex and diagonal (Orvieto et al. 2023, eq. 4).

    Args:
        u: (B,T,C) complex64 or complex128; or split storage, real (B,T,2C): C real parts, then C imaginary parts, as one real
            GEMM writes them. y, h0, h_reset and h_last are then stored in the same way.
        lam: (C,) complex.

    States, resets, gradients and errors: see the module. Differentiable any number of times, in both modes.
    """
    return run("lru", [u], [lam], {}, h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def lru_step(u: Tensor, lam: Tensor, h: Tensor | None = None, *, reset=None, h_reset=None, backend: str = "auto") -> tuple[Tensor, Tensor]:
    """One step of ``lru``: u (B,C) complex or (B,2C) split, h alike or None for zero. Returns (y, h)."""
    return run_step("lru", [u], [lam], {}, h, reset=reset, h_reset=h_reset, backend=backend)


def bmru(
    c: Tensor,
    beta: Tensor,
    alpha: Tensor,
    *,
    eps: float | Tensor = 0.0,
    width: float = 1.0,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The bistable memory recurrent unit: z = H(|c| - |beta|), h[t] = (1-z) h[t-1] + z (alpha S(c) + eps h[t-1]).

    Args:
        c: (B,T,C), the candidate, any sign.
        beta: (B,T,C), the threshold; its magnitude counts, and |c| = |beta| updates.
        alpha: (C,), the state's magnitude, any sign; or (B,T,C), a magnitude per step.
        eps: how much of the old state an update keeps: 0 is the BMRU (states -alpha and +alpha, "last write wins"), 1 the CMRU, in
            between the anneal of training. Under torch.compile, for which every number is a constant, a float64 tensor () on the CPU
            may change without compiling anew; it gets no gradient, and the reference does not check its range there.
        width: of the surrogate derivative, > 0.

    With eps 0 or 1 the forward pass equals the sequential loop bit for bit on one thread; see the module for the rest. With eps = 0, alpha
    (C,) and no resets, the backward pass is served by one saved bit per element.
    """
    cell, inputs, params = _hysteresis_call(c, beta, alpha, 3)
    return run(cell, inputs, params, _eps_width(eps, width), h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def bmru_step(
    c: Tensor, beta: Tensor, alpha: Tensor, h: Tensor | None = None, *, eps=0.0, width=1.0, reset=None, h_reset=None, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """One step of ``bmru``: c, beta (B,C), alpha (C,) or (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    cell, inputs, params = _hysteresis_call(c, beta, alpha, 2)
    return run_step(cell, inputs, params, _eps_width(eps, width), h, reset=reset, h_reset=h_reset, backend=backend)


def cmru(
    c: Tensor,
    beta: Tensor,
    alpha: Tensor,
    *,
    width: float = 1.0,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The cumulative memory recurrent unit, ``bmru`` with eps = 1: h[t] = h[t-1] + z alpha S(c), a staircase whose every level holds.

    Arguments as in ``bmru``; alpha of shape (B,T,C) is the alpha-CMRU. Its backward pass needs no saved state.
    """
    return bmru(c, beta, alpha, eps=1.0, width=width, h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def cmru_step(
    c: Tensor, beta: Tensor, alpha: Tensor, h: Tensor | None = None, *, width=1.0, reset=None, h_reset=None, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """One step of ``cmru``; see ``bmru_step``."""
    return bmru_step(c, beta, alpha, h, eps=1.0, width=width, reset=reset, h_reset=h_reset, backend=backend)


def fq_bmru(
    x: Tensor,
    beta_lo: Tensor,
    beta_hi: Tensor,
    alpha: Tensor,
    *,
    eps: float | Tensor = 0.0,
    width: float = 1.0,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The first-quadrant BMRU of the analog circuit: states 0 and alpha, switched by two positive thresholds.

    u = ReLU(x), z_lo = H(beta_lo - u), z_hi = H(u - beta_hi), hold = (1-z_lo)(1-z_hi),
    h[t] = (hold + (1-hold) eps) h[t-1] + (1-hold) z_hi alpha.

    Args:
        x: (B,T,C), the pre-activation W x + b; its ReLU is fused.
        beta_lo, beta_hi, alpha: (C,), with 0 < beta_lo < beta_hi expected (not checked: values are data).
        eps: 0 is the circuit; up to 1 in training. A tensor under torch.compile, as of ``bmru``.
        width: of the surrogate derivative, > 0.
    """
    params = [beta_lo, beta_hi, alpha]
    return run("fq_bmru", [x], params, _eps_width(eps, width), h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def fq_bmru_step(
    x: Tensor,
    beta_lo: Tensor,
    beta_hi: Tensor,
    alpha: Tensor,
    h: Tensor | None = None,
    *,
    eps=0.0,
    width=1.0,
    reset=None,
    h_reset=None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """One step of ``fq_bmru``: x (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    return run_step("fq_bmru", [x], [beta_lo, beta_hi, alpha], _eps_width(eps, width), h, reset=reset, h_reset=h_reset, backend=backend)


def min_gru(
    k: Tensor,
    v: Tensor,
    *,
    positive: bool = False,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """minGRU in linear space: z = sigmoid(k), h[t] = (1-z) h[t-1] + z v (Feng et al. 2024, sec. 3.1).

    Args:
        k, v: (B,T,C), the pre-activations of gate and candidate.
        positive: put g(v) = v + 1/2 for v >= 0, sigmoid(v) below, in place of v (ibid., app. B).
    """
    if not isinstance(positive, bool):
        raise TypeError(f"positive must be a bool, got {type(positive).__name__}")
    options = {"positive": positive}
    return run("min_gru", [k, v], [], options, h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def min_gru_step(
    k: Tensor, v: Tensor, h: Tensor | None = None, *, positive: bool = False, reset=None, h_reset=None, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """One step of ``min_gru``: k, v (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    return run_step("min_gru", [k, v], [], {"positive": positive}, h, reset=reset, h_reset=h_reset, backend=backend)
