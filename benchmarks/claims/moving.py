"""Two systems whose slow manifold moves with a context: Lorenz 96 with its forcing, across a Hopf
bifurcation, and a hanging chain of 16 pendulums with its shape and the springs of its joints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: A vector field of x (B,n) and contexts (B,k), both in the system's own units.
Field = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Moving:
    """Trajectories over contexts, in float32. x (contexts, trajectories, T, n) less its mean over
    those seen, in units of its standard deviation; c (contexts, k) in [-1, 1]."""

    x: Tensor
    c: Tensor
    seen: Tensor  # bool (contexts,)
    labels: list[str]

    def rows(self, seen: bool) -> tuple[Tensor, Tensor]:
        """x (N,n) and c (N,k), of seen or of unseen contexts."""
        x, c = self.x[self.seen == seen], self.c[self.seen == seen]
        return x.flatten(0, 2), c[:, None, None].expand(*x.shape[:3], -1).flatten(0, 2)


def rk4(field: Field, x: Tensor, c: Tensor, dt: float) -> Tensor:
    k1 = field(x, c)
    k2 = field(x + dt / 2 * k1, c)
    k3 = field(x + dt / 2 * k2, c)
    k4 = field(x + dt * k3, c)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _run(field: Field, x: Tensor, c: Tensor, dt: float, settle: int, every: int, kept: int):
    """(B, kept, n), of one state every so many steps once settled."""
    for _ in range(settle):
        x = rk4(field, x, c, dt)
    states = []
    for _ in range(kept):
        states.append(x)
        for _ in range(every):
            x = rk4(field, x, c, dt)
    return torch.stack(states, 1)


def _collected(
    field: Field,
    x: Tensor,
    c: Tensor,
    scaled: Tensor,
    seen: Tensor,
    labels: list[str],
    spans: tuple[float, int, int, int],
) -> Moving:
    """From x (contexts, trajectories, n) at contexts c (contexts, k)."""
    contexts, trajectories, n = x.shape
    each = c[:, None].expand(-1, trajectories, -1).flatten(0, 1)
    found = _run(field, x.flatten(0, 1), each, *spans).view(contexts, trajectories, -1, n)
    known = found[seen].flatten(0, 2)
    mean, spread = known.mean(0), known.std(0).square().mean().sqrt()
    return Moving(((found - mean) / spread).float(), scaled.float(), seen, labels)


# Lorenz 96.

SITES, WAVE = 14, 3
FORCINGS = (0.5, 3.0)


def lorenz96(x: Tensor, forcing: Tensor) -> Tensor:
    """x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F."""
    return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1) - x + forcing


def waves(seed: int, contexts: int = 13, trajectories: int = 16, kept: int = 40) -> Moving:
    """From the rest state x = F, unstable from F = 0.89 on, to a wave, which is modulated from
    about 3.7 on; every second context is not seen."""
    generator = torch.Generator().manual_seed(seed)
    forcing = torch.linspace(*FORCINGS, contexts, dtype=torch.float64)[:, None]
    phase = torch.rand(contexts, trajectories, 1, dtype=torch.float64, generator=generator)
    size = torch.rand(contexts, trajectories, 1, dtype=torch.float64, generator=generator)
    site = torch.arange(SITES, dtype=torch.float64) / SITES
    x = forcing[:, None] + 2 * size * (2 * math.pi * (WAVE * site + phase)).cos()
    number = torch.arange(contexts)
    labels = [f"F = {value:.2f}" for value in forcing[:, 0].tolist()]
    low, high = FORCINGS
    scaled = (2 * forcing - low - high) / (high - low)
    return _collected(lorenz96, x, forcing, scaled, number % 2 == 0, labels, (0.05, 160, 5, kept))


# A chain of pendulums.

LINKS = 16
DAMPING = 1e-3
TAPERS, SPRINGS = (-0.5, 0.5), (0.0, 0.05)


def chain(state: Tensor, c: Tensor) -> Tensor:
    """(angles, velocities)' of 16 point masses of 1/16 that hang one below the other on links of
    lengths that taper, with springs and dampers in the joints; gravity and the whole length are 1.

        sum_j m_ij cos(a_i - a_j) a_j'' = -sum_j m_ij sin(a_i - a_j) a_j'^2 - g_i sin a_i - joints
    """
    a, v = state.chunk(2, -1)
    taper, spring = c[:, :1], c[:, 1:]
    index = torch.arange(LINKS, dtype=state.dtype)
    length = (taper * (2 * index / (LINKS - 1) - 1)).exp()
    length = length / length.sum(-1, keepdim=True)
    below = (LINKS - torch.maximum(index[:, None], index)) / LINKS
    mass = below * length[:, :, None] * length[:, None]
    difference = a[:, :, None] - a[:, None]
    inertia = mass * difference.cos()
    force = -(mass * difference.sin() @ v.square()[..., None])[..., 0]
    force = force - (LINKS - index) / LINKS * length * a.sin()
    force = force + spring * _joints(a) + DAMPING * _joints(v)
    return torch.cat([v, torch.linalg.solve(inertia, force)], -1)


def _joints(x: Tensor) -> Tensor:
    """The torque on each link of springs between it and its neighbours."""
    bend = torch.diff(x, dim=-1, append=x[:, -1:])
    return bend - torch.cat([torch.zeros_like(x[:, :1]), bend[:, :-1]], -1)


def slow_modes(c: Tensor, count: int) -> Tensor:
    """Shapes (contexts, count, links) of the slowest small oscillations."""
    rest = torch.zeros(2 * LINKS, dtype=c.dtype)
    shapes = []
    for each in c:
        slopes = torch.func.jacrev(lambda x, c=each: chain(x[None], c[None])[0])(rest)
        values, vectors = torch.linalg.eig(slopes)
        # Of a pair of conjugates the second; what is damped too much to oscillate comes last.
        order = torch.where(values.imag > 1e-6, values.abs(), torch.inf).argsort()[:count]
        shape = vectors[:LINKS, order] / vectors[LINKS - 1, order]
        shapes.append(shape.real.T)
    return torch.stack(shapes)


def chains(seed: int, side: int = 5, trajectories: int = 4, kept: int = 60) -> Moving:
    """Let go in a mixture of the two slowest modes, once the others have died away; every second
    context of a grid is not seen."""
    generator = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(*span, side, dtype=torch.float64) for span in (TAPERS, SPRINGS)]
    c = torch.cartesian_prod(*axes)
    size = torch.tensor([0.8, 0.15], dtype=torch.float64)
    drawn = torch.rand(len(c), trajectories, 2, dtype=torch.float64, generator=generator)
    a = (2 * drawn - 1) * size @ slow_modes(c, 2)
    x = torch.cat([a, torch.zeros_like(a)], -1)
    number = torch.arange(side * side)
    labels = [f"taper {t:+.2f}, springs {s:.4f}" for t, s in c.tolist()]
    scaled = torch.cartesian_prod(*[torch.linspace(-1, 1, side)] * 2)
    return _collected(chain, x, c, scaled, number % 2 == 0, labels, (0.015, 600, 12, kept))
