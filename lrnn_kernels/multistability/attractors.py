"""How many attractors states lie in: VAA, and its differentiable form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..calls import arguments
from ..options import number

#: What VAA* adds to a distance that it divides by.
_TINY = 1e-6
#: Distances that are in memory at a time.
_MOST_DISTANCES = 1 << 22


@torch.no_grad()
def vaa(states: Tensor, eps: float = 1e-4) -> float:
    """Variability amongst attractors of N final states: 1/N where all have met in one attractor, 1
    where all differ.

        VAA = (1/N) sum_i 1 / #{j : ||h_i - h_j|| < eps}, the count includes i

    Source: Lambrechts, De Geeter, Vecoven, Ernst and Drion, "Warming up recurrent neural networks
    to maximise reachable multistability greatly improves learning", Neural Networks, 2023.

    Args:
        states: (N, D), real or complex, whose parts then count as channels; of N sequences after
            many steps of one constant input, see ``measure``.
        eps: how near two states of one attractor are.

    Memory is that of some million distances, whatever N and D are. Not differentiable: see
    ``vaa_star``. Raises TypeError or ValueError, naming the argument, also for states that are not
    finite.
    """
    x, eps = _rows(states), _eps(eps)
    N = len(x)
    total = 0.0
    for rows in x.split(max(_MOST_DISTANCES // N, 1)):
        total += (_distances(rows, x) < eps).sum(1).double().reciprocal().sum().item()
    return total / N


def vaa_star(states: Tensor, eps: float = 1e-4) -> Tensor:
    """VAA in a differentiable form, which a warm-up raises; a scalar.

        y_i = tanh(h_i),  d_ij = ||y_i - y_j||,  C_ij = 1 - relu(d_ij - eps) / (d_ij + 1e-6)
        VAA* = (1/N) sum_i 1 / sum_j C_ij

    The arguments, the source and what is raised are those of ``vaa``; memory is N x N, and N x D.
    The result has the dtype of the states (float32 where these have 16 bits, or are complex64).
    Differentiable once, with respect to states. The gradient of a distance of 0 is 0, so that
    states which are all equal get none.
    """
    y, eps = _rows(states).tanh(), _eps(eps)
    d = _distances(y, y)
    same = 1 - (d - eps).relu() / (d + _TINY)
    return same.sum(1).reciprocal().mean()


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean, from differences. By a matrix product they would come from ||x||^2 + ||y||^2 -
    2 x'y, which in float32 is off by more than eps^2 as soon as a norm exceeds 0.3."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _rows(states: Tensor) -> Tensor:
    """The states, checked, as rows of real numbers of at least 32 bits."""
    arguments.tensor("states", states)
    if states.dim() != 2 or not states.numel():
        raise ValueError(
            f"states must have shape (N, D), N and D at least 1, got {arguments.shape(states)}"
        )
    if not (states.is_floating_point() or states.is_complex()):
        raise TypeError(f"states must be floating point or complex, got {states.dtype}")
    if states.is_complex():
        states = torch.cat([states.real, states.imag], 1)
    if states.dtype not in (torch.float32, torch.float64):
        states = states.float()
    finite = states.detach().isfinite().all(1)
    if not finite.all():
        raise ValueError(
            f"states must be finite, got NaN or infinity in state {int((~finite).nonzero()[0])}"
        )
    return states


def _eps(eps: float) -> float:
    return number("eps", eps, 0.0, math.inf, open_low=True)
