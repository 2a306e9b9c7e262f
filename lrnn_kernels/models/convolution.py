"""A causal convolution of each channel, with its window carried."""

from __future__ import annotations

import torch
from torch import Tensor


class CausalConvolution(torch.nn.Module):
    """y[t] = sum over j < taps of weight[:,j] u[t-j] + bias, within an episode: before its first
    step there is nothing but zeros.

    The window, (B,taps-1,D), holds the inputs of the steps before, oldest first, with zeros for
    those of another episode.
    """

    def __init__(self, width: int, taps: int, device=None, dtype=None) -> None:
        super().__init__()
        self.taps = taps
        self.weight = torch.nn.Parameter(torch.empty(width, taps, device=device, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.empty(width, device=device, dtype=dtype))

    def start(self, u: Tensor) -> Tensor:
        """The window before a sequence."""
        return u.new_zeros(u.shape[0], self.taps - 1, u.shape[2])

    def forward(
        self, u: Tensor, window: Tensor, position: Tensor, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(y, window) of u (B,T,D); position (B,T+1) is that of ``positions.count``."""
        T = u.shape[1]
        seen = torch.cat([window.to(u.dtype), u], 1)  # (B, taps-1+T, D)
        y = u * self.weight[:, 0] + self.bias
        for j in range(1, self.taps):
            before = seen[:, self.taps - 1 - j : self.taps - 1 - j + T]
            if reset is not None:
                before = torch.where((position[:, :T] >= j)[..., None], before, 0.0)
            y = y + before * self.weight[:, j]
        window = seen[:, T:]
        if reset is not None:
            # How far each of the window's steps lies before the one to come.
            distance = torch.arange(self.taps - 1, 0, -1, device=u.device)
            same = position[:, -1:] >= distance
            window = torch.where(same[..., None], window, 0.0)
        return y, window

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, taps={self.taps}"
