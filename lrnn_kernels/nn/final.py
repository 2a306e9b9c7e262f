"""The end of a sequence alone: outputs after the last step and states, in little memory. ``layer``
is a recurrent layer or a composition, within whose call, and hooks, all of this is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..calls import arguments
from . import checks, ranks, states

#: Bytes of one piece's outputs: what stays in a second-level cache.
PIECE_BYTES = 1 << 18
#: Steps of a piece, at least: fewer cost more calls than they save memory.
FEWEST_STEPS = 64


def last(layer: nn.Module, x: Tensor | PackedSequence, h_0, reset: Tensor | None):
    """(out, h_n), out of every direction after its own last step: (B,output_size), without a batch
    (output_size,)."""
    ranks.refuse(layer, "return_sequence=False")
    if isinstance(x, PackedSequence):
        return _last_packed(layer, x, h_0, reset)
    checks.shape(layer, x, "TB", "T")
    checks.reset(reset, tuple(x.shape[:-1]))
    time = 1 if x.dim() == 3 and layer.batch_first else 0
    steps = x.shape[time]
    if steps == 0:
        raise ValueError(
            f"x must have at least one step to end with, got shape {arguments.shape(x)}"
        )
    piece = _piece(layer, x, time)
    if steps <= piece or layer.bidirectional or _is_recorded(layer, x, h_0):
        out, h_n = layer.forward(x, h_0, reset)
        return _ends(layer, out, time), h_n
    for start in range(0, steps, piece):
        count = min(piece, steps - start)
        mask = None if reset is None else reset.narrow(reset.dim() - 1 if time else 0, start, count)
        out, h_0 = layer.forward(x.narrow(time, start, count), h_0, mask)
    return _ends(layer, out, time), h_0


def _piece(layer: nn.Module, x: Tensor, time: int) -> int:
    """Steps at a time."""
    rows = x.shape[1 - time] if x.dim() == 3 else 1
    row = max(rows, 1) * layer.output_size * x.element_size()
    return max(PIECE_BYTES // row, FEWEST_STEPS)


def _is_recorded(layer: nn.Module, x: Tensor, h_0) -> bool:
    """Whether a backward pass may follow, which needs the sequence as a whole, or something traces
    the call."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return True
    tensors = [x, *states.tensors(h_0), *layer.parameters()]
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _ends(layer: nn.Module, out: Tensor, time: int) -> Tensor:
    """Each direction's output after its last step: the reverse one ends at the first. A copy, which
    keeps no sequence alive."""
    if not layer.bidirectional:
        return out.select(time, -1).clone()
    H = layer.hidden_size
    return torch.cat([out.select(time, -1)[..., :H], out.select(time, 0)[..., H:]], -1)


def _last_packed(layer: nn.Module, x: PackedSequence, h_0, reset: Tensor | None):
    out, h_n = layer.forward(x, h_0, reset)
    padded, lengths = pad_packed_sequence(out, batch_first=True)
    at_end = padded[torch.arange(len(lengths), device=padded.device), lengths.to(padded.device) - 1]
    if not layer.bidirectional:
        return at_end, h_n
    H = layer.hidden_size
    return torch.cat([at_end[:, :H], padded[:, 0, H:]], -1), h_n
