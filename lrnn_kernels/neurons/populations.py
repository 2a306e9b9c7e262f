"""Degenerate populations: neurons whose conductances differ widely and whose DICs are the same.

A base population spikes; neuromodulation then sets (g_s, g_u) by a pair of channels, and leaves
g_f free. What is drawn depends on the seed and the number of neurons alone. The ranges are those
of the published data sets, a ``Recipe`` of each model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..options import integer, one_of
from . import arguments
from .compensation import compensate
from .given import Numbers
from .model import Model, Recipe

GUESSES = ("target", "previous")
LAWS = ("uniform", "gamma")


class Population(NamedTuple):
    """Conductances of the neurons that none has negative."""

    g: Tensor  # (B, channels): mS/cm^2
    kept: Tensor  # (N,) bool: which of the N that were asked for are left; B of them

    @property
    def dropped(self) -> int:
        """How many have a negative conductance."""
        return int((~self.kept).sum())


def spiking_population(
    model: Model | str,
    n: int,
    *,
    seed: int = 0,
    V: float | None = None,
    dtype: torch.dtype = torch.float64,
) -> Population:
    """A base population of n neurons that spike, less those with a negative conductance.

    The leak is drawn from a gamma law, others from uniform ones that grow with it, three are
    solved for so that the DICs at V (mV; the model's own by default) are the recipe's.
    """
    model, recipe = _recipe(model)
    n = integer("n", n, 0)
    _floating(dtype)
    rng = np.random.default_rng(integer("seed", seed, 0))
    g = torch.zeros(n, len(model.channels), dtype=torch.float64)
    low, high = recipe.leak
    g[:, -1] = torch.from_numpy(_gamma(rng, low, high, n))
    scale = g[:, -1] / ((low + high) / 2)
    for name, (a, b) in recipe.ranges.items():
        g[:, model.channel(name)] = torch.from_numpy(rng.uniform(a, b, n)) * scale
    g_f, g_s, g_u = recipe.targets
    g = compensate(model, g, solve=recipe.solved, g_f=g_f, g_s=g_s, g_u=g_u, V=V)
    return _kept(g.to(dtype))


def neuromodulate(
    model: Model | str,
    g: Numbers,
    *,
    g_s: float | Numbers,
    g_u: float | Numbers,
    V: float | None = None,
    iterations: int = 5,
    guess: str = "target",
) -> Population:
    """Brings neurons g (B, channels), mS/cm^2, to DICs g_s and g_u, numbers or (B,), at V in mV,
    by the pair of channels that the recipe has for them; those that become negative are dropped.

    Where sensitivities depend on what is solved for, they start at a guess that follows from the
    target, or at the neuron's previous conductance, and are solved for ``iterations`` times more.
    """
    model, recipe = _recipe(model)
    g = arguments.conductances(g, model, batched=True)
    one_of("guess", guess, GUESSES)
    g_s, g_u = arguments.of_neurons("g_s", g_s, g), arguments.of_neurons("g_u", g_u, g)
    left, new = torch.ones_like(g[:, 0], dtype=torch.bool), torch.full_like(g, torch.nan)
    for pair, condition in recipe.pairs:
        rows = (left & condition(g_s, g_u)).nonzero()[:, 0]
        left[rows] = False
        if not len(rows):
            continue
        start = {}
        if guess == "target":
            lines = {name: recipe.guesses[name] for name in pair if name in recipe.guesses}
            start = {name: (a + b * g_s[rows]).clamp(min=0) for name, (a, b) in lines.items()}
        new[rows] = compensate(
            model,
            g[rows],
            solve=pair,
            g_s=g_s[rows],
            g_u=g_u[rows],
            V=V,
            iterations=iterations,
            guess=start,
        )
    return _kept(new)


def monte_carlo(
    model: Model | str,
    n: int,
    *,
    seed: int = 0,
    law: str = "uniform",
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Conductances (n, channels), mS/cm^2, drawn independently over the recipe's ranges: from
    uniform laws, or from gamma laws of the same mean and variance."""
    model, recipe = _recipe(model)
    n = integer("n", n, 0)
    one_of("law", law, LAWS)
    _floating(dtype)
    rng = np.random.default_rng(integer("seed", seed, 0))
    columns = []
    for name in model.channel_names:
        high = recipe.monte_carlo[name]
        drawn = rng.uniform(0, high, n) if law == "uniform" else _gamma(rng, 0, high, n)
        columns.append(torch.from_numpy(drawn))
    return torch.stack(columns, 1).to(dtype)


def _gamma(rng: np.random.Generator, a: float, b: float, n: int) -> np.ndarray:
    """n numbers of the gamma law with the mean and the variance of the uniform one on [a, b]."""
    return rng.gamma(3 * (a + b) ** 2 / (b - a) ** 2, (b - a) ** 2 / (6 * (a + b)), n)


def _floating(dtype: object) -> None:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating point torch.dtype, got {dtype}")


def _recipe(model: object) -> tuple[Model, Recipe]:
    model = arguments.model(model)
    if model.recipe is None:
        raise ValueError(f"model must have a recipe for populations, and {model.name} has none")
    return model, model.recipe


def _kept(g: Tensor) -> Population:
    kept = (g >= 0).all(1)  # NaN is not
    return Population(g[kept], kept)
