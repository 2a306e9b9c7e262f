"""The spiking recurrent cell (Geeter, Ernst and Drion 2024): three states, rectified or spiking
outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..calls.arguments import joined, refuse
from ..calls.distributed import ProcessGroup
from ..calls.run import run, run_step
from ..cell import Cell, Kernel, share
from ..cell import surrogate as kappa
from ..options import number, one_of

GRADIENTS = ("detached", "full")

#: Steps between saved states with memory="checkpoint": 32 rows of three states of 1024 float32
#: channels stay in a second-level cache.
CHECKPOINT_INTERVAL = 32

#: No sequence is longer; where the interval is not below T, it is T.
LONGEST_INTERVAL = 2**31

States = tuple[Tensor, Tensor, Tensor]

#: The options with the paper's constants.
OPTIONS = {
    "gradient": "detached",
    "leak": 0.9,
    "rho": 3.0,
    "r": 2.0,
    "r_s": -7.0,
    "z": 0.0,
    "z_hyp": 0.9,
    "z_dep": 0.0,
    "slope": 10.0,
    "midpoint": 0.5,
    "threshold": None,
    "surrogate": "atan",
    "width": 1.0,
    "memory": "states",  # or the number of steps between checkpoints
}

#: Constants of a cell that neither fires by itself nor is bistable, so that rounding is not
#: amplified as the paper's cell does; z > 0.
GENTLE = {"leak": 0.75, "r": 0.4, "r_s": -0.5, "z": 0.25, "slope": 2.0, "z_dep": 0.1}


class Straight(torch.autograd.Function):
    """ReLU whose derivative is 1 everywhere."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.relu(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx, grad: Tensor):
        return grad


