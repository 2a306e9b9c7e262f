"""Two systems whose slow manifold moves with a context: Lorenz 96 with its forcing, across a Hopf
bifurcation, and a chain of 16 pendulums with their lengths and the springs between them."""

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


def waves(seed: int, contexts: int = 13, trajectories: int = 8, kept: int = 30) -> Moving:
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
    return _collected(lorenz96, x, forcing, scaled, number % 2 == 0, labels, (0.05, 160, 7, kept))


# A chain of pendulums.

LINKS = 16
DAMPING = 2.0
TAPERS, SPRINGS = (0.05, 0.3), (0.5, 2.0)


def chain(state: Tensor, c: Tensor) -> Tensor:
    """(angles, velocities)' of 16 pendulums side by side, whose lengths taper from one end to the
    other, with springs and dampers between neighbours; c (B,2) is the taper and the springs.

        l_i = exp(taper s_i), s from -1 to 1;
        a_i'' = -sin(a_i) / l_i + springs (a_{i+1} - 2 a_i + a_{i-1}) + the same of dampers
    """
    a, v = state.chunk(2, -1)
    taper, spring = c[:, :1], c[:, 1:]
    length = (taper * torch.linspace(-1, 1, LINKS, dtype=state.dtype)).exp()
    pull = spring * _between(a) + DAMPING * _between(v)
    return torch.cat([v, pull - a.sin() / length], -1)


def _between(x: Tensor) -> Tensor:
    """What springs of strength 1 between neighbours pull with."""
    ends = torch.cat([x[:, :1], x, x[:, -1:]], -1)
    return ends.diff(dim=-1).diff(dim=-1)


def slowest(c: Tensor) -> Tensor:
    """The shape (contexts, 1, links) of the slowest small oscillation without dampers."""
    place = torch.linspace(-1, 1, LINKS, dtype=c.dtype)
    coupling = _between(torch.eye(LINKS, dtype=c.dtype))
    stiffness = torch.diag_embed((-c[:, :1] * place).exp()) - c[:, 1:, None] * coupling
    shape = torch.linalg.eigh(stiffness)[1][:, None, :, 0]
    return shape * shape.sum(-1, keepdim=True).sign() / shape.abs().amax(-1, keepdim=True)


def chains(seed: int, side: int = 5, trajectories: int = 4, kept: int = 30) -> Moving:
    """Let go in the shape of the slowest small oscillation, at angles of up to 1, until what else
    that sets off has died away; every second context of a grid is not seen."""
    generator = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(*span, side, dtype=torch.float64) for span in (TAPERS, SPRINGS)]
    c = torch.cartesian_prod(*axes)
    drawn = torch.rand(len(c), trajectories, 1, dtype=torch.float64, generator=generator)
    a = (2 * drawn - 1) * slowest(c)
    x = torch.cat([a, torch.zeros_like(a)], -1)
    labels = [f"taper {t:+.3f}, springs {s:.2f}" for t, s in c.tolist()]
    scaled = torch.cartesian_prod(*[torch.linspace(-1, 1, side)] * 2)
    seen = torch.arange(side * side) % 2 == 0
    return _collected(chain, x, c, scaled, seen, labels, (0.05, 400, 6, kept))
