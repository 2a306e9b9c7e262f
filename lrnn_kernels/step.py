"""The public operators of the step family: nonlinear recurrences, elementwise over channels, sequential in time.

Streams, parameters, dtypes, ``reset``, ``reverse``, ``backend``, gradients, infinity and NaN, and errors are as in
``lrnn_kernels.affine``.
"""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

from .backends import choose
from .calls import arguments
from .calls.reference import SPIKE_SURROGATES, carry_dtype
from .calls.run import run, run_step
from .registry import SRC_OPTIONS

GRADIENTS = ("detached", "full")

#: Steps between saved states with memory="checkpoint": 32 rows of three states of 1024 float32 channels stay in a second-level cache.
CHECKPOINT_INTERVAL = 32

#: No sequence is longer; where the interval is not below T, it is T.
LONGEST_INTERVAL = 2**31

States = tuple[Tensor, Tensor, Tensor]


def src(
    u: Tensor,
    bias: Tensor,
    *,
    state: States | None = None,
    reset: Tensor | None = None,
    h_reset: States | None = None,
    reverse: bool = False,
    gradient: str = "detached",
    leak: float = 0.9,
    rho: float = 3.0,
    r: float = 2.0,
    r_s: float = -7.0,
    z: float = 0.0,
    z_hyp: float = 0.9,
    z_dep: float = 0.0,
    slope: float = 10.0,
    midpoint: float = 0.5,
    threshold: float | None = None,
    surrogate: str = "atan",
    width: float = 1.0,
    memory: str | int = "states",
    backend: str = "auto",
) -> tuple[Tensor, States]:
    """The spiking recurrent cell (Geeter, Ernst and Drion 2024), its leaky synaptic current fused in.

        i[t]   = leak i[t-1] + u[t]
        x[t]   = rho tanh(i[t] / rho)
        z_s[t] = z_hyp + (z_dep - z_hyp) sigmoid(slope (h[t-1] - midpoint))
        h[t]   = z h[t-1] + (1-z) tanh(x[t] + r h[t-1] + r_s h_s[t-1] + bias)
        h_s[t] = z_s[t] h_s[t-1] + (1-z_s[t]) h[t-1]
        y[t]   = ReLU(h[t]);  with a threshold the spike 1 if h[t] > threshold else 0

    Args:
        u: (B,T,C), the synaptic drive W s[t].
        bias: (C,); the cell fires from about -5 upwards without input, and rests below.
        state: (i, h, h_s), each (B,C), before the first step; zero by default.
        reset, reverse, backend: as in ``lrnn_kernels.affine``.
        h_reset: (i, h, h_s), each (C,) or (B,C), all alike: the states at resets; zero by default.
        gradient: "detached", the paper's training rule: h[t-1] and h_s[t-1] are constants in both state equations and the derivative of
            ReLU is 1 everywhere, so time gradient flows through i alone; or "full", back-propagation through all three states.
        leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint: the cell's constants; rho > 0, 0 <= z < 1, z_hyp and z_dep in [0, 1]. For z
            near 1 gradients lose digits: 1 - tanh^2 is had from h[t] - z h[t-1], whose rounding grows as |h[t-1]| z/(1-z), as it does where
            z > 0 and a state h of great magnitude is passed in; an infinite one makes gradients NaN then.
        threshold: of a spike; None for y = ReLU(h). The paper reads spikes at 0.5.
        surrogate: the derivative of a spike: "atan" w / (1 + (pi w v)^2), "fast_sigmoid" w / (1 + 2 w |v|)^2, "sigmoid"
            4 w s (1-s) with s = sigmoid(4 w v), or "triangle" w max(0, 1 - w |v|), of v = h - threshold, with w = ``width``: peak w,
            area 1.
        memory: what is kept in memory for the backward pass. "states": tanh(i/rho), h and for the full gradient h_s of every step, in the
            states' dtype: 8 (detached) or 12 (full) bytes per element in float32. "checkpoint", or a number of steps K (32): all three
            states before every K-th step, 12/K bytes per element; K steps at a time are then computed again, for bit-equal gradients.

    Returns (y, (i, h, h_s)): y (B,T,C); the states after the last step, each (B,C), float32 for 16-bit streams. Gradients reach u, bias
    and every state, in and out; what the detached rule holds constant gets zero.

    Float32 with the paper's constants: a cell that spikes amplifies rounding, until a spike comes a step sooner or later. Over many lanes
    errors are those of the same loop in torch (their ratio has a mean and a median of 1). In one lane the error may be 100 times that of
    the loop, or a hundredth: in 1 % of the lanes a gradient is more than 10 times worse, in 1 % more than 10 times better. So it is
    between two runs of the loop whose inputs differ in the last place. Where a single lane matters, use float64.
    """
    cell = src_options(gradient, leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint, threshold, surrogate, width, memory)
    h0 = _joined("state", state, u, shared=False)
    at_reset = _joined("h_reset", h_reset, u, shared=True)
    out = run("src", [u], [bias], cell, h0=h0, reset=reset, h_reset=at_reset, reverse=reverse, backend=backend)
    if isinstance(backend, choose.Ask):
        return out
    y, last = out
    return y, torch.unsafe_chunk(last, 3, -1)  # nobody else has last: the three may be changed in place


