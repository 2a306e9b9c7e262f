"""Conductances that give a neuron wanted DICs: some are solved for, the others stay as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..options import integer, number
from . import arguments
from .dic import At
from .given import Numbers
from .model import Model


def compensate(
    model: Model | str,
    g: Numbers,
    *,
    solve: Sequence[str],
    g_f: float | Numbers | None = None,
    g_s: float | Numbers | None = None,
    g_u: float | Numbers | None = None,
    V: float | None = None,
    iterations: int = 5,
    guess: Mapping[str, float | Numbers] | None = None,
    calcium: str = "tau",
) -> Tensor:
    """g with the channels ``solve`` set so that the DICs have the values that are given:

        S_c g_c = target g_leak - S_r g_r,  c the channels that are solved for, r the others

    Where c holds a channel that brings calcium in, S depends on the solution: the equations are
    solved with S at a guess, then ``iterations`` times more, each with S at the solution before.

    Args:
        model: a model, or its name.
        g: conductances (B, channels), mS/cm^2.
        solve: as many channels as there are targets.
        g_f, g_s, g_u: targets, dimensionless; numbers or (B,).
        V: mV, at which DICs are meant; the model's own by default.
        iterations: how often to solve again.
        guess: mS/cm^2, numbers or (B,), of channels in ``solve``, to start from; those of g by
            default.
        calcium: see ``dic``.

    Returns (B, channels); what is solved for may be negative, NaN where no solution is.
    Differentiable.
    """
    model = arguments.model(model)
    g = arguments.conductances(g, model, batched=True)
    if g.dtype not in arguments.DTYPES:
        raise TypeError(f"g must be float32 or float64, got {g.dtype}")
    iterations = integer("iterations", iterations, 0)
    targets = {"g_f": g_f, "g_s": g_s, "g_u": g_u}
    rows = [row for row, value in enumerate(targets.values()) if value is not None]
    wanted = [arguments.of_neurons(name, x, g) for name, x in targets.items() if x is not None]
    if (
        not isinstance(solve, Sequence)
        or isinstance(solve, str)
        or len(solve) != len(rows)
        or not rows
    ):
        given = ", ".join(name for name, value in targets.items() if value is not None)
        raise ValueError(
            f"solve must name as many channels as there are targets ({given or 'none'}), got "
            f"{solve!r}"
        )
    columns = [model.channel(name) for name in solve]
    if len(set(columns)) < len(columns) or len(g.T) - 1 in columns:
        raise ValueError(f"solve must name different channels and not the leak, got {solve!r}")
    V = number("V", model.V_threshold if V is None else V, -math.inf, math.inf)
    at = At(model, torch.tensor(V, dtype=g.dtype, device=g.device), calcium)
    start = {column: g[:, column] for column in columns}
    for name, value in (guess or {}).items():
        if name not in solve:
            raise ValueError(f"guess must be of channels in solve, {solve!r}, got {name!r}")
        start[model.channel(name)] = arguments.of_neurons(f"guess[{name!r}]", value, g)
    feeding = model.calcium.channels if model.calcium and at.gated else ()
    repeats = iterations if any(name in feeding for name in solve) else 0
    target = torch.stack(wanted, 1) * g[:, -1:]
    g = _with(g, columns, [start[column] for column in columns])
    for _ in range(1 + repeats):
        g = _with(g, columns, _solution(at, g, rows, columns, target))
    return g


def _solution(
    at: At, g: Tensor, rows: list[int], columns: list[int], target: Tensor
) -> tuple[Tensor, ...]:
    """Each of the unknowns, (B,)."""
    known = _with(g, columns, [torch.zeros_like(g[:, 0])] * len(columns))
    moving = dict(at.calcium_columns(g))
    right = target - known @ at.rows[rows].T
    for column, values in moving.items():
        extra = values - at.rows[:, column]
        right = right - extra[:, rows] * known[:, column, None]
    A = at.rows[rows][:, columns]
    if not moving.keys() & set(columns):  # the same matrix for all
        inverse, info = torch.linalg.inv_ex(A)
        return _solved(right @ inverse.T, info)
    A = A.repeat(len(g), 1, 1)
    for place, column in enumerate(columns):
        if column in moving:
            A[:, :, place] = moving[column][:, rows]
    found, info = torch.linalg.solve_ex(A, right[..., None])
    return _solved(found[..., 0], info)


def _solved(found: Tensor, info: Tensor) -> tuple[Tensor, ...]:
    """Each of the unknowns found (B, n), NaN where LAPACK's info says that there is no solution."""
    right = (info == 0)[..., None] & found.isfinite()
    return found.where(right, torch.nan).unbind(1)


def _with(g: Tensor, columns: Sequence[int], values: Sequence[Tensor]) -> Tensor:
    """g with some columns replaced."""
    new = list(g.unbind(1))
    for column, value in zip(columns, values, strict=True):
        new[column] = value
    return torch.stack(new, 1)
