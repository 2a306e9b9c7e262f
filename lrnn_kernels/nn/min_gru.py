"""The minGRU layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cells import min_gru
from .base import Recurrent
from .init import Range, from_range_, given_range, lecun_normal_


class MinGRU(Recurrent):
    """minGRU in linear space: h[t] = (1 - z[t]) h[t-1] + z[t] v[t], z[t] = sigmoid(k[t]) (Feng et
    al. 2024, sec. 3.1).

        k[t] = W_z x[t] + b_z,  v[t] = W_h x[t] + b_h

    The output is h. See ``Recurrent`` for the arguments that all layers share, for shapes and
    resets.

    Keyword arguments:
        positive: g(v) = v + 1/2 for v >= 0, sigmoid(v) below, in place of v (ibid., app. B).
        gate_init: b_z at the start, a number or a range (low, high) to draw from; by default
            (-6, -1), which makes units remember for 4 to 400 steps. 0, which the paper's text leads
            to, is a memory of one step, from which sequences of 200 steps are not learned.
        initial_state: "zero" (default) or "learned".

    state_dict, for layer k, and again with the suffix "_reverse":
        weight_ih_l{k} (2H, in): rows W_z, then W_h. The paper names no draw; LeCun-normal here.
        bias_ih_l{k} (2H,): b_z = gate_init, then b_h = 0.
        h0_l{k} (H,), where the initial state is learned: 0.
    """

    cell = min_gru.MIN_GRU

    def _set_options(self, *, positive: bool = False, gate_init: Range = (-6.0, -1.0)) -> None:
        self.positive = bool(positive)
        self.gate_init = given_range("gate_init", gate_init)

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (2 * H, input_size)}
        if self.bias:
            shapes["bias_ih"] = (2 * H,)
        if self.initial_state == "learned":
            shapes["h0"] = (H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        lecun_normal_(p["weight_ih"])
        for name in ("bias_ih", "h0"):
            if name in p:
                p[name].zero_()
        if self.bias:
            from_range_(p["bias_ih"][: self.hidden_size], self.gate_init)

    def _scan_options(self) -> dict[str, Any]:
        return {"positive": self.positive}

    def _extra_options(self) -> dict[str, Any]:
        return {"positive": self.positive, "gate_init": self.gate_init}
