"""Autoencoders whose projection is idempotent whatever their parameters are: encoder(decoder(z)) is
z, so that P = decoder(encoder(x)) gives P(P(x)) = P(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..options import boolean, integer, number
from .projection import Modulation, Projection


class ConstrainedAutoencoder(Projection):
    """An autoencoder that is a projection (Otto, Macchio and Rowley 2023).

        z = sigma_-(E (x - beta)), undone by x = D sigma_+(z) + beta, with E D = I

    layer after layer, of ``nn.Hyperbolic`` and ``nn.Biorthogonal``: encode(decode(z)) = z, and
    project(project(x)) = project(x), up to rounding, for any parameters. All methods take x (...,
    n) or z (..., r), in the type of the parameters, and are differentiable.

    Args:
        dims: the widths from n to r, of which none is above the one before: (3, 3, 3, 2).
        theta: the angle of every layer's activation, pi/8 by default. Encoder and decoder each
            amplify roundings by up to tan(pi/4 + theta) a layer.
        accumulate: "float64" to compute in that between x and the result, whatever the parameters
            are; None (default): in their own type.

    state_dict, of layer l: betas.l (n_l,), 0; layers.l.parametrizations.weight.original0, X
    (n_{l+1}, n_l), and original1, D, with random orthonormal rows and columns.

    Raises TypeError or ValueError that names the argument; ValueError where an X D is singular (see
    ``nn.Biorthogonal``).
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        theta: float = math.pi / 8,
        accumulate: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dims, accumulate, device, dtype)
        self.theta = number("theta", theta, 0.0, math.pi / 4 - 1e-7, open_low=True)
        zeros = (torch.zeros(n, device=device, dtype=dtype) for n in self.dims[:-1])
        self.betas = torch.nn.ParameterList(zeros)

    def _modulation(self, c: Tensor | None) -> Modulation:
        betas = [self._wide(beta) for beta in self.betas]
        return [(beta.new_full((), self.theta), beta) for beta in betas]

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "theta": self.theta}

    def extra_repr(self) -> str:
        return f"{self.dims}, theta={self.theta:.6g}, accumulate={self.accumulate!r}"


class NeuromodulatedAutoencoder(Projection):
    """A constrained autoencoder whose activations follow a static context (Adriaens, Drion and
    Sacre 2026): the manifold moves with c, and for every c the projection is idempotent.

        z = sigma_-(E (x - beta(c)); theta(c)), undone by x = D sigma_+(z; theta(c)) + beta(c)

    A network, tanh in its hidden layers, makes from c the theta and beta of every layer: theta =
    low + (high - low) sigmoid(.); E and D are those of all contexts. Read in the paper's abstract;
    what exactly is modulated, and by what network, is a reconstruction.

    Methods as those of ``ConstrainedAutoencoder`` with a context: x (..., n), c (..., context), one
    a row of x, or (context,) for all.

    Args:
        dims, accumulate: as there.
        context: the size of c.
        hidden: widths of the hidden layers of the network, (32,) by default.
        theta_range: (low, high), (0.01, 0.6) by default.
        theta_start: what theta is near at first, 0.1 by default; beta is near 0.
        per_unit: whether each unit has a theta of its own; else (default) each layer.
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        context: int,
        hidden: Sequence[int] = (32,),
        theta_range: tuple[float, float] = (0.01, 0.6),
        theta_start: float = 0.1,
        per_unit: bool = False,
        accumulate: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dims, accumulate, device, dtype)
        self.context = integer("context", context)
        if not isinstance(theta_range, tuple) or len(theta_range) != 2:
            raise TypeError(f"theta_range must be (low, high), got {theta_range!r}")
        low, high = (
            number(f"theta_range's {name}", theta, 0.0, math.pi / 4 - 1e-7, open_low=True)
            for name, theta in zip(("low", "high"), theta_range, strict=True)
        )
        if not low < high:
            raise ValueError(f"theta_range must be (low, high) with low < high, got {theta_range}")
        self.theta_range, self.theta_start = (low, high), theta_start
        ends = {"open_low": True, "open_high": True}
        share = (number("theta_start", theta_start, low, high, **ends) - low) / (high - low)
        self.per_unit = boolean("per_unit", per_unit)
        self.hidden = tuple(_hidden(hidden))
        self._sizes = [size for n, r in pairwise(self.dims) for size in (r if per_unit else 1, n)]
        self.hypernet = _network([self.context, *self.hidden, sum(self._sizes)], device, dtype)
        last = self.hypernet[-1]
        with torch.no_grad():
            last.weight.mul_(0.1)
            for i, part in enumerate(last.bias.split(self._sizes)):
                part.fill_(0.0 if i % 2 else math.log(share / (1 - share)))

    def _modulation(self, c: Tensor | None) -> Modulation:
        low, high = self.theta_range
        thetas_and_betas = self._wide(self.hypernet(c)).split(self._sizes, -1)
        pairs = zip(thetas_and_betas[::2], thetas_and_betas[1::2], strict=True)
        return [(low + (high - low) * torch.sigmoid(theta), beta) for theta, beta in pairs]

    def _options(self) -> dict[str, Any]:
        names = ("context", "hidden", "theta_range", "theta_start", "per_unit")
        return {**super()._options(), **{name: getattr(self, name) for name in names}}

    def extra_repr(self) -> str:
        return (
            f"{self.dims}, context={self.context}, theta_range={self.theta_range}, "
            f"per_unit={self.per_unit}, accumulate={self.accumulate!r}"
        )


def _hidden(hidden: Sequence[int]) -> list[int]:
    if not isinstance(hidden, list | tuple):
        raise TypeError(f"hidden must be a tuple of widths, got {type(hidden).__name__}")
    return [integer(f"hidden {i}", width) for i, width in enumerate(hidden)]


def _network(widths: list[int], device, dtype) -> torch.nn.Sequential:
    """Linear maps with tanh in between."""
    layers = []
    for n, r in pairwise(widths):
        layers += [torch.nn.Linear(n, r, device=device, dtype=dtype), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])
