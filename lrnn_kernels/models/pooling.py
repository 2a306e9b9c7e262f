"""From outputs of all steps to one: of the last step, or their mean."""

from __future__ import annotations

import torch
from torch import Tensor


def last(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (B,T,D) at each sequence's last step, (B,D)."""
    if lengths is None:
        return x[:, -1]
    at = (lengths - 1)[:, None, None].expand(-1, 1, x.shape[2])
    return x.gather(1, at).squeeze(1)


def episode_sum(
    x: Tensor, position: Tensor, reset: Tensor | None, lengths: Tensor | None, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(sum, steps), (B,D) and (B,1): of the episode that a sequence's last step belongs to, up to
    that step.

    before (B,D) is the sum over the steps of the episode that x (B,T,D) goes on with, None for 0;
    position (B,T+1) counts them. Sums of 16-bit values are float32.
    """
    T = x.shape[1]
    wide = torch.promote_types(x.dtype, torch.float32)
    if lengths is None:
        end, steps = position.new_full((1, 1), T), position[:, T - 1 : T] + 1
    else:
        end = lengths[:, None]
        steps = position.gather(1, end - 1) + 1
    if reset is not None or lengths is not None:
        step = torch.arange(T, device=x.device)
        within = (step < end) & (step >= end - steps)
        x = torch.where(within[..., None], x, 0.0)
    total = x.sum(1, dtype=wide)
    if before is not None:
        total = total + torch.where(steps > end, before.to(wide), 0.0)
    return total, steps
