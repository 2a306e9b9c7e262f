"""Autoencoders whose projection is idempotent whatever their parameters are: encoder(decoder(z)) is
z, so that P = decoder(encoder(x)) gives P(P(x)) = P(x)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ..calls import arguments
from ..nn import Biorthogonal, invertible
from ..options import boolean, integer, number, one_of

#: Of each layer, theta (..., 1 or r) and beta (..., n).
Modulation = list[tuple[Tensor, Tensor]]
#: A value, and its derivative in a direction where one is asked for.
Dual = tuple[Tensor, Tensor | None]


class _Autoencoder(torch.nn.Module):
    """Layers z = sigma_-(E (x - beta); theta), undone by x = D sigma_+(z; theta) + beta."""

    #: The size of a context; 0 where there is none.
    context = 0

    def __init__(self, dims: Sequence[int], accumulate: str | None, device, dtype) -> None:
        super().__init__()
        self.dims = _widths(dims)
        if accumulate is not None:
            one_of("accumulate", accumulate, ("float64",))
        self.accumulate = accumulate
        self.layers = torch.nn.ModuleList()
        for n, r in pairwise(self.dims):
            layer = torch.nn.Linear(n, r, bias=False, device=device, dtype=dtype)
            torch.nn.init.orthogonal_(layer.weight)
            parametrize.register_parametrization(layer, "weight", Biorthogonal())
            self.layers.append(layer)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The latent state (..., r) of x (..., n)."""
        self._check("x", x, self.dims[0], c)
        return self._encode((self._wide(x), None), self._modulation(c))[0].to(x.dtype)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The point (..., n) of the manifold that z (..., r) stands for."""
        self._check("z", z, self.dims[-1], c)
        return self._decode((self._wide(z), None), self._modulation(c))[0].to(z.dtype)

    def project(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """P(x) = decode(encode(x)), (..., n)."""
        self._check("x", x, self.dims[0], c)
        modulation = self._modulation(c)
        z = self._encode((self._wide(x), None), modulation)
        return self._decode(z, modulation)[0].to(x.dtype)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.project(x, c)

    def jvp(self, x: Tensor, v: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(P(x), dP(x) v), v like x."""
        self._check("x", x, self.dims[0], c)
        modulation = self._modulation(c)
        z = self._encode(self._dual("x", x, v), modulation)
        y, dy = self._decode(z, modulation)
        return y.to(x.dtype), dy.to(x.dtype)

    def encode_jvp(self, x: Tensor, v: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(encode(x), its derivative in the direction of v)."""
        self._check("x", x, self.dims[0], c)
        z, dz = self._encode(self._dual("x", x, v), self._modulation(c))
        return z.to(x.dtype), dz.to(x.dtype)

    def decode_jvp(self, z: Tensor, v: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(decode(z), its derivative in the direction of v)."""
        self._check("z", z, self.dims[-1], c)
        y, dy = self._decode(self._dual("z", z, v), self._modulation(c))
        return y.to(z.dtype), dy.to(z.dtype)

    def _modulation(self, c: Tensor | None) -> Modulation:
        """In the type that is computed in."""
        raise NotImplementedError

    def _wide(self, x: Tensor) -> Tensor:
        return x.double() if self.accumulate else x

    def _dual(self, name: str, x: Tensor, v: Tensor) -> Dual:
        arguments.tensor("v", v)
        if v.shape != x.shape:
            raise ValueError(
                f"v must have the shape of {name}, {arguments.shape(x)}, got {arguments.shape(v)}"
            )
        return self._wide(x), self._wide(v)

    def _encode(self, x: Dual, modulation: Modulation) -> Dual:
        value, tangent = x
        for layer, (theta, beta) in zip(self.layers, modulation, strict=True):
            E = layer.weight
            if self.accumulate:  # E as it is solved for, before it is rounded
                (parametrization,) = layer.parametrizations.weight
                E = parametrization(*(p.double() for p in layer.parameters()))
            u = (value - beta) @ E.mT
            if tangent is not None:
                tangent = invertible.slope(u, theta, -1) * (tangent @ E.mT)
            value = invertible.sigma(u, theta, -1)
        return value, tangent

    def _decode(self, z: Dual, modulation: Modulation) -> Dual:
        value, tangent = z
        for layer, (theta, beta) in zip(reversed(self.layers), reversed(modulation), strict=True):
            D = self._wide(Biorthogonal.partner(layer))
            if tangent is not None:
                tangent = (invertible.slope(value, theta, 1) * tangent) @ D.mT
            value = invertible.sigma(value, theta, 1) @ D.mT + beta
        return value, tangent

    def _check(self, name: str, x: Tensor, size: int, c: Tensor | None) -> None:
        arguments.tensor(name, x)
        dtype = next(self.parameters()).dtype
        if x.dtype != dtype:
            raise TypeError(f"{name} must be of the type of the parameters, {dtype}, got {x.dtype}")
        if x.dim() == 0 or x.shape[-1] != size:
            raise ValueError(f"{name} must have shape (..., {size}), got {arguments.shape(x)}")
        if not self.context:
            if c is not None:
                raise ValueError(f"c must be None: {type(self).__name__} takes no context")
            return
        arguments.tensor("c", c)
        expected = (*x.shape[:-1], self.context)
        if tuple(c.shape) not in (expected, (self.context,)):
            raise ValueError(
                f"c must have shape {expected}, one context a row of {name}, or "
                f"{(self.context,)}, got {arguments.shape(c)}"
            )
        if c.dtype != dtype:
            raise TypeError(f"c must be of the type of the parameters, {dtype}, got {c.dtype}")


class ConstrainedAutoencoder(_Autoencoder):
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
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(dims, accumulate, device, dtype)
        self.theta = number("theta", theta, 0.0, math.pi / 4 - 1e-7, open_low=True)
        zeros = (torch.zeros(n, device=device, dtype=dtype) for n in self.dims[:-1])
        self.betas = torch.nn.ParameterList(zeros)

    def _modulation(self, c: Tensor | None) -> Modulation:
        betas = [self._wide(beta) for beta in self.betas]
        return [(beta.new_full((), self.theta), beta) for beta in betas]

    def extra_repr(self) -> str:
        return f"{self.dims}, theta={self.theta:.6g}, accumulate={self.accumulate!r}"


class NeuromodulatedAutoencoder(_Autoencoder):
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
        device=None,
        dtype=None,
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
        self.theta_range = low, high
        ends = {"open_low": True, "open_high": True}
        share = (number("theta_start", theta_start, low, high, **ends) - low) / (high - low)
        self.per_unit = boolean("per_unit", per_unit)
        self._sizes = [size for n, r in pairwise(self.dims) for size in (r if per_unit else 1, n)]
        self.hypernet = _network([self.context, *_hidden(hidden), sum(self._sizes)], device, dtype)
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

    def extra_repr(self) -> str:
        return (
            f"{self.dims}, context={self.context}, theta_range={self.theta_range}, "
            f"per_unit={self.per_unit}, accumulate={self.accumulate!r}"
        )


def _widths(dims: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(dims, list | tuple):
        raise TypeError(f"dims must be a tuple of widths, got {type(dims).__name__}")
    found = tuple(integer(f"dims {i}", width) for i, width in enumerate(dims))
    if len(found) < 2 or any(r > n for n, r in pairwise(found)):
        raise ValueError(
            f"dims must be at least two widths, none above the one before, got {found}"
        )
    return found


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
