"""Layers whose scan takes the product with its input as well: those of cells with matrices."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from ..calls.run import run_driven
from .base import Recurrent


class Driven(Recurrent):
    """A layer whose pre-activations are one product, x weight' + bias, and nothing else."""

    takes_input = True

    def _weights(self, p: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The product's weight, (nH, in), and bias, (nH,)."""
        return p["weight_ih"], p.get("bias_ih")

    def _drive(self, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        return F.linear(x, *self._weights(p))

    def _scan_input(self, x: Tensor, p: Mapping[str, Tensor], **states) -> tuple[Tensor, Tensor]:
        params, options = self._scan_params(p), self._scan_options()
        weights = self._weights(p)
        return run_driven(self.cell, x, *weights, params, options, backend=self.backend, **states)
