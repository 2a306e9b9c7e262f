"""The bistable memory recurrent unit and its cumulative forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cell import Heaviside, magnitude
from ..cells import hysteresis
from ..options import number
from .anneal import Annealed
from .base import Recurrent
from .gates import Drifting, Gated
from .init import Range, from_range_, given_range, lecun_normal_, random_choice_
from .surrogate import sign


def _writes(c: Tensor, beta: Tensor, width: float) -> Tensor:
    """z = H(|c| - |beta|), as the kernels have it: ties update."""
    return Heaviside.apply(magnitude(c), magnitude(beta), width)


class _Hysteresis(Recurrent, Gated):
    """What BMRU and CMRU share: all but eps."""

    cell = hysteresis.BMRU

    def _eps_option(self) -> float | Tensor:
        return 1.0

    default_initial_state = "learned"

    def _set_options(
        self,
        *,
        width: float = 1.0,
        beta_init: Range = 1.0,
        quantize_initial_state: bool = False,
    ) -> None:
        self.beta_init = given_range("beta_init", beta_init)
        self.width = number("width", width, 0.0, float("inf"), open_low=True)
        self.quantize_initial_state = bool(quantize_initial_state)
        if self.quantize_initial_state and self.initial_state != "learned":
            raise ValueError(
                "quantize_initial_state needs initial_state='learned', got initial_state='zero'"
            )

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (2 * H, input_size), "bias_ih": (2 * H,), "alpha": (H,), "s0": (H,)}
        if not self.bias:
            del shapes["bias_ih"]
        if self.initial_state == "zero":
            del shapes["s0"]
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        lecun_normal_(p["weight_ih"])
        if self.bias:
            p["bias_ih"][: self.hidden_size].zero_()  # b_c
            from_range_(p["bias_ih"][self.hidden_size :], self.beta_init)  # b_beta
        p["alpha"].fill_(1.0)
        if "s0" in p:
            random_choice_(p["s0"], -1.0, 1.0)

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        return [p["alpha"]]

    def _gate(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        c, beta = drive.chunk(2, -1)
        return _writes(c, beta, self.width)

    def _scan_options(self) -> dict[str, Any]:
        return {"eps": self._eps_option(), "width": self.width}

    def _initial(self, p: Mapping[str, Tensor]) -> Tensor | None:
        if "s0" not in p:
            return None
        return p["alpha"] * (sign(p["s0"], self.width) if self.quantize_initial_state else p["s0"])

    def _extra_options(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "beta_init": self.beta_init,
            "quantize_initial_state": self.quantize_initial_state,
        }


class BMRU(Annealed, _Hysteresis):
    """Bistable memory recurrent unit: states -alpha and +alpha, written where the candidate leaves
    the band of its threshold.

        c[t] = W_c x[t] + b_c,  beta[t] = W_beta x[t] + b_beta,  z[t] = H(|c[t]| - |beta[t]|)
        h[t] = (1-z[t]) h[t-1] + z[t] (alpha S(c[t]) + eps h[t-1]),  h[0] = alpha s[0]

    H(0) = 1, S(0) = +1; the output is h. See ``Recurrent`` for the arguments that all layers share,
    for shapes and resets.

    Keyword arguments:
        eps: how much of the old state an update keeps, in [0, 1]: 0 is the BMRU, 1 the CMRU. An
            attribute that training may lower from 1 to 0, see ``EpsAnneal``.
        width: of the surrogate derivative kappa(u) = w / (1 + (pi w u)^2) of H; S has 2 kappa.
        beta_init: b_beta at the start, a number or a range (low, high) to draw from; 1 is the
            paper's. The higher, the rarer an update at first: where candidates often pass 1, a BMRU
            at eps = 0 learns long memory from 3, and not from 1.
        initial_state: "learned" (default) or "zero".
        quantize_initial_state: h[0] = alpha S(s[0]), S with its surrogate, in place of alpha s[0].

    state_dict, for layer k, and again with the suffix "_reverse":
        weight_ih_l{k} (2H, in): rows W_c, then W_beta. LeCun-normal.
        bias_ih_l{k} (2H,): b_c = 0, then b_beta = beta_init. Without a bias, thresholds start near
            0 and nearly every step updates.
        alpha_l{k} (H,): 1, of any sign.
        s0_l{k} (H,): the learned s[0], drawn from {-1, +1}.
    """

    def _set_options(
        self,
        *,
        eps: float = 0.0,
        width: float = 1.0,
        beta_init: Range = 1.0,
        quantize_initial_state: bool = False,
    ) -> None:
        self.eps = eps
        super()._set_options(
            width=width, beta_init=beta_init, quantize_initial_state=quantize_initial_state
        )

    def _extra_options(self) -> dict[str, Any]:
        return {"eps": self.eps, **super()._extra_options()}


class CMRU(_Hysteresis, Drifting):
    """Cumulative memory recurrent unit: h[t] = h[t-1] + z[t] alpha S(c[t]), a staircase whose every
    level is held while z = 0.

    The BMRU with eps = 1, so gradients pass every update. Equations, arguments, initial state and
    state_dict: see ``BMRU``. ``bmru()`` makes a BMRU of the same parameters, whose eps can then be
    lowered; to do so in training from the start, take ``BMRU(..., eps=1.0)``.
    """

    cell = hysteresis.CMRU

    def bmru(self, eps: float = 1.0) -> BMRU:
        """A BMRU with copies of these parameters: with eps = 1 it computes what this layer does,
        and ``EpsAnneal`` lowers eps to 0."""
        layer = BMRU(**self._arguments(), eps=eps)
        layer.load_state_dict(self.state_dict())
        return layer.train(self.training)

    def _drift(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        c, beta = drive.chunk(2, -1)
        return _writes(c, beta, self.width) * p["alpha"] * sign(c, self.width)


class AlphaCMRU(Recurrent, Drifting):
    """CMRU whose step size follows the input: h[t] = h[t-1] + z[t] alpha[t] S(c[t]), alpha[t] =
    W_alpha x[t] + b_alpha.

    c, z and S as in ``BMRU``. This form is reconstructed from the description of the unit, not from
    published equations. See ``Recurrent`` for the arguments that all layers share, for shapes and
    resets.

    Keyword arguments:
        absolute: the step size is |alpha[t]|. This alone costs a copy of the pre-activations'
            gradient.
        width: of the surrogate derivative, as in ``BMRU``.
        beta_init: b_beta at the start, as in ``BMRU``.
        initial_state: "learned" (default) or "zero".

    state_dict, for layer k, and again with the suffix "_reverse":
        weight_ih_l{k} (3H, in): rows W_c, W_beta, W_alpha. LeCun-normal.
        bias_ih_l{k} (3H,): b_c = 0, b_beta = beta_init, b_alpha = 1.
        h0_l{k} (H,): the learned initial state itself, drawn from {-1, +1}: there is no alpha
            before the first step to scale it.
    """

    cell = hysteresis.ALPHA_CMRU

    default_initial_state = "learned"

    def _set_options(
        self, *, absolute: bool = False, width: float = 1.0, beta_init: Range = 1.0
    ) -> None:
        self.absolute = bool(absolute)
        self.beta_init = given_range("beta_init", beta_init)
        self.width = number("width", width, 0.0, float("inf"), open_low=True)

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {"weight_ih": (3 * H, input_size), "bias_ih": (3 * H,), "h0": (H,)}
        if not self.bias:
            del shapes["bias_ih"]
        if self.initial_state == "zero":
            del shapes["h0"]
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        lecun_normal_(p["weight_ih"])
        if self.bias:
            c, beta, alpha = p["bias_ih"].chunk(3)
            c.zero_()
            from_range_(beta, self.beta_init)
            alpha.fill_(1.0)
        if "h0" in p:
            random_choice_(p["h0"], -1.0, 1.0)

    def _scan_options(self) -> dict[str, Any]:
        return {"eps": 1.0, "width": self.width}

    def _streams(self, drive: Tensor) -> list[Tensor]:
        return self._parts(drive) if self.absolute else [drive]

    def _step_tensors(self, p: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]] | None:
        return None if self.absolute else super()._step_tensors(p)

    def _parts(self, drive: Tensor) -> list[Tensor]:
        c, beta, alpha = drive.chunk(3, -1)
        return [c, beta, alpha.abs() if self.absolute else alpha]

    def _gate(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        c, beta, _ = self._parts(drive)
        return _writes(c, beta, self.width)

    def _drift(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        c, beta, alpha = self._parts(drive)
        return _writes(c, beta, self.width) * alpha * sign(c, self.width)

    def _extra_options(self) -> dict[str, Any]:
        return {"absolute": self.absolute, "width": self.width, "beta_init": self.beta_init}
