"""Sequences of several lengths: padded once for all layers, and packed again. ``layers`` is a
``base.Recurrent``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..calls import arguments
from . import checks, directions, ranks
from .checks import State


def forward(
    layers: nn.Module, x: PackedSequence, h_0: State | None, reset: Tensor | None
) -> tuple[PackedSequence, State]:
    """The call of a layer with a PackedSequence."""
    ranks.refuse(layers, "a PackedSequence")
    data, batch_sizes, order, inverse = x
    if data.dim() != 2:
        raise ValueError(
            f"x.data must have shape (N, {layers.input_size}), got {arguments.shape(data)}"
        )
    checks.channels(layers, data)
    padded, lengths = pad_packed_sequence(
        PackedSequence(data, batch_sizes)
    )  # longest first, as the data lie
    T, B, _ = padded.shape
    h_0 = checks.stored(layers, "h_0", h_0, (B,), data)
    checks.reset(reset, (B, T) if layers.batch_first else (T, B))
    if reset is not None:
        reset = reset if layers.batch_first else reset.transpose(0, 1)
        reset = reset if order is None else reset.index_select(0, order)
    if h_0 is not None and order is not None:
        h_0 = h_0.index_select(1, order)
    out, states = directions.stack(
        layers,
        padded,
        h_0,
        reset,
        lengths if int(batch_sizes[-1]) < B else None,
        batch_first=False,
    )
    states = states if inverse is None else [h.index_select(0, inverse) for h in states]
    packed = pack_padded_sequence(out, lengths)
    return PackedSequence(packed.data, batch_sizes, order, inverse), layers._load(
        states, torch.stack
    )