def src_step(
    u: Tensor, bias: Tensor, state: States | None = None, *, reset=None, h_reset: States | None = None, backend: str = "auto", **options
) -> tuple[Tensor, States]:
    """One step of ``src``: u (B,C), state (i, h, h_s) or None for zero; options are those of ``src``. Returns (y, state)."""
    unknown = options.keys() - SRC_OPTIONS.keys()
    if unknown:
        raise TypeError(f"src_step got an unexpected keyword argument {sorted(unknown)[0]!r}")
    cell = src_options(**{**SRC_OPTIONS, **options})
    h0, at_reset = _joined("state", state, u, shared=False), _joined("h_reset", h_reset, u, shared=True)
    y, last = run_step("src", [u], [bias], cell, h0, reset=reset, h_reset=at_reset, backend=backend)
    return y, torch.unsafe_chunk(last, 3, -1)  # nobody else has last: the three may be changed in place


def src_options(gradient, leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint, threshold, surrogate, width, memory) -> dict[str, object]:
    """The options of an SRC, checked."""
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be one of {', '.join(map(repr, GRADIENTS))}, got {gradient!r}")
    if surrogate not in SPIKE_SURROGATES:
        raise ValueError(f"surrogate must be one of {', '.join(map(repr, SPIKE_SURROGATES))}, got {surrogate!r}")
    inf = float("inf")
    return {
        "gradient": gradient,
        "leak": arguments.number("leak", leak, -inf, inf),
        "rho": arguments.number("rho", rho, 0.0, inf, open_low=True),
        "r": arguments.number("r", r, -inf, inf),
        "r_s": arguments.number("r_s", r_s, -inf, inf),
        "z": arguments.number("z", z, 0.0, 1.0, open_high=True),
        "z_hyp": arguments.number("z_hyp", z_hyp, 0.0, 1.0),
        "z_dep": arguments.number("z_dep", z_dep, 0.0, 1.0),
        "slope": arguments.number("slope", slope, -inf, inf),
        "midpoint": arguments.number("midpoint", midpoint, -inf, inf),
        "threshold": None if threshold is None else arguments.number("threshold", threshold, -inf, inf),
        "surrogate": surrogate,
        "width": arguments.number("width", width, 0.0, inf, open_low=True),
        "memory": _memory(memory),
    }


def _memory(memory: str | int) -> str | int:
    """ "states", or the number of steps between checkpoints."""
    if memory == "states":
        return memory
    if memory == "checkpoint":
        return CHECKPOINT_INTERVAL
    if not isinstance(memory, Integral) or isinstance(memory, bool) or memory < 1:
        raise ValueError(f"memory must be 'states', 'checkpoint' or a number of steps of at least 1, got {memory!r}")
    return min(int(memory), LONGEST_INTERVAL)


