"""The linear recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..calls.linear import to_complex, to_split
from ..cells import lru
from ..options import number
from .base import Recurrent
from .init import lru_ring_


class LRU(Recurrent):
    """Linear recurrent unit, diagonal and complex (Orvieto et al. 2023).

        h[t] = lambda h[t-1] + exp(gamma) (B x[t]),  lambda = exp(-exp(nu) + i exp(theta))
        y[t] = Re(C h[t]) + D x[t]

    with hidden_size complex states and, as in a GRU, hidden_size outputs y. D x is elementwise, as
    in the paper, where the layer's input and output have the same size, and a linear map otherwise.
    All products are real GEMMs on split storage: all real parts, then all imaginary parts. See
    ``Recurrent`` for the arguments that all layers share, for shapes and resets; here h_0 and h_n
    are complex, and bias, False by default as in the paper, adds b to y.

    Keyword arguments:
        r_min, r_max, max_phase: the ring that lambda is drawn from, |lambda| in [r_min, r_max],
            phase in [0, max_phase]. 0, 1, 6.28 are the paper's; for long memory 0.9 and 0.999.
        initial_state: "zero" (default) or "learned".

    state_dict, for layer k, and again with the suffix "_reverse":
        nu_l{k}, theta_l{k}, gamma_l{k} (H,): lambda uniform on the ring; gamma = log sqrt(1 -
            |lambda|^2), then free.
        weight_ih_l{k} (2H, in): rows Re B, then Im B, without exp(gamma). N(0, 1/(2 in)).
        weight_ho_l{k} (H, 2H): columns Re C, then -Im C. N(0, 1/H).
        skip_l{k} (H,) or (H, in): D. N(0,1), or N(0, 1/in) where it is a linear map.
        bias_ho_l{k} (H,), with bias: 0.
        h0_l{k} (2H,), where the initial state is learned: real, then imaginary parts; 0.
    """

    cell = lru.LRU

    step_operator = cell.layer_step

    default_bias = False

    def _set_options(
        self, *, r_min: float = 0.0, r_max: float = 1.0, max_phase: float = 6.28
    ) -> None:
        self.r_max = number("r_max", r_max, 0.0, 1.0, open_low=True)
        self.r_min = number("r_min", r_min, 0.0, self.r_max)
        self.max_phase = number("max_phase", max_phase, 0.0, float("inf"), open_low=True)

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {
            "nu": (H,),
            "theta": (H,),
            "gamma": (H,),
            "weight_ih": (2 * H, input_size),
            "weight_ho": (H, 2 * H),
            "skip": (H,) if input_size == H else (H, input_size),
        }
        if self.bias:
            shapes["bias_ho"] = (H,)
        if self.initial_state == "learned":
            shapes["h0"] = (2 * H,)
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        lru_ring_(p["nu"], p["theta"], p["gamma"], self.r_min, self.r_max, self.max_phase)
        H, fan_in = self.hidden_size, p["weight_ih"].shape[1]
        p["weight_ih"].normal_(std=1 / math.sqrt(2 * fan_in))
        p["weight_ho"].normal_(std=1 / math.sqrt(H))
        p["skip"].normal_(std=1.0 if p["skip"].dim() == 1 else 1 / math.sqrt(fan_in))
        for name in ("bias_ho", "h0"):
            if name in p:
                p[name].zero_()

    def _drive(self, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        weight = p["weight_ih"]
        # exp(gamma) scales 2H rows of the weight in place of B T rows of its product.
        scaled = weight.unflatten(0, (2, -1)) * p["gamma"].exp()[:, None]
        return F.linear(x, scaled.flatten(0, 1).to(weight.dtype))

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        nu, theta = (q if q.dtype == torch.float64 else q.float() for q in (p["nu"], p["theta"]))
        return [torch.polar(torch.exp(-nu.exp()), theta.exp())]

    def _read_out(self, y: Tensor, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        # The skip is added in place: nothing else reads the product, and a sum of its own would be
        # one more activation.
        skip = p["skip"]
        if skip.dim() == 1:
            return F.linear(y, p["weight_ho"], p.get("bias_ho")).addcmul_(x, skip)
        out = F.linear(y.flatten(0, 1), p["weight_ho"], p.get("bias_ho"))
        rows, skip = (
            q.to(out.dtype) for q in (x.flatten(0, 1), skip)
        )  # in-place products are not autocast
        return out.addmm_(rows, skip.t()).unflatten(0, x.shape[:2])

    def _step_tensors(self, p: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        weights = [p["weight_ih"], p["weight_ho"], p["skip"]]
        if "bias_ho" in p:
            weights.append(p["bias_ho"])
        return weights, [p["nu"], p["theta"], p["gamma"]]

    def _finish_step(self, y: Tensor, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        skip = p["skip"]
        return y.addcmul_(x, skip) if skip.dim() == 1 else y

    def _store(self, h: Tensor) -> Tensor:
        return to_split(h)

    def _load(self, states: list[Tensor], join: Callable[[list[Tensor]], Tensor]) -> Tensor:
        return to_complex(join(states))

    def _extra_options(self) -> dict[str, Any]:
        return {"r_min": self.r_min, "r_max": self.r_max, "max_phase": self.max_phase}
