"""A reduced-order model that a context bends: an autoencoder that is a projection for each context.

    python docs/examples/model_with_context.py

Trajectories of three variables fall onto a surface of two that depends on a parameter. The network
is shown nine values of it, and is asked about others.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from lrnn_kernels import models


def velocity(x: Tensor, c: Tensor) -> Tensor:
    """A spiral onto w = c u^2, fast across it."""
    u, v, w = x.unbind(-1)
    return torch.stack([-0.1 * u - v, u - 0.1 * v, -5 * (w - c[..., 0] * u * u)], -1)


def on_the_surface(c: Tensor, count: int) -> Tensor:
    """States (count, 3) of one context."""
    angle, radius = torch.rand(2, count) * torch.tensor([[6.28], [1.5]])
    u, v = radius * angle.cos(), radius * angle.sin()
    return torch.stack([u, v, c * u * u], -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=300)
    args = parser.parse_args()
    torch.manual_seed(0)
    contexts = torch.linspace(-1, 1, 9)[:, None]
    seen = [on_the_surface(c, 200) for c in contexts]
    manifold = models.NeuromodulatedAutoencoder((3, 3, 3, 2), context=1, per_unit=True)
    manifold.fit(seen, contexts, epochs=args.epochs, lr=1e-2, patience=20, held_out=0.2)
    for value in (-0.85, 0.3, 0.6):  # none of the nine
        c = torch.tensor([value])
        x = on_the_surface(c, 500)
        y = manifold.project(x, c)
        error = ((y - x).norm() / x.norm()).item()
        again = ((manifold.project(y, c) - y).norm() / y.norm()).item()
        print(f"c = {value}: error {error:.1%}; projected again it moves by {again:.1e}")
    start = on_the_surface(torch.tensor([0.3]), 2)
    states = manifold.simulate(velocity, start, torch.linspace(0, 5, 26), torch.tensor([0.3]))
    print(f"simulated in two variables: {tuple(states.shape)}")


if __name__ == "__main__":
    main()
