"""One residual block of the backbone."""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn import members
from ..nn.members import State
from . import layers, norms
from .config import BackboneConfig
from .convolution import CausalConvolution
from .mlp import MLP
from .positions import Encoding, Waves


class Block(torch.nn.Module):
    """u = norm(x); r = sigmoid(W_g u + b_g) (W_o cell([conv(u), positions]) + b_o);
    x = rho1 x + dropout(r); x = rho2 x + MLP(norm(x))."""

    def __init__(self, config: BackboneConfig, device=None, dtype=None) -> None:
        super().__init__()
        like = {"device": device, "dtype": dtype}
        D = config.width
        self.norm1, self.norm2 = (norms.build(config.norm, D, **like) for _ in range(2))
        self.convolution = CausalConvolution(D, config.conv, **like) if config.conv else None
        self.encoding = None
        if config.positions:
            self.encoding = Encoding(config.positions, config.position_offsets, **like)
        self.cell = layers.build(
            config.parts, D + config.positions, D, not config.output_map, **like
        )
        wide = members.width(self.cell)
        if not config.output_map and wide != D:
            raise ValueError(
                f"output_map must be True where the cell's output is not as wide as the backbone, "
                f"{D}, got {wide}"
            )
        self.output = torch.nn.Linear(wide, D, **like) if config.output_map else None
        self.gate = torch.nn.Linear(D, D, **like)
        self.rho1, self.rho2 = (torch.nn.Parameter(torch.ones(D, **like)) for _ in range(2))
        self.mlp = MLP(D, config.mlp, config.expansion, config.dropout, **like)
        self.dropout = torch.nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        waves: Waves | None,
        position: Tensor,
        window: Tensor | None,
        state: State | None,
        reset: Tensor | None,
        *,
        streaming: bool,
    ) -> tuple[Tensor, Tensor | None, State]:
        """(x, window, state) from x (B,T,D), or of one step, (B,1,D), where streaming."""
        u = self.norm1(x)
        read = u
        if self.convolution is not None:
            window = self.convolution.start(u) if window is None else window
            read, window = self.convolution(u, window, position, reset)
        if self.encoding is not None:
            read = torch.cat([read, self.encoding(waves, x.shape[0]).to(read.dtype)], -1)
        if streaming:
            mask = None if reset is None else reset.squeeze(1)
            r, state = members.step(self.cell, read.squeeze(1), state, mask)
            r = r.unsqueeze(1)
        else:
            r, state = members.run(self.cell, read, state, reset)
        if self.output is not None:
            r = self.output(r)
        x = self.rho1 * x + self.dropout(torch.sigmoid(self.gate(u)) * r)
        return self.rho2 * x + self.mlp(self.norm2(x)), window, state
