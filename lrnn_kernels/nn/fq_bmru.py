"""The first-quadrant BMRU, the form of the analog circuit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cell import Heaviside
from ..cells import fq_bmru
from ..options import number
from .anneal import Annealed
from .base import Recurrent
from .gates import Gated
from .init import random_choice_
from .surrogate import heaviside


class FQBMRU(Annealed, Recurrent, Gated):
    """First-quadrant BMRU: states 0 and alpha, switched by two positive thresholds, as the analog
    circuit does it.

        u[t] = ReLU(W x[t] + b),  z_lo = H(beta_lo - u),  z_hi = H(u - beta_hi)
        hold = (1-z_lo)(1-z_hi)
        h[t] = (hold + (1-hold) eps) h[t-1] + (1-hold) z_hi alpha,  h[0] in {0, alpha}

    with beta_lo = |p1| and beta_hi = |p1| + |p2|; H(0) = 1; the output is h. See ``Recurrent`` for
    the arguments that all layers share, for shapes and resets.

    Keyword arguments:
        eps: 0 is the circuit; training may lower it from 1, see ``EpsAnneal``.
        width: of the surrogate derivative of H, kappa(u) = w / (1 + (pi w u)^2).
        initial_state: "learned" (default), h[0] = alpha s[0]; or "zero".
        quantize_initial_state: h[0] = alpha H(s[0] - 1/2), H with its surrogate, so that h[0] stays
            one of the circuit's two states. True by default where the initial state is learned.

    state_dict, for layer k, and again with the suffix "_reverse":
        weight_ih_l{k} (H, in): W, the magnitudes of torch.nn.Linear's draw.
        bias_ih_l{k} (H,): b = 0.5.
        p1_l{k}, p2_l{k} (H,): 0.15 U(0.8, 1.2) and 0.35 U(0.8, 1.2).
        alpha_l{k} (H,): 1.
        s0_l{k} (H,): the learned s[0], drawn from {0, 1}.
    """

    cell = fq_bmru.FQ_BMRU

    step_operator = cell.layer_step

    default_initial_state = "learned"

    def _set_options(
        self, *, eps: float = 0.0, width: float = 1.0, quantize_initial_state: bool = True
    ) -> None:
        self.eps = eps
        self.width = number("width", width, 0.0, float("inf"), open_low=True)
        learned = self.initial_state == "learned"
        self.quantize_initial_state = bool(quantize_initial_state) and learned

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        H = self.hidden_size
        shapes = {
            "weight_ih": (H, input_size),
            "bias_ih": (H,),
            "p1": (H,),
            "p2": (H,),
            "alpha": (H,),
            "s0": (H,),
        }
        if not self.bias:
            del shapes["bias_ih"]
        if self.initial_state == "zero":
            del shapes["s0"]
        return shapes

    def _init(self, p: Mapping[str, Tensor]) -> None:
        p["weight_ih"].uniform_(
            0, p["weight_ih"].shape[1] ** -0.5
        )  # |U(-a, a)|, a = 1/sqrt(in), as torch.nn.Linear draws
        if self.bias:
            p["bias_ih"].fill_(0.5)
        p["p1"].uniform_(0.15 * 0.8, 0.15 * 1.2)
        p["p2"].uniform_(0.35 * 0.8, 0.35 * 1.2)
        p["alpha"].fill_(1.0)
        if "s0" in p:
            random_choice_(p["s0"], 0.0, 1.0)

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        beta_lo = p["p1"].abs()
        return [beta_lo, beta_lo + p["p2"].abs(), p["alpha"]]

    def _step_tensors(self, p: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return self._weights(p), [p["p1"], p["p2"], p["alpha"]]

    def _gate(self, p: Mapping[str, Tensor], drive: Tensor) -> Tensor:
        u = drive.relu()
        lo, hi, _ = self._scan_params(p)
        below = Heaviside.apply(lo.expand_as(u), u, self.width)
        above = Heaviside.apply(u, hi.expand_as(u), self.width)
        return 1 - (1 - below) * (1 - above)

    def _scan_options(self) -> dict[str, Any]:
        return {"eps": self._eps_option(), "width": self.width}

    def _initial(self, p: Mapping[str, Tensor]) -> Tensor | None:
        if "s0" not in p:
            return None
        return p["alpha"] * (
            heaviside(p["s0"] - 0.5, self.width) if self.quantize_initial_state else p["s0"]
        )

    def _extra_options(self) -> dict[str, Any]:
        return {
            "eps": self.eps,
            "width": self.width,
            "quantize_initial_state": self.quantize_initial_state,
        }
