"""Data as rows: tensors as they are, and lists of trajectories with one context each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..calls import arguments

#: A tensor, or a list of trajectories.
Data = Tensor | Sequence[Tensor]


class Rows(NamedTuple):
    """x (N,n), c (N,k) or None, and whatever else has a row for each; ``ends`` is where each
    trajectory ends, None for what came as a tensor."""

    x: Tensor
    c: Tensor | None
    others: dict[str, Tensor]
    ends: list[int] | None


def joined(x: Data, c: Data | None, size: int, context: int, **others: Data | None) -> Rows:
    """Rows of x, a tensor (..., n) or a list of (T_i, n); of c, (..., k) or (k,), or of a list (or
    a tensor) of one (k,) for each trajectory, or of one context for all; and of others, which are
    as x is. Raises TypeError or ValueError that names the argument."""
    given = {name: value for name, value in others.items() if value is not None}
    if isinstance(x, Tensor):
        _floating("x", x)
        if x.dim() < 2 or x.shape[-1] != size or not x.numel():
            raise ValueError(f"x must have shape (..., {size}), got {arguments.shape(x)}")
        for name, value in given.items():
            _like(name, value, "x", x)
        found = {name: value.reshape(-1, size) for name, value in given.items()}
        lead = x.shape[:-1]
        return Rows(x.reshape(-1, size), _contexts(c, context, lead), found, None)
    pieces = trajectories("x", x, size)
    for name, value in given.items():
        if not isinstance(value, list | tuple) or len(value) != len(pieces):
            got = f"{len(value)} of them" if isinstance(value, list | tuple) else _kind(value)
            raise ValueError(
                f"{name} must be a list of {len(pieces)} trajectories, as x is, got {got}"
            )
        for i, (each, piece) in enumerate(zip(value, pieces, strict=True)):
            _like(f"{name} {i}", each, f"x {i}", piece)
    contexts = one_each(c, context, pieces)
    rows = None
    if contexts is not None:
        same = zip(contexts, pieces, strict=True)
        rows = torch.cat([each.expand(len(piece), -1) for each, piece in same])
    ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0).tolist()
    return Rows(torch.cat(pieces), rows, {k: torch.cat(list(v)) for k, v in given.items()}, ends)


def trajectories(name: str, x: object, size: int) -> list[Tensor]:
    """A list of (T_i, size), checked."""
    if not isinstance(x, list | tuple):
        raise TypeError(f"{name} must be a tensor or a list of tensors, got {_kind(x)}")
    if not x:
        raise ValueError(f"{name} must hold at least one trajectory, got none")
    for i, piece in enumerate(x):
        _floating(f"{name} {i}", piece)
        if piece.dim() != 2 or piece.shape[1] != size or not len(piece):
            raise ValueError(
                f"{name} {i} must have shape (T, {size}), got {arguments.shape(piece)}"
            )
    return list(x)


def one_each(c: Data | None, context: int, pieces: Sequence[Tensor]) -> list[Tensor] | None:
    """A context (k,) for each trajectory."""
    if not context:
        _none(c)
        return None
    if isinstance(c, Tensor):
        if tuple(c.shape) == (context,):
            return [c] * len(pieces)
        if tuple(c.shape) != (len(pieces), context):
            raise ValueError(
                f"c must have shape {(len(pieces), context)}, one context a trajectory, or "
                f"{(context,)}, got {arguments.shape(c)}"
            )
        return list(c)
    if not isinstance(c, list | tuple):
        raise TypeError(
            f"c must be a list of {len(pieces)} contexts, one a trajectory, got {_kind(c)}"
        )
    if len(c) != len(pieces):
        raise ValueError(
            f"c must hold {len(pieces)} contexts, one a trajectory, got {len(c)} of them"
        )
    for i, each in enumerate(c):
        arguments.tensor(f"c {i}", each)
        if tuple(each.shape) != (context,):
            raise ValueError(f"c {i} must have shape {(context,)}, got {arguments.shape(each)}")
    return list(c)


def _contexts(c: object, context: int, lead: Sequence[int]) -> Tensor | None:
    """c (N,k) of x (..., n)."""
    if not context:
        _none(c)
        return None
    arguments.tensor("c", c)
    if tuple(c.shape) not in ((*lead, context), (context,)):
        raise ValueError(
            f"c must have shape {(*lead, context)}, one context a row of x, or {(context,)}, got "
            f"{arguments.shape(c)}"
        )
    return c.expand(*lead, context).reshape(-1, context)


def _none(c: object) -> None:
    if c is not None:
        raise ValueError("c must be None: the autoencoder takes no context")


def _floating(name: str, x: object) -> None:
    arguments.tensor(name, x)
    if not x.dtype.is_floating_point:
        raise TypeError(f"{name} must be of a floating point type, got {x.dtype}")


def _like(name: str, x: object, other: str, reference: Tensor) -> None:
    arguments.tensor(name, x)
    if x.shape != reference.shape:
        raise ValueError(
            f"{name} must have the shape of {other}, {arguments.shape(reference)}, got "
            f"{arguments.shape(x)}"
        )
    if x.dtype != reference.dtype:
        raise TypeError(f"{name} must be of the type of {other}, {reference.dtype}, got {x.dtype}")


def _kind(x: object) -> str:
    return type(x).__name__
