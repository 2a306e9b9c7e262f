"""The spiking recurrent cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cells import src
from ..options import number
from .base import Recurrent
from .surrogate import ceiling

#: The bias that the paper starts from: without input the neuron rests; it spikes while x is held at
#: 2, and not at 1.5.
INITIAL_BIAS = -6.0

#: Standard deviation of the weights times the root of their fan-in; see SRC.
WEIGHT_GAIN = 2.0


class SRC(Recurrent):
    """Spiking recurrent cell (Geeter, Ernst and Drion 2024): neurons that spike and recover by
    their own feedback.

        i[t]   = leak i[t-1] + W s[t],  x[t] = rho tanh(i[t] / rho)
        z_s[t] = z_hyp + (z_dep - z_hyp) sigmoid(slope (h[t-1] - midpoint))
        h[t]   = z h[t-1] + (1-z) tanh(x[t] + r h[t-1] + r_s h_s[t-1] + min(b, max_bias))
        h_s[t] = z_s[t] h_s[t-1] + (1-z_s[t]) h[t-1]
        y[t]   = ReLU(h[t]);  with a threshold the spike 1 if h[t] > threshold else 0

    The output y is what the next layer reads as s. See ``Recurrent`` for the arguments that all
    layers share, for shapes and resets. There are three states: h_0 and h_n are tuples (i, h, h_s).
    By default the time comes first, as is usual for spiking networks.

    From rest a neuron spikes in step 12 at the earliest (step 7 with b = -4), whatever drives it,
    and a layer above after that: h_s must fall first. Shorter calls from rest have no spikes, and a
    loss of spikes no gradient to speak of: take 50 steps or more, or carry the state (i, h, h_s)
    from call to call.

    Arguments:
        bias: whether b is learned; if not, it is -6 in every neuron, for a cell without b spikes
            all the time.

    Keyword arguments:
        gradient: "detached", the paper's rule, by which time gradient flows through i alone, and
            what to train with; or "full", back-propagation through all three states, which is exact
            but for the spikes' own derivative, and grows without bound with the steps of a neuron
            that spikes, since h feeds back on itself with a slope of up to r. It is of use in
            pieces of 10 to 20 steps, between which the state is detached, with r well below 1, and
            to compare with: docs/spiking.md has a measurement.
        leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint: the cell's constants.
        threshold, surrogate, width: of spikes and of what stands for their derivative;
            threshold=0.5 is the paper's read-out, and at 1 no neuron could spike.
        memory: what is kept for the backward pass. All of these are as in ``lrnn_kernels.src``.
        max_bias: b acts up to here, -4 as in the paper; None for no limit. Its gradient is passed
            on as if there were none: a b above the limit still learns, and comes back. How far a b
            may go is for the training: clamping it after each step of the optimizer makes this
            projected gradient descent. (A rule that stops gradients at the limit would give
            sequences in pieces another gradient than the whole.)
        initial_state: "zero" (default) or "learned". The detached gradient reaches the initial i
            alone.

    state_dict, for layer k, and again with the suffix "_reverse":
        weight_ih_l{k} (H, in): W. The draw N(0, 4/in) is ours: the sources that this was written
            from name none. With digits whose pixels spike with a quarter of their value as
            probability, 3 % of all h exceed 0.5 in each of three layers of 256 neurons at the
            start; with a quarter of the variance, 0.05 % in the third.
        bias_l{k} (H,), with bias: b = -6. It belongs to the neuron: the GEMM has none.
        h0_l{k} (3H,), where the initial state is learned: i, then h, then h_s; 0.
    """

    cell = src.SRC

    def _set_options(
        self,
        *,
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
        max_bias: float | None = -4.0,
    ) -> None:
        constants = (leak, rho, r, r_s, z, z_hyp, z_dep, slope, midpoint)
        self.options = src.src_options(gradient, *constants, threshold, surrogate, width, memory)
        if threshold is not None and threshold >= 1:
            raise ValueError(f"threshold must be below 1, as |h| is, got {threshold}")
        if threshold is None and (surrogate, width) != ("atan", 1.0):
            raise ValueError(
                "threshold must be given with surrogate and width, which are of spikes, got None "
                f"with {surrogate!r} and {width}; 0.5 is the paper's read-out"
            )
        self.max_bias = (
            None if max_bias is None else number("max_bias", max_bias, -math.inf, math.inf)
        )

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (H, input_size)}
        if self.bias:
            shapes["bias"] = (H,)
        if self.initial_state == "learned":
            shapes["h0"] = (3 * H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        p["weight_ih"].normal_(std=WEIGHT_GAIN / math.sqrt(p["weight_ih"].shape[1]))
        if self.bias:
            p["bias"].fill_(INITIAL_BIAS)
        if "h0" in p:
            p["h0"].zero_()

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        bias = (
            p["bias"] if self.bias else p["weight_ih"].new_full((self.hidden_size,), INITIAL_BIAS)
        )
        return [bias if self.max_bias is None else ceiling(bias, self.max_bias)]

    def _scan_options(self) -> dict[str, Any]:
        return self.options

    def _extra_options(self) -> dict[str, Any]:
        shown = {"gradient": self.options["gradient"], "max_bias": self.max_bias}
        return shown | {name: x for name, x in self.options.items() if x != src.OPTIONS[name]}
