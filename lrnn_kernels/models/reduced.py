"""What a projection is trained by, and the model of fewer variables that it makes of a vector
field (Otto, Macchio and Rowley 2023).

Autoencoders here are ``ConstrainedAutoencoder`` and ``NeuromodulatedAutoencoder``; a field is
``f(x)``, or ``f(x, c)`` where there is a context, of x (..., n) and c (..., context) or
(context,).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..calls import arguments
from ..options import number
from . import rows
from .rows import Data

#: The velocity of a state.
Field = Callable[..., Tensor]


def reconstruction(model: torch.nn.Module, x: Tensor, c: Tensor | None = None) -> Tensor:
    """The mean over rows of ||P(x) - x||^2, a scalar; x (..., n). Differentiable in parameters, x
    and c."""
    return (model.project(x, c) - x).square().sum(-1).mean()


def gradient_aligned(
    model: torch.nn.Module, x: Tensor, g: Tensor, c: Tensor | None = None
) -> Tensor:
    """The mean of (g . (P(x) - x))^2, g (..., n) like x the gradient of some later observable by x:
    the projection may err where that is not sensitive. Raises where g is not like x."""
    _like("g", g, x)
    return (g * (model.project(x, c) - x)).sum(-1).square().mean()


def velocity(
    model: torch.nn.Module,
    x: Tensor,
    x_dot: Tensor | None = None,
    c: Tensor | None = None,
    *,
    f: Field | None = None,
    gamma: float = 1.0,
) -> Tensor:
    """The mean of ||P(x) - x||^2 + gamma ||dP(x) f(x) - dP(Px) f(Px)||^2: how far the velocity of
    what is projected is from that of the reduced model.

    x_dot (..., n), like x, stands for f(x) where that was measured; without f it stands for f(Px)
    too, which it is where P(x) is x. Raises ValueError where there is neither.
    """
    gamma = number("gamma", gamma, 0.0, math.inf)
    return _velocity(model, x, x_dot, c, f, 1.0, gamma)


def _velocity(model, x, x_dot, c, f: Field | None, share: float, gamma: float) -> Tensor:
    if x_dot is None:
        if f is None:
            raise ValueError("x_dot or f must be given: the loss is of velocities")
        x_dot = called(f, x, c)
    _like("x_dot", x_dot, x)
    y, dy = model.jvp(x, x_dot, c)
    _, reduced = model.jvp(y, x_dot if f is None else called(f, y, c), c)
    error = share * (y - x).square().sum(-1) + gamma * (dy - reduced).square().sum(-1)
    return error.mean()


def total(
    model: torch.nn.Module,
    x: Tensor,
    c: Tensor | None,
    *,
    x_dot: Tensor | None = None,
    g: Tensor | None = None,
    f: Field | None = None,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Tensor:
    """The sum of the losses that there are data for, weighted: of reconstruction, of the gradient
    aligned one and gamma."""
    share, aligned, gamma = weights
    if x_dot is None and f is None:
        loss = share * reconstruction(model, x, c)
    else:
        loss = _velocity(model, x, x_dot, c, f, share, gamma)
    return loss if g is None else loss + aligned * gradient_aligned(model, x, g, c)


def called(f: Field, x: Tensor, c: Tensor | None) -> Tensor:
    """f of x, checked to be like it."""
    found = f(x) if c is None else f(x, c)
    arguments.tensor("what f returns", found)
    if found.shape != x.shape or found.dtype != x.dtype:
        raise ValueError(
            f"what f returns must be as x, {arguments.shape(x)} of {x.dtype}, got "
            f"{arguments.shape(found)} of {found.dtype}"
        )
    return found


def simulate(
    model: torch.nn.Module, f: Field, x0: Data, t: Data, c: Data | None, dt: float
) -> Tensor | list[Tensor]:
    """``ConstrainedAutoencoder.simulate``."""
    if not callable(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}")
    dt = number("dt", dt, 0.0, math.inf, open_low=True)
    if isinstance(x0, Tensor):
        return _rolled(model, f, x0, _steps("t", t, dt), c)
    if not isinstance(x0, list | tuple):
        raise TypeError(f"x0 must be a tensor or a list of tensors, got {type(x0).__name__}")
    starts = [_start(i, x, model.dims[0]) for i, x in enumerate(x0)]
    if not starts:
        raise ValueError("x0 must hold at least one state, got none")
    contexts = rows.one_each(c, model.context, starts)
    if isinstance(t, Tensor):  # the same times for all: one batch
        several = None if contexts is None else torch.stack(contexts)
        return list(_rolled(model, f, torch.stack(starts), _steps("t", t, dt), several))
    if not isinstance(t, list | tuple) or len(t) != len(starts):
        got = f"{len(t)} of them" if isinstance(t, list | tuple) else type(t).__name__
        raise ValueError(f"t must be a tensor or a list of {len(starts)}, as x0 is, got {got}")
    steps = [_steps(f"t {i}", each, dt) for i, each in enumerate(t)]
    contexts = contexts or [None] * len(starts)
    return [_rolled(model, f, *each) for each in zip(starts, steps, contexts, strict=True)]


def _rolled(
    model: torch.nn.Module, f: Field, x0: Tensor, steps: list[tuple[int, float]], c: Tensor | None
) -> Tensor:
    """Decoded states (..., T, n), the first that of x0. E is solved for once."""
    model._check("x0", x0, model.dims[0], c)
    if c is not None:
        c = c.expand(*x0.shape[:-1], -1)
    modulation, encoders = model._modulation(c), model._encoders()
    z, _ = model._encode((model._wide(x0), None), modulation, encoders)

    def slope(z: Tensor) -> Tensor:
        x, _ = model._decode((z, None), modulation)
        v = called(f, x.to(x0.dtype), c)
        return model._encode((x, model._wide(v)), modulation, encoders)[1]

    latent = [z]
    for count, h in steps:
        for _ in range(count):
            k1 = slope(z)
            k2 = slope(z + h / 2 * k1)
            k3 = slope(z + h / 2 * k2)
            k4 = slope(z + h * k3)
            z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        latent.append(z)
    # Time first, so that the modulation of a state is that of all its times.
    states, _ = model._decode((torch.stack(latent), None), modulation)
    return states.movedim(0, -2).to(x0.dtype)


def _steps(name: str, t: object, dt: float) -> list[tuple[int, float]]:
    """Between each two times, how many steps of which length, at most dt."""
    arguments.tensor(name, t)
    if t.dim() != 1 or not len(t):
        raise ValueError(f"{name} must have shape (T,), got {arguments.shape(t)}")
    gaps = t.detach().double().diff()
    if not (gaps > 0).all() or not t.isfinite().all():
        raise ValueError(f"{name} must hold finite times, each later than the one before")
    found = []
    for gap in gaps.tolist():
        count = max(1, math.ceil(gap / dt * (1 - 1e-6)))  # times in float32 are dt apart or so
        found.append((count, gap / count))
    return found


def _start(i: int, x: object, size: int) -> Tensor:
    arguments.tensor(f"x0 {i}", x)
    if tuple(x.shape) != (size,):
        raise ValueError(f"x0 {i} must have shape {(size,)}, got {arguments.shape(x)}")
    return x


def _like(name: str, v: object, x: Tensor) -> None:
    arguments.tensor(name, v)
    if v.shape != x.shape:
        raise ValueError(
            f"{name} must have the shape of x, {arguments.shape(x)}, got {arguments.shape(v)}"
        )
