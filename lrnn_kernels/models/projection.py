"""What autoencoders whose projection is idempotent have in common: layers, and what is done with
them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ..calls import arguments
from ..nn import Biorthogonal, invertible
from ..options import integer, one_of
from . import checkpoint, fitting, reduced
from .fitting import History
from .reduced import Field
from .rows import Data

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it since Python 3.11

#: The key of a file's metadata.
CONFIG = "lrnn_kernels.autoencoder"
#: Of each layer, theta (..., 1 or r) and beta (..., n).
Modulation = list[tuple[Tensor, Tensor]]
#: A value, and its derivative in a direction where one is asked for.
Dual = tuple[Tensor, Tensor | None]


class Projection(torch.nn.Module):
    """Layers z = sigma_-(E (x - beta); theta), undone by x = D sigma_+(z; theta) + beta."""

    #: The size of a context; 0 where there is none.
    context = 0

    def __init__(
        self,
        dims: Sequence[int],
        accumulate: str | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
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
        """``project``."""
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

    def fit(
        self,
        x: Data,
        c: Data | None = None,
        *,
        x_dot: Data | None = None,
        g: Data | None = None,
        f: Field | None = None,
        reconstruction: float = 1.0,
        aligned: float = 1.0,
        gamma: float = 1.0,
        epochs: int = 900,
        batch: int = 400,
        lr: float = 1e-3,
        patience: int = 50,
        held_out: float = 0.1,
        seed: int = 0,
        progress: Callable[[History], object] | None = None,
        history: History | None = None,
    ) -> History:
        """Trains the parameters, by Adam, on the losses of ``models.reduced``; the paper's settings
        are the defaults.

        Args:
            x: states (..., n), or a list of trajectories (T_i, n).
            c: contexts (..., context), one a row, or (context,) for all; of a list, one (context,)
                for each trajectory, in a list or as the rows of a tensor.
            x_dot: the velocities of x, as x is: adds gamma times the loss of velocities.
            g: gradients, as x is: adds ``aligned`` times the gradient-aligned loss.
            f: the field ``f(x, c)``, or ``f(x)`` without a context, for the loss of velocities;
                without it x_dot stands for f(Px) too.
            reconstruction, aligned, gamma: the weights of the three.
            epochs: in all, those of ``history`` included.
            batch, lr, patience: rows of a step; Adam's rate, and after how many epochs without a
                lower loss it falls to a tenth (ReduceLROnPlateau).
            held_out: the share of rows, of a list of whole trajectories, that are not learned from,
                and whose loss it is that the rate follows; 0: none.
            seed: of what is held out, and of the order of rows.
            progress: called with the history after every epoch.
            history: that of an earlier fit to the same data, to go on with, at its own rate.

        Returns the ``History``. Ctrl-C waits for the end of the epoch, and raises KeyboardInterrupt
        (a second one at once): what was learned is kept, and with a history that was given the same
        call goes on to the same end. Raises TypeError or ValueError that names the argument, and
        FloatingPointError where the loss is no longer finite.
        """
        return fitting.fit(
            self,
            x,
            c,
            size=self.dims[0],
            context=self.context,
            x_dot=x_dot,
            g=g,
            f=f,
            weights=(reconstruction, aligned, gamma),
            epochs=epochs,
            batch=batch,
            lr=lr,
            patience=patience,
            held_out=held_out,
            seed=seed,
            progress=progress,
            history=history,
        )

    def simulate(
        self, f: Field, x0: Data, t: Data, c: Data | None = None, *, dt: float = 0.1
    ) -> Tensor | list[Tensor]:
        """States (..., T, n) at the times t of the reduced model z' = dEnc(x) f(x), x = decode(z),
        that starts at z = encode(x0): the first is project(x0). By RK4.

        Args:
            f: ``f(x, c)``, or ``f(x)`` without a context: velocities like x (..., n); c is (...,
                context).
            x0: (..., n), or a list of (n,).
            t: (T,), each later than the one before; for a list of x0 also a list of (T_i,).
            c: (..., context) or (context,); for a list of x0 one (context,) for each.
            dt: the longest step: between two times there are as many of one length as it takes.

        Returns a list of (T_i, n) for a list of x0. Differentiable in parameters, x0, c and what f
        has, not in t. Raises TypeError or ValueError that names the argument.
        """
        return reduced.simulate(self, f, x0, t, c, dt)

    def save(self, path: str | PathLike) -> None:
        """Writes parameters and what the autoencoder was made with to one safetensors file, without
        code. Raises ImportError without safetensors (``pip install lrnn-kernels[models]``)."""
        config = {"class": type(self).__name__, **self._options()}
        checkpoint.write(self, {CONFIG: json.dumps(config)}, path)

    @classmethod
    def load(cls, path: str | PathLike, device: str | torch.device = "cpu") -> Self:
        """The autoencoder that ``save`` wrote, its parameters in their type. Raises ValueError for
        a file that this class did not write, else as ``Backbone.load``."""
        writer = f"{cls.__name__}.save"
        metadata, tensors = checkpoint.parts(path, device, CONFIG, writer)
        options = json.loads(metadata[CONFIG])
        if (found := options.pop("class")) != cls.__name__:
            raise ValueError(f"path must be a file that {writer} wrote, got one of {found}")
        if "theta_range" in options:
            options["theta_range"] = tuple(options["theta_range"])
        model = cls(**options, device="meta")
        checkpoint.restore(model, tensors, {})
        return model

    def _options(self) -> dict[str, Any]:
        """What it was made with, as plain data."""
        return {"dims": self.dims, "accumulate": self.accumulate}

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

    def _encoders(self) -> list[Tensor]:
        """Of each layer E, which it costs a solve to have."""
        if not self.accumulate:
            return [layer.weight for layer in self.layers]
        found = []
        for layer in self.layers:  # E as it is solved for, before it is rounded
            (parametrization,) = layer.parametrizations.weight
            found.append(parametrization(*(p.double() for p in layer.parameters())))
        return found

    def _encode(
        self, x: Dual, modulation: Modulation, encoders: list[Tensor] | None = None
    ) -> Dual:
        value, tangent = x
        encoders = self._encoders() if encoders is None else encoders
        for E, (theta, beta) in zip(encoders, modulation, strict=True):
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


def _widths(dims: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(dims, list | tuple):
        raise TypeError(f"dims must be a tuple of widths, got {type(dims).__name__}")
    found = tuple(integer(f"dims {i}", width) for i, width in enumerate(dims))
    if len(found) < 2 or any(r > n for n, r in pairwise(found)):
        raise ValueError(
            f"dims must be at least two widths, none above the one before, got {found}"
        )
    return found
