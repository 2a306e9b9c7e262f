"""How the ranks of a process group meet: each meeting is described, the descriptions are compared,
and what goes wrong is said on every rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

#: Bytes of a description, which all ranks send alike.
_DESCRIPTION = 192

#: What ranks with GPUs have agreed on before: to compare it anew, each would have to wait for its
#: GPU.
_agreed: set[tuple[Any, str]] = set()


def position(group: Any, reverse: bool) -> tuple[int, int]:
    """Of this rank along a scan, from 0, and the number of ranks."""
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    return (size - 1 - rank if reverse else rank), size


def gather(group: Any, what: str, x: Tensor, reverse: bool = False) -> Tensor:
    """x of every rank, (ranks, *x.shape), in the order of their positions, once all say the same
    of what they do: shapes and dtypes included."""
    flat = _real(x).contiguous()
    size = dist.get_world_size(group)
    agree(group, what, x.device)
    found = _meet(group, what, lambda: _all_gathered(group, flat, size))
    found = found.flip(0) if reverse else found
    return torch.view_as_complex(found) if x.is_complex() else found


def _all_gathered(group: Any, x: Tensor, size: int) -> Tensor:
    found = x.new_empty((size, *x.shape))
    dist.all_gather(list(found.unbind(0)), x, group=group)
    return found


def hand_on(
    group: Any, what: str, h: Tensor, step: Callable[[Tensor], Tensor], reverse: bool
) -> Tensor:
    """Lets one rank after another run step(state before) -> state after, both like h, which the
    first one starts from. Returns the last one's state on every rank."""
    here, size = position(group, reverse)

    def rank(place: int) -> int:
        return dist.get_global_rank(group, size - 1 - place if reverse else place)

    agree(group, what, h.device)
    if here > 0:
        h = torch.empty_like(h)
        _meet(group, what, lambda: dist.recv(_real(h), rank(here - 1), group=group))
    last = step(h).contiguous()
    if here + 1 < size:
        _meet(group, what, lambda: dist.send(_real(last), rank(here + 1), group=group))
        last = torch.empty_like(last)
    _meet(group, what, lambda: dist.broadcast(_real(last), rank(size - 1), group=group))
    return last


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def agree(group: Any, what: str, device: torch.device) -> None:
    """Raises on every rank unless all say the same; with GPUs, once for everything that is said."""
    if device.type != "cpu" and (group, what) in _agreed:
        return
    size = dist.get_world_size(group)
    text = what.encode()[:_DESCRIPTION].ljust(_DESCRIPTION)
    mine = torch.frombuffer(bytearray(text), dtype=torch.uint8).to(device)
    found = _meet(group, what, lambda: _all_gathered(group, mine, size))
    said = [bytes(row.tolist()).decode(errors="replace").rstrip() for row in found.cpu()]
    if len(set(said)) > 1:
        lines = "; ".join(f"rank {rank}: {text}" for rank, text in enumerate(said))
        raise ValueError(f"the ranks of process_group make calls that do not fit: {lines}")
    if device.type != "cpu":
        _agreed.add((group, what))


def _meet(group: Any, what: str, meeting: Callable[[], Any]) -> Any:
    try:
        return meeting()
    except RuntimeError as error:
        rank, size = dist.get_rank(group), dist.get_world_size(group)
        raise RuntimeError(
            f"{what}: rank {rank} of {size} could not meet the others of process_group; one of "
            f"them has failed, has left, or has not made this call in time: {error}"
        ) from error
