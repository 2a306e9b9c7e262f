"""Time split over the processes of a group: every rank holds a contiguous piece of all sequences,
in the order of time.

Each rank reduces its piece to the affine map of its state, (scale, offset) per channel; the maps of
all ranks are gathered, and every rank finds the state before its piece, and the last one, by
putting them one after another. An ordinary pass does the rest. The backward pass mirrors this with
the adjoint. A recurrence whose bits depend on the order of its sums (``Cell.exact``) hands its
state from rank to rank instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.autograd.function import once_differentiable

from ..backends import interrupts, maps
from ..backends.operators import MAP
from ..backends.tracing import untraced
from ..cell import Cell
from . import autograd, collectives
from .linear import to_complex, to_split
from .static import Static

#: What is asked for by name where there is one: some builds of torch have none.
if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
else:
    ProcessGroup = getattr(dist, "ProcessGroup", Any)


class Piece(NamedTuple):
    """What the ranks that share a sequence must know of it, beside its tensors."""

    group: Any
    name: str  # of the row
    map: str  # the operator of its map
    handed_on: bool  # whether states go from rank to rank
    split: bool  # whether complex states are stored as two real halves


def check(row: Cell, group: Any, backend: str) -> None:
    """Refuses what cannot be split."""
    if row.sequential:
        raise ValueError(
            f"process_group must be None for {row.name}, which is not linear in its state: its "
            "time cannot be split over processes"
        )
    if backend == "reference":
        raise ValueError(
            "process_group must be None where the backend is 'reference', which runs on one process"
        )
    if not dist.is_available():
        raise RuntimeError(
            "process_group must be None: this build of torch has no torch.distributed"
        )
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            f"process_group must be a torch.distributed.ProcessGroup, got {type(group).__name__}"
        )
    if dist.get_rank(group) < 0:
        raise ValueError("process_group must have this process as a member")
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        raise NotImplementedError(
            "process_group must be None under torch.func's transforms and forward-mode derivatives"
        )


def piece(row: Cell, options: Mapping[str, Any], has_reset: bool, split: bool, group: Any) -> Piece:
    kernel = row.kernel(options, has_reset)
    handed_on = row.exact(options, True) and not row.exact(options, False)
    return Piece(group, row.name, (kernel.generic or kernel).name + MAP, handed_on, split)


def apply(
    static: Static,
    piece: Piece,
    reset: Tensor | None,
    h0: Tensor,
    h_reset: Tensor | None,
    tensors: list[Tensor],
    time_first: bool,
) -> tuple[Tensor, Tensor]:
    """(y, h_last) as ``autograd.apply``: y of this rank's piece, h_last of the whole sequence."""
    try:
        y, h_last = PieceScan.apply(static, piece, reset, h0, h_reset, *tensors)
    except RuntimeError:
        interrupts.reraise()
        raise
    return (autograd.owned(y.transpose(0, 1)) if time_first else y), h_last


@untraced
def first_after(group: Any, reset: Tensor) -> Tensor:
    """(B,) bool: the mask, (B,T) here, at the step after this rank's last; False after the end."""
    B, T = reset.shape
    mine = reset.new_zeros(B + 1, dtype=torch.uint8)
    mine[B] = T > 0
    mine[:B] = reset[:, 0] if T > 0 else False
    rank = dist.get_rank(group)
    for row in collectives.gather(group, f"reset of {B} sequences", mine)[rank + 1 :]:
        if row[B]:
            return row[:B].bool()
    return reset.new_zeros(B)


class PieceScan(Function):
    """One rank's part of a scan."""

    @staticmethod
    def forward(ctx, static, piece, reset, h0, h_reset, *tensors):
        here, _ = collectives.position(piece.group, static.reverse)
        direction = ", reverse" if static.reverse else ""
        what = f"{piece.name}{direction}, states {tuple(h0.shape)} of {h0.dtype}"
        save = any(ctx.needs_input_grad)
        if piece.handed_on:
            passed = []

            def step(before: Tensor) -> Tensor:
                passed[:] = (
                    before,
                    *autograd.run_forward(static, reset, before, h_reset, tensors, save),
                )
                return passed[2]

            h_last = collectives.hand_on(piece.group, what, h0, step, static.reverse)
            before, y, _, saved = passed
        else:
            scale, offset = _map(static, piece, reset, h_reset, tensors)
            start = _values(piece, h0)
            if here == 0:  # the other ranks need not know h0
                scale, offset = torch.zeros_like(scale), maps.applied(scale, offset, start)
            found = collectives.gather(
                piece.group, what, torch.stack([scale, offset]), static.reverse
            )
            before, h_last = (_stored(piece, h) for h in _walk(found, start, here))
            y, _, saved = autograd.run_forward(static, reset, before, h_reset, tensors, save)
        autograd.save_for_backward(ctx, static, reset, before, h_reset, tensors, y, saved)
        ctx.piece, ctx.what = piece, what
        return y, h_last

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, dh_last):
        static, piece = ctx.static, ctx.piece
        states, reset, before, h_reset, *tensors = ctx.saved_tensors
        here, _ = collectives.position(piece.group, not static.reverse)
        if dh_last is None:
            dh_last = torch.zeros_like(before)
        try:
            scale, offset = _map(static, piece, reset, None, tensors, dy=dy, backward=True)
            message = torch.stack([scale, offset, _values(piece, dh_last)])
            found = collectives.gather(
                piece.group, f"{ctx.what}, backward", message, not static.reverse
            )
            # Every rank has read the last state, and may have a gradient of it.
            after, _ = _walk(found[:, :2], found[:, 2].sum(0), here)
            after = _stored(piece, after)
            grads = autograd.run_backward(
                static, states, reset, before, h_reset, dy, after, *tensors
            )
        except RuntimeError:
            interrupts.reraise()
            raise
        *dtensors, dh0, dh_reset = grads
        first, _ = collectives.position(piece.group, static.reverse)
        dh0 = dh0 if first == 0 else torch.zeros_like(dh0)  # which the others have not read
        dh_reset = dh_reset if h_reset is not None else None
        return None, None, None, dh0, dh_reset, *dtensors


def _map(
    static: Static,
    piece: Piece,
    reset: Tensor | None,
    h_reset: Tensor | None,
    tensors,
    dy: Tensor | None = None,
    backward: bool = False,
) -> tuple[Tensor, Tensor]:
    n = static.inputs
    operator = getattr(getattr(torch.ops, static.operators), piece.map).default
    h_reset = None if reset is None else h_reset
    inputs, params = list(tensors[:n]), list(tensors[n:])
    found = operator(inputs, params, static.numbers, reset, h_reset, static.reverse, backward, dy)
    return tuple(_values(piece, x) for x in found)


def _values(piece: Piece, x: Tensor) -> Tensor:
    """States as numbers: complex ones may be stored as two real halves."""
    return to_complex(x) if piece.split else x


def _stored(piece: Piece, x: Tensor) -> Tensor:
    return to_split(x) if piece.split else x


def _walk(found: Tensor, carry: Tensor, here: int) -> tuple[Tensor, Tensor]:
    """The carries into the piece at a position and out of the last one, from (ranks, 2, B, C) maps
    and what enters the first."""
    entering = carry
    for place, (scale, offset) in enumerate(found):
        if place == here:
            entering = carry
        carry = maps.applied(scale, offset, carry)
    return entering, carry
