"""The training schedule of eps, from the CMRU (1) to the BMRU (0)."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..options import number, whole


class Annealed(nn.Module):
    """Layers whose update keeps a share ``eps`` of the old state, a plain number that training
    may change.

    A state_dict has no entry for it, so that parameters go from one eps to another; but it says
    with which it was made, and load_state_dict warns a layer that has another."""

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

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):  # which torch.save keeps
            destination._metadata[prefix[:-1]]["eps"] = self._eps

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        eps = local_metadata.get("eps", self._eps)
        if eps != self._eps:
            warnings.warn(
                f"the parameters of {prefix[:-1] or 'this layer'} are of a {type(self).__name__} "
                f"with eps = {eps:g}, and are loaded into one with eps = {self._eps:g}, which "
                "computes something else; layer.eps = ... or EpsAnneal.load_state_dict sets it",
                stacklevel=4,
            )

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

    Hold until the model has converged with eps = 1: what it has not learned by then it will hardly
    learn while eps falls. Keep the learning rate up meanwhile: a schedule that has lowered it by
    the time eps moves leaves the model where it was. A model is a BMRU only once ``done``: compare
    and keep checkpoints from there on.

    Args:
        model: a module that contains at least one layer with eps.
        hold, decay: whole numbers of steps; the paper's 1000 and 5000 by default. For fractions of
            a run see ``over``.
    """

    def __init__(self, model: nn.Module, hold: int = 1000, decay: int = 5000) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, Annealed)]
        if not self.layers:
            raise ValueError(
                "model must contain a layer with eps (BMRU or FQBMRU; a CMRU that is to become a "
                f"BMRU is BMRU(..., eps=1.0)), got {type(model).__name__} without one"
            )
        self.hold = _steps("hold", hold)
        self.decay = _steps("decay", decay)
        self.steps = 0
        self._apply()

    @classmethod
    def over(
        cls, model: nn.Module, steps: int, *, hold: float = 0.05, decay: float = 0.7
    ) -> EpsAnneal:
        """The schedule for a run of so many steps, of which it is held for a fraction ``hold`` and
        falls over a fraction ``decay``. In short runs, hold for longer: 0.3 and 0.4, say."""
        steps = _steps("steps", steps)
        hold = number("hold", hold, 0.0, 1.0)
        decay = number("decay", decay, 0.0, 1.0)
        if hold + decay > 1.0:
            raise ValueError(
                f"hold + decay must be at most 1, the whole run, got {hold:g} + {decay:g}"
            )
        return cls(model, hold=round(hold * steps), decay=round(decay * steps))

    @property
    def done(self) -> bool:
        """Whether eps has reached 0."""
        return self.eps == 0.0

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


def _steps(name: str, x: object) -> int:
    hint = "; fractions of a run: EpsAnneal.over(model, steps, hold=..., decay=...)"
    return whole(name, x, 0, hint)
