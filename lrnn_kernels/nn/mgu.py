"""The minimal gated unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cells import mgu
from .base import Recurrent
from .init import recurrent_uniform_


class MGU(Recurrent):
    """The minimal gated unit (Zhou, Wu, Zhang and Zhou 2016): a GRU whose one gate both resets and
    updates.

        f[t] = sigmoid(W_if x[t] + b_f + W_hf h[t-1])
        n[t] = tanh(W_in x[t] + b_n + W_hn (f[t] h[t-1]))
        h[t] = (1-f[t]) h[t-1] + f[t] n[t]

    The output is h. See ``Recurrent`` for the arguments that all layers share, for shapes and
    resets.

    Keyword arguments:
        initial_state: "zero" (default) or "learned".
        reset_after: whether the gate acts after the candidate's product, n[t] = tanh(W_in x[t] +
            b_n + f[t] (W_hn h[t-1])), one product a step in place of two, one after the other.

    state_dict, for layer k, and again with the suffix "_reverse", all uniform in +-1/sqrt(H):
        weight_ih_l{k} (2H, in): rows W_if, W_in.
        weight_hh_l{k} (2H, H): rows W_hf, W_hn.
        bias_ih_l{k} (2H,), with bias: b_f, b_n.
        h0_l{k} (H,), where the initial state is learned: 0.
    """

    cell = mgu.MGU
    takes_input = True

    def _set_options(self, *, reset_after: bool = False) -> None:
        self.options = mgu.mgu_options(reset_after)

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (2 * H, input_size), "weight_hh": (2 * H, H)}
        if self.bias:
            shapes["bias_ih"] = (2 * H,)
        if self.initial_state == "learned":
            shapes["h0"] = (H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        recurrent_uniform_(p, self.hidden_size)

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        return [p["weight_hh"]]

    def _scan_options(self) -> dict[str, Any]:
        return self.options

    def _extra_options(self) -> dict[str, Any]:
        return self.options
