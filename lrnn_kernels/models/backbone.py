"""The papers' backbone: residual blocks of a recurrent part and an MLP, and a head."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from ..nn import signature
from ..nn.init import lecun_normal_
from . import arguments, checkpoint, pooling, positions
from .blocks import Block
from .config import BackboneConfig
from .convolution import CausalConvolution
from .mlp import MLP
from .norms import BatchNorm
from .positions import Encoding

#: (position, windows, cells, total), see ``Backbone``.
States = tuple[Tensor, tuple[Tensor, ...], tuple, Tensor | None]

_PER_STEP = ("steps", "tokens")


class Backbone(torch.nn.Module):
    """The backbone that the BMRU, the CMRU and their rivals are compared in:
    ``out, states = network(x, states=None, reset=None)``.

        x = W [x, positions] + b;  x += MLP(x)
        each block:  u = norm(x);  r = sigmoid(W_g u + b_g) (W_o cell([u, positions]) + b_o)
                     x = rho1 x + dropout(r);  x = rho2 x + MLP(norm(x))
        x += MLP(x);  out = W x + b

    with LayerNorms, rho learned per channel, 1 at the start, and b_g = 4 there: gates are nearly
    open. Positions are sines and cosines of a step's number in its sequence, with learned phases;
    a cell that only holds what was written cannot count steps itself. For an option, u passes a
    causal convolution before it is concatenated. See ``BackboneConfig`` for all choices.

    Args:
        config: sizes and choices; kept as ``config``.
        device, dtype: of the parameters.

    The call is described at ``forward``, one step at ``step``.

    Everything is differentiable, states included, as far as the cell is; works under torch.compile,
    torch.export, autocast.

    state_dict: input.*, embedding.weight for tokens, encoding.offset, first.*, blocks.{i}.*,
    last.*, head.*. Weights are LeCun-normal and biases 0 but for those named above and for the
    cell's own.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    batch_first = True

    def __init__(
        self,
        config: BackboneConfig,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(config, BackboneConfig):
            raise TypeError(f"config must be a BackboneConfig, got {type(config).__name__}")
        self.config = config
        like = {"device": device, "dtype": dtype}
        D, mlp = config.width, (config.width, config.mlp, config.expansion, config.dropout)
        self.embedding, self.encoding = None, None
        if config.head == "tokens":
            self.embedding = torch.nn.Embedding(config.input_size, D, **like)
        if config.positions:
            self.encoding = Encoding(config.positions, config.position_offsets, **like)
        read = config.input_size if self.embedding is None else D
        self.input = torch.nn.Linear(read + config.positions, D, **like)
        self.first = MLP(*mlp, **like)
        self.blocks = torch.nn.ModuleList(Block(config, **like) for _ in range(config.depth))
        self.last = MLP(*mlp, **like)
        self.head = torch.nn.Linear(D, config.output_size, **like)
        self._draw()

    @property
    def input_size(self) -> int:
        """Channels of x, or the size of the vocabulary."""
        return self.config.input_size

    @property
    def output_size(self) -> int:
        """Channels of out."""
        return self.config.output_size

    @property
    def bidirectional(self) -> bool:
        """Whether a cell reads a sequence from its end, too."""
        return any(block.cell.bidirectional for block in self.blocks)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for block in self.blocks:
            for module in block.cell.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        self._draw()

    @torch.no_grad()
    def _draw(self) -> None:
        """Draws what is not a cell's."""
        within = {module for block in self.blocks for module in block.cell.modules()}
        for module in self.modules():
            if module in within:
                continue
            if isinstance(module, torch.nn.Linear | CausalConvolution):
                lecun_normal_(module.weight)
                module.bias.zero_()
            elif isinstance(module, torch.nn.Embedding | torch.nn.LayerNorm | BatchNorm):
                module.reset_parameters()
            elif isinstance(module, Encoding) and module.offset is not None:
                module.offset.zero_()
            elif isinstance(module, Block):
                for rho in (module.rho1, module.rho2):
                    rho.fill_(1.0)
        for block in self.blocks:
            block.gate.bias.fill_(self.config.gate_bias)

    def forward(
        self,
        x: Tensor,
        states: States | None = None,
        reset: Tensor | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        **unknown: Any,
    ) -> tuple[Tensor, States]:
        """Runs the network over a sequence: (out, states).

        Args, batch first:
            x: (B,T,input_size), of the parameters' dtype; for head="tokens" ids (B,T), int64.
            states: what the call on the piece before returned; a new sequence if None.
            reset: bool (B,T), True where an episode starts: positions, convolutions and cells begin
                anew there.
            lengths (keyword): whole numbers (B,) from 1 to T, a tensor or a list, where sequences
                are padded at their ends: the last step, the mean and the reverse direction of cells
                are then those of the valid steps. States are those after the padding all the same.

        Returns:
            out: (B,output_size) for head="last", of the last step, and "mean", over the steps of
                the last step's episode, those of earlier pieces included; (B,T,output_size) for
                "steps" and "tokens".
            states: a tuple (position, windows, cells, total): steps since the episode began, int64
                (B,); of each block the convolution's window (B,conv-1,D), or () without
                convolutions; of each block the state of its cell, as that returns it; the sum over
                steps (B,D) for head="mean", else None. A sequence in pieces, each with the states
                of the one before, is the sequence as a whole.

        Raises TypeError or ValueError, naming the argument, what was got and what was expected.
        """
        if unknown:
            signature.refuse(type(self), unknown, signature.keywords(Backbone.forward))
        lengths = arguments.call(self, x, states, reset, lengths)
        if self.bidirectional and lengths is not None:
            # Where padding starts, another episode does, which no direction looks into.
            end = torch.arange(x.shape[1], device=x.device) == lengths[:, None]
            reset = end if reset is None else reset | end
        return self._run(x, states, reset, lengths, streaming=False)

    def step(
        self,
        x: Tensor,
        states: States | None = None,
        reset: Tensor | None = None,
        **unknown: Any,
    ) -> tuple[Tensor, States]:
        """One time step, for streaming; the values are those of the whole sequence, up to rounding.

        Args:
            x: (B,input_size), or ids (B,).
            states: what the last step, or a sequence, returned; the start of one if None.
            reset: bool (B,): whether an episode starts.

        Returns (out, states), out (B,output_size); for head="mean" of the steps so far. Raises
        RuntimeError where a cell is bidirectional.
        """
        if unknown:
            signature.refuse(type(self), unknown, signature.keywords(Backbone.step))
        arguments.step(self, x, states, reset)
        mask = None if reset is None else reset.unsqueeze(1)
        out, states = self._run(x.unsqueeze(1), states, mask, None, streaming=True)
        return (out.squeeze(1) if self.config.head in _PER_STEP else out), states

    def _run(
        self,
        x: Tensor,
        states: States | None,
        reset: Tensor | None,
        lengths: Tensor | None,
        *,
        streaming: bool,
    ) -> tuple[Tensor, States]:
        B, T = x.shape[:2]
        config, depth = self.config, len(self.blocks)
        start, windows, cells, total = states or (None, (), (None,) * depth, None)
        windows = windows or (None,) * depth
        if start is None:  # one row does for all, as long as nothing tells them apart
            start = torch.zeros(1 if reset is None else B, dtype=torch.int64, device=x.device)
        position = positions.count(start, T, reset)
        x = x if self.embedding is None else self.embedding(x)
        waves = None
        if config.positions:
            waves = positions.waves(
                position[:, :T], config.positions, config.position_base, x.dtype
            )
            x = torch.cat([x, self.encoding(waves, B)], -1)
        x = self.input(x)
        x = x + self.first(x)
        new_windows, new_cells = [], []
        for block, window, cell in zip(self.blocks, windows, cells, strict=True):
            x, window, cell = block(x, waves, position, window, cell, reset, streaming=streaming)
            new_windows.append(window)
            new_cells.append(cell)
        position = position.expand(B, -1)
        out, total = self._out(x, position, reset, lengths, total)
        kept = tuple(new_windows) if config.conv else ()
        return out, (position[:, -1].clone(), kept, tuple(new_cells), total)

    def _out(
        self,
        x: Tensor,
        position: Tensor,
        reset: Tensor | None,
        lengths: Tensor | None,
        total: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """(out, total) from what the last block gives. The mean is one of outputs, for the head is
        linear."""
        if self.config.head == "last":
            x = pooling.last(x, lengths)
        x = x + self.last(x)
        if self.config.head != "mean":
            return self.head(x), None
        before = total
        total, steps = pooling.episode_sum(x, position, reset, None, before)
        over = total
        if lengths is not None:
            over, steps = pooling.episode_sum(x, position, reset, lengths, before)
        return self.head((over / steps).to(x.dtype)), total

    def save(self, path: str | PathLike) -> None:
        """Writes config and parameters to one safetensors file, which ``load`` makes the network
        from. A layer's eps is kept as it is now. The file holds no code.

        Raises ImportError without the package safetensors (``pip install lrnn-kernels[models]``),
        and TypeError where cell is a factory, which a config cannot name.
        """
        checkpoint.save(self, self.config, path)

    @classmethod
    def load(cls, path: str | PathLike, device: str | torch.device = "cpu") -> Backbone:
        """The network that ``save`` wrote, in training mode, its parameters in their dtype.

        Raises ImportError without safetensors, ValueError for a file without a config, and what
        load_state_dict raises for one whose parameters do not fit it.
        """
        config, tensors, eps = checkpoint.read(path, device)
        network = cls(config, device="meta")
        checkpoint.restore(network, tensors, eps)
        return network
