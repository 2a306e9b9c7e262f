"""The training schedule of eps, from the CMRU (1) to the BMRU (0)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..options import number


class Annealed:
    """Layers whose update keeps a share ``eps`` of the old state, a plain number that training
    may change."""

    _eps: float
    _is_between: bool  # 0 < eps < 1: the kernels at the ends are others
    _eps_tensor: Tensor

    @property
    def eps(self) -> float:
        """How much of the old state an update keeps, in [0, 1]. Not learned, and not part of the
        state_dict."""
        return self._eps

    @eps.setter
    def eps(self, value: float) -> None:
        self._eps = number("eps", value, 0.0, 1.0)
        self._is_between = 0.0 < self._eps < 1.0
        # A new one: a backward pass to come, a copy of the layer or an exported program may hold
        # the one before.
        self._eps_tensor = torch.tensor(self._eps, dtype=torch.float64, device="cpu")

    def _eps_option(self) -> float | Tensor:
        """eps for a scan: a tensor under torch.compile, which would compile anew for every
        number."""
        return self._eps_tensor if self._is_between and torch.compiler.is_compiling() else self._eps


class EpsAnneal:
    """Sets eps of every BMRU and FQBMRU in a model: 1 for ``hold`` steps, then linearly to 0 over
    ``decay`` steps.

    Training with eps = 1 lets gradients pass every update; with eps = 0 they stop at the last one.
    Call ``step()`` after each step of the optimizer, as for a learning-rate scheduler; the
    constructor sets the first value. torch.compile compiles anew for 1, once for all values
    between, and for 0.

    Args:
        model: a module that contains at least one layer with eps.
        hold, decay: in steps; the paper's 1000 and 5000 by default. See also ``over``.
    """

    def __init__(self, model: nn.Module, hold: int = 1000, decay: int = 5000) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, Annealed)]
        if not self.layers:
            raise ValueError(
                "model must contain a layer with eps (BMRU or FQBMRU), got "
                f"{type(model).__name__} without one"
            )
        self.hold = int(number("hold", hold, 0, float("inf")))
        self.decay = int(number("decay", decay, 0, float("inf")))
        self.steps = 0
        self._apply()

    @classmethod
    def over(cls, model: nn.Module, steps: int) -> EpsAnneal:
        """The schedule for a run of so many steps: held for the first 5 %, decaying over the
        next 70 %."""
        return cls(model, hold=round(0.05 * steps), decay=round(0.7 * steps))

    @property
    def eps(self) -> float:
        """The present value."""
        if self.steps < self.hold:
            return 1.0
        return max(0.0, 1.0 - (self.steps - self.hold) / self.decay) if self.decay else 0.0

    def step(self) -> None:
        """One more step is done."""
        self.steps += 1
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "hold": self.hold, "decay": self.decay}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.hold, self.decay = state["steps"], state["hold"], state["decay"]
        self._apply()

    def _apply(self) -> None:
        for layer in self.layers:
            layer.eps = self.eps