def _joined(name: str, states: States | None, u: Tensor, shared: bool) -> Tensor | None:
    """The three states side by side, as the kernels take them: each (B,C), or (C,) too where shared."""
    if states is None:
        return None
    arguments.tensor("u", u)
    if u.dim() not in (2, 3):
        raise ValueError(f"u must have shape (B, T, C), got {arguments.shape(u)}")
    if not isinstance(states, (tuple, list)) or len(states) != 3:
        got = f"{len(states)} of them" if isinstance(states, (tuple, list)) else type(states).__name__
        raise TypeError(f"{name} must be three tensors (i, h, h_s), got {got}")
    B, C, carry = u.shape[0], u.shape[-1], carry_dtype(u.dtype)
    for part, x in zip(("i", "h", "h_s"), states, strict=True):
        arguments.tensor(f"{name} {part}", x)
        allowed = [(C,)] * shared + [(B, C)]
        if tuple(x.shape) not in allowed or x.shape != states[0].shape:
            raise ValueError(f"{name} {part} must have shape {' or '.join(map(str, allowed))}, all three alike, got {arguments.shape(x)}")
        if x.device != u.device:
            raise ValueError(f"{name} {part} must be on the device of u, {u.device}, got {x.device}")
        if torch.promote_types(x.dtype, carry) != carry:
            raise TypeError(f"{name} {part} has dtype {x.dtype}, expected {carry} or narrower for {u.dtype} inputs")
    return torch.cat(list(states), -1)


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
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The bistable recurrent cell (Vecoven, Ernst and Drion 2021, eq. 5-7), from its three pre-activations.

        a[t] = 1 + tanh(p_a[t] + w_a h[t-1]),  c[t] = sigmoid(p_c[t] + w_c h[t-1])
        h[t] = c[t] h[t-1] + (1-c[t]) tanh(p_h[t] + a[t] h[t-1])

    Args:
        p_a, p_c, p_h: (B,T,C), the pre-activations U_a x + b_a, U_c x + b_c and U x.
        w_a, w_c: (C,), the recurrent weights of the two gates. A channel is bistable while a > 1.

    States, resets, gradients and errors: see ``lrnn_kernels.affine``. The backward pass reads y and the pre-activations.
    """
    inputs, params = [p_a, p_c, p_h], [w_a, w_c]
    return run("brc", inputs, params, {}, h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def brc_step(
    p_a: Tensor, p_c: Tensor, p_h: Tensor, w_a: Tensor, w_c: Tensor, h: Tensor | None = None, *, reset=None, h_reset=None, backend="auto"
) -> tuple[Tensor, Tensor]:
    """One step of ``brc``: p_a, p_c, p_h (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    return run_step("brc", [p_a, p_c, p_h], [w_a, w_c], {}, h, reset=reset, h_reset=h_reset, backend=backend)


def nbrc(
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
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The neuromodulated bistable recurrent cell (Vecoven, Ernst and Drion 2021, eq. 8-9): the BRC with recurrent matrices.

        a[t] = 1 + tanh(p_a[t] + W_a h[t-1]),  c[t] = sigmoid(p_c[t] + W_c h[t-1])
        h[t] = c[t] h[t-1] + (1-c[t]) tanh(p_h[t] + a[t] h[t-1])

    Args:
        p_a, p_c, p_h: (B,T,C), the pre-activations U_a x + b_a, U_c x + b_c and U x.
        w_a, w_c: (C,C), the recurrent matrices.

    One matrix product (B,C) x (C,2C) a step and a fused kernel around it, in float32 for 16-bit streams. For the backward pass both gates'
    pre-activations and the states are saved, 12 bytes per element in float32. The batch is shared out over threads, each with
    products of its own: all results depend on the number of threads, by rounding. States, resets, gradients and errors: see
    ``lrnn_kernels.affine``. Not elementwise: under vmap the mapped elements run one after another.
    """
    inputs, params = [p_a, p_c, p_h], [w_a, w_c]
    return run("nbrc", inputs, params, {}, h0=h0, reset=reset, h_reset=h_reset, reverse=reverse, backend=backend)


def nbrc_step(
    p_a: Tensor, p_c: Tensor, p_h: Tensor, w_a: Tensor, w_c: Tensor, h: Tensor | None = None, *, reset=None, h_reset=None, backend="auto"
) -> tuple[Tensor, Tensor]:
    """One step of ``nbrc``: p_a, p_c, p_h (B,C), h (B,C) or None for zero. Returns (y, h), both (B,C)."""
    return run_step("nbrc", [p_a, p_c, p_h], [w_a, w_c], {}, h, reset=reset, h_reset=h_reset, backend=backend)
