"""Long short-term memory, with torch's parameters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..cells import lstm
from .base import Recurrent
from .init import recurrent_uniform_


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000),
    as torch.nn.LSTM has it, parameters and initialization included: either loads the other's
    state_dict.

        i[t] = sigmoid(W_ii x[t] + b_ii + W_hi h[t-1] + b_hi)
        f[t] = sigmoid(W_if x[t] + b_if + W_hf h[t-1] + b_hf)
        g[t] = tanh(W_ig x[t] + b_ig + W_hg h[t-1] + b_hg)
        o[t] = sigmoid(W_io x[t] + b_io + W_ho h[t-1] + b_ho)
        c[t] = f[t] c[t-1] + i[t] g[t],  h[t] = o[t] tanh(c[t])

    The output is h; h_0 and h_n are tuples (h, c). Beyond torch's: resets within the sequence,
    ``step``, and a learned initial state; there is no proj_size. See ``Recurrent`` for the
    arguments that all layers share, for shapes and resets.

    Keyword arguments:
        initial_state: "zero" (default) or "learned".

    state_dict, for layer k, and again with the suffix "_reverse", all uniform in +-1/sqrt(H):
        weight_ih_l{k} (4H, in): rows W_ii, W_if, W_ig, W_io.
        weight_hh_l{k} (4H, H): rows W_hi, W_hf, W_hg, W_ho.
        bias_ih_l{k}, bias_hh_l{k} (4H,), with bias.
        h0_l{k} (2H,), where the initial state is learned: h, then c; 0.
    """

    cell = lstm.LSTM
    takes_input = True

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (4 * H, input_size), "weight_hh": (4 * H, H)}
        if self.bias:
            shapes |= {"bias_ih": (4 * H,), "bias_hh": (4 * H,)}
        if self.initial_state == "learned":
            shapes["h0"] = (2 * H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        recurrent_uniform_(p, self.hidden_size)

    def _weights(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        return [p["weight_ih"]] + ([p["bias_ih"] + p["bias_hh"]] if self.bias else [])

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        return [p["weight_hh"]]

    def _step_tensors(self, p: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        biases = [p["bias_ih"], p["bias_hh"]] if self.bias else []  # which the operator adds
        return [p["weight_ih"], *biases], [p["weight_hh"]]