class Spike(torch.autograd.Function):
    """1 if u > 0 else 0 (a spike needs h above the threshold, so unlike H it is 0 at 0), with
    one of SPIKE_SURROGATES as its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, surrogate: str, width: float) -> Tensor:
        return (u > 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        u, surrogate, ctx.width = inputs
        ctx.slope = SPIKE_SURROGATES[surrogate]
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * ctx.slope(u, ctx.width), None, None


#: What stands for the derivative of a spike, by name; each has peak w and area 1.
SPIKE_SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "atan": kappa,
    "fast_sigmoid": lambda u, w: w / (1 + 2 * w * u.abs()) ** 2,
    "sigmoid": lambda u, w: 4 * w * torch.sigmoid(4 * w * u) * torch.sigmoid(-4 * w * u),
    "triangle": lambda u, w: w * (1 - w * u.abs()).clamp(min=0),
}


def step(
    states: tuple[Tensor, Tensor, Tensor],
    u: Tensor,
    bias: Tensor,
    *,
    gradient: str,
    leak: float,
    rho: float,
    r: float,
    r_s: float,
    z: float,
    z_hyp: float,
    z_dep: float,
    slope: float,
    midpoint: float,
    threshold: float | None,
    surrogate: str,
    width: float,
    memory: str | int,  # where the kernels keep what their backward pass reads: no matter here
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """One step, states (i, h, h_s); with the detached gradient h' and h_s' are constants and
    dReLU is 1."""
    i, h_before, slow_before = states
    if gradient == "detached":
        h_before, slow_before = h_before.detach(), slow_before.detach()
    i = leak * i + u
    x = rho * torch.tanh(i / rho)
    z_s = z_hyp + (z_dep - z_hyp) * torch.sigmoid(slope * (h_before - midpoint))
    h = share(z, h_before) + (1 - z) * torch.tanh(x + r * h_before + r_s * slow_before + bias)
    slow = z_s * slow_before + (1 - z_s) * h_before
    if threshold is not None:
        y = Spike.apply(h - threshold, surrogate, width)
    elif gradient == "detached":
        y = Straight.apply(h)
    else:
        y = torch.relu(h)
    return (i, h, slow), y


def src(
    u: Tensor,
    bias: Tensor,
    *,
    state: States | None = None,
    reset: Tensor | None = None,
    h_reset: States | None = None,
    reverse: bool = False,
    process_group: ProcessGroup | None = None,
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
    **unknown: NoReturn,
) -> tuple[Tensor, States]:
    """The spiking recurrent cell (Geeter, Ernst and Drion 2024), its leaky synaptic current fused
    in.

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
        reset, reverse, process_group, backend: as in ``lrnn_kernels.cells``.
        h_reset: (i, h, h_s), each (C,) or (B,C), all alike: the states at resets; zero by default.
        gradient: "detached", the paper's training rule: h[t-1] and h_s[t-1] are constants in both
            state equations and the derivative of ReLU is 1 everywhere, so time gradient flows
            through i alone; or "full", back-propagation through all three states: exact but for
            the derivative of a spike, and without bound over the steps of a cell that spikes, whose
            h feeds back with a slope of up to r. ``nn.SRC`` says where it is of use.
        leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint: the cell's constants; leak, z_hyp and
            z_dep in [0, 1], 0 <= z < 1, rho > 0. For z near 1 gradients lose digits: 1 - tanh^2 is
            had from h[t] - z h[t-1], whose rounding grows as |h[t-1]| z/(1-z), as it does where z >
            0 and a state h of great magnitude is passed in; an infinite one makes gradients NaN
            then.
        threshold: of a spike; None for y = ReLU(h). The paper reads spikes at 0.5. A NaN h is none.
        surrogate: the derivative of a spike: "atan" w / (1 + (pi w v)^2), "fast_sigmoid" w / (1 + 2
            w |v|)^2, "sigmoid" 4 w s (1-s) with s = sigmoid(4 w v), or "triangle" w max(0, 1 - w
            |v|), of v = h - threshold, with w = ``width``: peak w, area 1.
        memory: what is kept in memory for the backward pass. "states": tanh(i/rho), h and for the
            full gradient h_s of every step, in the states' dtype: 8 (detached) or 12 (full) bytes
            per element in float32. "checkpoint", or a number of steps K (32): all three states
            before every K-th step, 12/K bytes per element; K steps at a time are then computed
            again, for bit-equal gradients.

    Returns (y, (i, h, h_s)): y (B,T,C); the states after the last step, each (B,C), float32 for
    16-bit streams. Gradients reach u, bias and every state, in and out; what the detached rule
    holds constant gets zero.

    Float32 with the paper's constants: a cell that spikes amplifies rounding, until a spike comes a
    step sooner or later. Over many lanes errors are those of the same loop in torch (their ratio
    has a mean and a median of 1). In one lane the error may be 100 times that of the loop, or a
    hundredth: in 1 % of the lanes a gradient is more than 10 times worse, in 1 % more than 10 times
    better. So it is between two runs of the loop whose inputs differ in the last place. Where a
    single lane matters, use float64.
    """
    if unknown:
        refuse("src", SRC, unknown)
    options = src_options(
        gradient,
        leak,
        rho,
        r,
        r_s,
        z,
        z_hyp,
        z_dep,
        slope,
        midpoint,
        threshold,
        surrogate,
        width,
        memory,
    )
    h0 = joined("state", state, u, SRC, shared=False)
    after = joined("h_reset", h_reset, u, SRC, shared=True)
    how: dict[str, Any] = {"reverse": reverse, "process_group": process_group, "backend": backend}
    y, last = run(SRC, [u], [bias], options, h0=h0, reset=reset, h_reset=after, **how)
    # Nobody else has last: the three may be changed in place.
    i, h, h_s = torch.unsafe_chunk(last, 3, -1)
    return y, (i, h, h_s)


def src_step(
    u: Tensor,
    bias: Tensor,
    state: States | None = None,
    *,
    reset: Tensor | None = None,
    h_reset: States | None = None,
    backend: str = "auto",
    **options: Any,
) -> tuple[Tensor, States]:
    """One step of ``src``: u (B,C), state (i, h, h_s) or None for zero; options are those of
    ``src``. Returns (y, state)."""
    if unknown := options.keys() - OPTIONS.keys():
        refuse("src_step", SRC, sorted(unknown))
    checked = src_options(**{**OPTIONS, **options}) if options else OPTIONS
    h0 = joined("state", state, u, SRC, shared=False)
    after = joined("h_reset", h_reset, u, SRC, shared=True)
    y, last = run_step(SRC, [u], [bias], checked, h0, reset=reset, h_reset=after, backend=backend)
    # Nobody else has last: the three may be changed in place.
    i, h, h_s = torch.unsafe_chunk(last, 3, -1)
    return y, (i, h, h_s)


def src_options(
    gradient,
    leak,
    rho,
    r,
    r_s,
    z,
    z_hyp,
    z_dep,
    slope,
    midpoint,
    threshold,
    surrogate,
    width,
    memory,
) -> dict[str, object]:
    """The options of an SRC, checked."""
    inf = float("inf")
    return {
        "gradient": one_of("gradient", gradient, GRADIENTS),
        "leak": number("leak", leak, 0.0, 1.0),
        "rho": number("rho", rho, 0.0, inf, open_low=True),
        "r": number("r", r, -inf, inf),
        "r_s": number("r_s", r_s, -inf, inf),
        "z": number("z", z, 0.0, 1.0, open_high=True),
        "z_hyp": number("z_hyp", z_hyp, 0.0, 1.0),
        "z_dep": number("z_dep", z_dep, 0.0, 1.0),
        "slope": number("slope", slope, -inf, inf),
        "midpoint": number("midpoint", midpoint, -inf, inf),
        "threshold": None if threshold is None else number("threshold", threshold, -inf, inf),
        "surrogate": one_of("surrogate", surrogate, SPIKE_SURROGATES),
        "width": number("width", width, 0.0, inf, open_low=True),
        "memory": _memory(memory),
    }


def _memory(memory: str | int) -> str | int:
    """ "states", or the number of steps between checkpoints."""
    if memory == "states":
        return memory
    if memory == "checkpoint":
        return CHECKPOINT_INTERVAL
    if not isinstance(memory, Integral) or isinstance(memory, bool) or memory < 1:
        raise ValueError(
            "memory must be 'states', 'checkpoint' or a number of steps of at least 1, got "
            f"{memory!r}"
        )
    return min(int(memory), LONGEST_INTERVAL)


def _kernel(options: Mapping[str, Any], has_reset: bool) -> Kernel:
    return KERNELS[options["threshold"] is not None, options["gradient"] == "detached"]


def _numbers(options: Mapping[str, Any]) -> list[float]:
    constants = [
        options[name]
        for name in ("leak", "rho", "r", "r_s", "z", "z_hyp", "z_dep", "slope", "midpoint")
    ]
    threshold = 0.0 if options["threshold"] is None else options["threshold"]
    surrogate = list(SPIKE_SURROGATES).index(options["surrogate"])
    interval = 0 if options["memory"] == "states" else options["memory"]
    return [float(x) for x in (interval, *constants, threshold, options["width"], surrogate)]


def _draw(draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    # |h| stays below about 0.97: 1 - h^2, a factor of every gradient, loses all its digits where h
    # rounds to 1.
    return [0.4 * draw.normal(draw.stream)], [draw(draw.channels, 0.0, 0.5)]


#: By whether it spikes, and whether the gradient is detached.
KERNELS = {
    (spikes, detached): Kernel(
        "src" + "_spikes" * spikes + "_detached" * detached,
        streams=1,
        engine="step",
        states=3,
        saves="states",
        saved=2 if detached else 3,  # tanh(i/rho), h, and for the full gradient h_s
    )
    for spikes in (False, True)
    for detached in (False, True)
}

_SPIKES = {**GENTLE, "gradient": "full", "threshold": 0.5}


def _compiled() -> dict[str, Mapping[str, Any]]:
    """What is compiled apart: by the gradient, by what is kept, and, of spikes, by what stands for
    their derivative."""
    found: dict[str, Mapping[str, Any]] = {}
    for (spikes, detached), kernel in sorted(KERNELS.items()):
        options = {**OPTIONS, "gradient": "detached" if detached else "full"}
        if spikes:
            spiking = {**options, "threshold": 0.5}
            found |= {f"{kernel.name}, {s}": {**spiking, "surrogate": s} for s in SPIKE_SURROGATES}
        else:
            found[kernel.name] = options
            found[f"{kernel.name}, checkpoints"] = {**options, "memory": CHECKPOINT_INTERVAL}
    return found


SRC = Cell(
    "src",
    summary="the spiking recurrent cell, its leaky current fused in; states (i, h, h_s); ReLU or "
    "spikes out; detached or full gradient",
    inputs=("u",),
    params=("bias",),
    step=step,
    kernels=tuple(KERNELS.values()),
    kernel=_kernel,
    function=src,
    streaming=src_step,
    options=OPTIONS,
    check=src_options,
    numbers=_numbers,
    states=("i", "h", "h_s"),
    draw=_draw,
    variants=(
        *(
            {**GENTLE, "gradient": gradient, "threshold": at}
            for gradient in GRADIENTS
            for at in (None, 0.5)
        ),
        {**GENTLE, "gradient": "full", "memory": 5},
        *({**_SPIKES, "surrogate": s} for s in SPIKE_SURROGATES if s != OPTIONS["surrogate"]),
    ),
    compiled=_compiled(),
    measured={
        "src detached": {},
        "src full": {"gradient": "full"},
        "src checkpoint": {"gradient": "full", "memory": CHECKPOINT_INTERVAL},
    },
)
