"""The bistable recurrent cell and its neuromodulated form."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..cells import brc, nbrc
from .base import Recurrent


class BRC(Recurrent):
    """Bistable recurrent cell (Vecoven, Ernst and Drion 2021): neurons that each hold one of two
    states while a > 1.

        a[t] = 1 + tanh(U_a x[t] + w_a h[t-1] + b_a),  c[t] = sigmoid(U_c x[t] + w_c h[t-1] + b_c)
        h[t] = c[t] h[t-1] + (1-c[t]) tanh(U x[t] + a[t] h[t-1])

    The output is h. See ``Recurrent`` for the arguments that all layers share, for shapes and
    resets.

    Keyword arguments:
        initial_state: "zero" (default) or "learned".

    state_dict, for layer k, and again with the suffix "_reverse":
        weight_ih_l{k} (3H, in): rows U_a, U_c, U, each Glorot-uniform.
        bias_ih_l{k} (2H,): b_a, then b_c; 0. There is none beside U x. One GEMM makes all three
            pre-activations, for which the bias is padded with zeros, 3H values and none of the size
            of an activation.
        w_a_l{k}, w_c_l{k} (H,): 1.
        h0_l{k} (H,), where the initial state is learned: 0.
    """

    cell = brc.BRC

    def _recurrent_shape(self) -> tuple[int, ...]:
        """Of w_a and w_c."""
        return (self.hidden_size,)

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (3 * H, input_size)}
        if self.bias:
            shapes["bias_ih"] = (2 * H,)
        shapes |= {"w_a": self._recurrent_shape(), "w_c": self._recurrent_shape()}
        if self.initial_state == "learned":
            shapes["h0"] = (H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        for matrix in p["weight_ih"].chunk(3):
            nn.init.xavier_uniform_(matrix)
        self._init_recurrent(p["w_a"])
        self._init_recurrent(p["w_c"])
        for name in ("bias_ih", "h0"):
            if name in p:
                p[name].zero_()

    def _init_recurrent(self, w: Tensor) -> None:
        w.fill_(1.0)

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        return [p["w_a"], p["w_c"]]


class NBRC(BRC):
    """Neuromodulated bistable recurrent cell (Vecoven, Ernst and Drion 2021): the gates of a neuron
    read all neurons of the layer.

        a[t] = 1 + tanh(U_a x[t] + W_a h[t-1] + b_a),  c[t] = sigmoid(U_c x[t] + W_c h[t-1] + b_c)
        h[t] = c[t] h[t-1] + (1-c[t]) tanh(U x[t] + a[t] h[t-1])

    One GEMM makes the pre-activations of all steps, as for the BRC; another is due at each step for
    W_a and W_c. Arguments are those of ``BRC``.

    state_dict, for layer k, and again with the suffix "_reverse": as for ``BRC``, but
        w_a_l{k}, w_c_l{k} (H, H): W_a and W_c, each Glorot-uniform.
    """

    cell = nbrc.NBRC

    def _recurrent_shape(self) -> tuple[int, ...]:
        return (self.hidden_size, self.hidden_size)

    def _init_recurrent(self, w: Tensor) -> None:
        nn.init.xavier_uniform_(w)
