"""What neuromodulated autoencoders are compared with: models with the same methods, of which no
more than the one without a context is a projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lrnn_kernels.models import ConstrainedAutoencoder, NeuromodulatedAutoencoder

from .networks import parameters

#: Hidden units of networks that read the context.
HYPER = 16
#: Of the parameters of the neuromodulated autoencoder, by how much others' may differ.
SAME = 0.02


class PCA(nn.Module):
    """The best plane through all that was seen."""

    def __init__(self, x: Tensor, size: int) -> None:
        super().__init__()
        self.mean = x.mean(0)
        self.directions = torch.linalg.svd(x - self.mean, full_matrices=False)[2][:size]

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return (x - self.mean) @ self.directions.T

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z @ self.directions + self.mean

    def project(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.decode(self.encode(x))


def network(widths: Sequence[int]) -> nn.Sequential:
    layers = []
    for n, r in pairwise(widths):
        layers += [nn.Linear(n, r), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Plain(nn.Module):
    """An encoder and a decoder; with a context, both read it beside their input."""

    def __init__(self, dims: Sequence[int], context: int = 0) -> None:
        super().__init__()
        self.context = context
        n, *hidden, r = dims
        self.encoder = network([n + context, *hidden, r])
        self.decoder = network([r + context, *reversed(hidden), n])

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.encoder(self._beside(x, c))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.decoder(self._beside(z, c))

    def project(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.decode(self.encode(x, c), c)

    def _beside(self, x: Tensor, c: Tensor | None) -> Tensor:
        return torch.cat([x, c.expand(*x.shape[:-1], -1)], -1) if self.context else x


class FiLM(nn.Module):
    """A plain autoencoder whose hidden units a network of the context scales and shifts."""

    def __init__(self, dims: Sequence[int], context: int) -> None:
        super().__init__()
        n, *hidden, r = dims
        self.sides = nn.ModuleList(
            nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
            for widths in ([n, *hidden, r], [r, *reversed(hidden), n])
        )
        self.sizes = [2 * size for size in [*hidden, *reversed(hidden)]]
        self.hyper = network([context, HYPER, sum(self.sizes)])

    def encode(self, x: Tensor, c: Tensor) -> Tensor:
        return self._run(0, x, c)

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        return self._run(1, z, c)

    def project(self, x: Tensor, c: Tensor) -> Tensor:
        return self.decode(self.encode(x, c), c)

    def _run(self, side: int, x: Tensor, c: Tensor) -> Tensor:
        count = len(self.sizes) // 2
        moved = self.hyper(c).split(self.sizes, -1)[side * count : (side + 1) * count]
        *layers, last = self.sides[side]
        for layer, scale_shift in zip(layers, moved, strict=True):
            scale, shift = scale_shift.chunk(2, -1)
            x = (layer(x) * (1 + scale) + shift).tanh()
        return last(x)


class Concatenated(nn.Module):
    """A constrained autoencoder of (x, c), whose decoder gives x; what it says of c is left."""

    def __init__(self, dims: Sequence[int], context: int) -> None:
        super().__init__()
        self.n = dims[0]
        self.inner = ConstrainedAutoencoder([dims[0] + context, *dims[1:]])

    def encode(self, x: Tensor, c: Tensor) -> Tensor:
        return self.inner.encode(torch.cat([x, c.expand(*x.shape[:-1], -1)], -1))

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        return self.inner.decode(z)[..., : self.n]

    def project(self, x: Tensor, c: Tensor) -> Tensor:
        return self.decode(self.encode(x, c), c)


class Unmodulated(ConstrainedAutoencoder):
    """A constrained autoencoder that is told the context, and does without."""

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return super().encode(x)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().decode(z)

    def project(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return super().project(x)


def modulated(dims: Sequence[int], context: int) -> NeuromodulatedAutoencoder:
    return NeuromodulatedAutoencoder(dims, context=context, hidden=(HYPER,), per_unit=True)


#: By name, of widths (n, .., r) and the size of a context.
MODELS: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "NcAE": modulated,
    "conditional AE": Plain,
    "FiLM-AE": FiLM,
    "AE": lambda dims, context: Plain(dims),
    "cAE, context beside x": Concatenated,
    "cAE": lambda dims, context: Unmodulated(dims),
}


def make(name: str, dims: tuple[int, ...], context: int) -> nn.Module:
    """A model whose parameters are as many as those of a neuromodulated autoencoder of these
    widths."""
    wanted = parameters(modulated(dims, context))
    if name != "NcAE":
        dims = _matched(name, dims, context, wanted)
    model = MODELS[name](dims, context)
    model.dims = dims
    found = parameters(model)
    assert abs(found - wanted) <= SAME * wanted, (name, found, wanted)
    return model


def _matched(name: str, dims: tuple[int, ...], context: int, wanted: int) -> tuple[int, ...]:
    """Widths of two hidden layers, or of more where the widest are too few, whose ratio is close to
    that of those given."""
    n, first, *_, last, r = dims
    constrained = name.startswith("cAE")
    most = n if constrained else 4 * n
    for depth in range(1, 9):
        found = []
        for width in range(r, most + 1):
            shapes = [(width,) * depth + (w,) for w in range(max(r, width // 3), width + 1)]
            for hidden in shapes:
                widths = (n, *hidden, r)
                if abs(_count(name, widths, context) - wanted) <= SAME * wanted:
                    found.append((abs(hidden[-1] / width - last / first), widths))
        if found:
            return min(found)[1]
    raise ValueError(f"no widths give {name} {wanted} parameters")


def _count(name: str, dims: tuple[int, ...], context: int) -> int:
    """Parameters, counted: to make so many models takes long."""
    n, *hidden, r = dims
    weights = sum(a * b for a, b in pairwise(dims))
    if name.startswith("cAE"):
        more = context if "context" in name else 0
        return 2 * (weights + more * dims[1]) + sum(dims[:-1]) + more
    both = 2 * weights + 2 * sum(hidden) + n + r
    if name == "conditional AE":
        return both + context * (dims[1] + hidden[-1])
    if name == "FiLM-AE":
        return both + HYPER * (context + 1) + (HYPER + 1) * 4 * sum(hidden)
    return both
