"""Where in its sequence a step stands, and sinusoids of that."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Sines and cosines of a step's angles, before offsets.
Waves = tuple[Tensor, Tensor]


def count(start: Tensor, steps: int, reset: Tensor | None) -> Tensor:
    """Positions of so many steps and of the one to come, (B,steps+1) int64: start (B,) is that of
    the first, and a step where reset (B,steps) is True has position 0."""
    if steps == 1:  # in streaming, and in files of one step, which need no scan
        first = start[:, None] if reset is None else torch.where(reset, 0, start[:, None])
        return torch.cat([first, first + 1], 1)
    step = torch.arange(steps + 1, device=start.device)
    going_on = start[:, None] + step
    if reset is None:
        return going_on
    at = torch.cat([reset, torch.zeros_like(start, dtype=torch.bool)[:, None]], 1)
    last = torch.where(at, step, -1).cummax(1).values
    return torch.where(last < 0, going_on, step - last)


def waves(position: Tensor, channels: int, base: float, dtype: torch.dtype) -> Waves:
    """sin and cos of position base^(-2k/channels), k = 0 .. channels/2 - 1; each (..., channels/2).

    In float64, in which the angle of the millionth step is as exact as that of the first.
    """
    half = channels // 2
    k = torch.arange(half, device=position.device, dtype=torch.float64)
    angle = position[..., None].to(torch.float64) * torch.exp(k * (-math.log(base) / half))
    return angle.sin().to(dtype), angle.cos().to(dtype)


class Encoding(torch.nn.Module):
    """sin(angle + offset) and cos(angle + offset), with a learned offset for each frequency where
    there is a parameter for it."""

    def __init__(self, channels: int, learned: bool, device=None, dtype=None) -> None:
        super().__init__()
        offset = torch.zeros(channels // 2, device=device, dtype=dtype) if learned else None
        self.offset = None if offset is None else torch.nn.Parameter(offset)

    def forward(self, waves: Waves, batch: int) -> Tensor:
        """(batch,T,channels) from waves (1,T,channels/2), or (batch,T,channels/2)."""
        sin, cos = waves
        if self.offset is not None:
            s, c = self.offset.sin(), self.offset.cos()
            sin, cos = sin * c + cos * s, cos * c - sin * s
        return torch.cat([sin, cos], -1).expand(batch, -1, -1)
