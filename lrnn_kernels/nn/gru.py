"""The gated recurrent unit, with torch's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cells import gru
from .base import Recurrent
from .init import recurrent_uniform_


class GRU(Recurrent):
    """The gated recurrent unit (Cho et al. 2014), as torch.nn.GRU has it, parameters and
    initialization included: either loads the other's state_dict.

        r[t] = sigmoid(W_ir x[t] + b_ir + W_hr h[t-1] + b_hr)
        z[t] = sigmoid(W_iz x[t] + b_iz + W_hz h[t-1] + b_hz)
        n[t] = tanh(W_in x[t] + b_in + r[t] (W_hn h[t-1] + b_hn))
        h[t] = (1-z[t]) n[t] + z[t] h[t-1]

    The output is h. Beyond torch's: resets within the sequence, ``step``, a learned initial state,
    and the two variants below. See ``Recurrent`` for the arguments that all layers share, for
    shapes and resets.

    Keyword arguments:
        initial_state: "zero" (default) or "learned".
        reset_after: whether the reset gate acts after the candidate's product, as above; False for
            the paper's n[t] = tanh(W_in x[t] + b_in + W_hn (r[t] h[t-1]) + b_hn).
        candidate_bias: False for neither b_in nor b_hn, as the bistable cells' paper compares with
            (Vecoven, Ernst and Drion 2021).

    state_dict, for layer k, and again with the suffix "_reverse", all uniform in +-1/sqrt(H):
        weight_ih_l{k} (3H, in): rows W_ir, W_iz, W_in.
        weight_hh_l{k} (3H, H): rows W_hr, W_hz, W_hn.
        bias_ih_l{k}, bias_hh_l{k} (3H,), (2H,) without candidate_bias, with bias: b_ir, b_iz, b_in;
            b_hr, b_hz, b_hn.
        h0_l{k} (H,), where the initial state is learned: 0.
    """

    cell = gru.GRU
    takes_input = True

    def _set_options(self, *, reset_after: bool = True, candidate_bias: bool = True) -> None:
        self.options = gru.gru_options(reset_after)
        self.candidate_bias = bool(candidate_bias)

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (3 * H, input_size), "weight_hh": (3 * H, H)}
        if self.bias:
            size = 3 * H if self.candidate_bias else 2 * H
            shapes |= {"bias_ih": (size,), "bias_hh": (size,)}
        if self.initial_state == "learned":
            shapes["h0"] = (H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        recurrent_uniform_(p, self.hidden_size)

    def _weights(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        """The bias is all but the candidate's recurrent one."""
        if not self.bias:
            return [p["weight_ih"]]
        H, b_ih, b_hh = self.hidden_size, p["bias_ih"], p["bias_hh"]
        if self.candidate_bias:
            return [p["weight_ih"], b_ih + F.pad(b_hh[: 2 * H], (0, H))]
        return [p["weight_ih"], F.pad(b_ih + b_hh, (0, H))]

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        w, H = p["weight_hh"], self.hidden_size
        has_bias = self.bias and self.candidate_bias
        return [w, p["bias_hh"][2 * H :] if has_bias else torch.zeros_like(w[0])]

    def _step_tensors(self, p: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        if not (self.bias and self.candidate_bias):
            return super()._step_tensors(p)
        # The operator adds the biases, all but b_hn, which it takes from the second.
        return [p["weight_ih"], p["bias_ih"], p["bias_hh"]], [p["weight_hh"]]

    def _scan_options(self) -> dict[str, Any]:
        return self.options

    def _extra_options(self) -> dict[str, Any]:
        return {**self.options, "candidate_bias": self.candidate_bias}
