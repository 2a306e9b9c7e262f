"""What a composition may hold, and how each kind is run: our own layers, compositions of them, and
torch's, which have no reset and no step."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from . import checks

#: A member's state: a tensor, or a tuple of states.
State = Tensor | tuple


def check(what: str, layer: object) -> None:
    """Raises TypeError for what is no recurrent layer."""
    if not (is_ours(layer) or isinstance(layer, nn.RNNBase)):
        raise TypeError(
            f"{what} must be a recurrent layer of lrnn_kernels.nn, a composition of them, or "
            f"torch.nn.GRU, LSTM or RNN, got {type(layer).__name__}"
        )


def is_ours(layer: object) -> bool:
    return isinstance(layer, nn.Module) and hasattr(layer, "step") and hasattr(layer, "output_size")


def width(layer: nn.Module) -> int:
    """Channels of a member's output."""
    if is_ours(layer):
        return layer.output_size
    return (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)


def run(
    layer: nn.Module, x: Tensor | PackedSequence, state: State | None, reset: Tensor | None
) -> tuple[Tensor | PackedSequence, State]:
    """A member over a sequence."""
    if is_ours(layer):
        return layer(x, state, reset)
    if reset is None:
        return layer(x, state)
    return _in_pieces(layer, x, state, reset)


def step(
    layer: nn.Module, x: Tensor, state: State | None, reset: Tensor | None
) -> tuple[Tensor, State]:
    """A member for one time step."""
    if is_ours(layer):
        return layer.step(x, state, reset)
    if layer.bidirectional:
        raise RuntimeError(
            "step is for one direction: a bidirectional layer's output needs the steps to come"
        )
    checks.shape(layer, x, "B", "")
    checks.reset(reset, tuple(x.shape[:-1]))
    if reset is not None and state is not None:
        state = _cleared(state, reset)
    time = x.dim() - 1 if layer.batch_first else 0
    out, state = layer(x.unsqueeze(time), state)
    return out.squeeze(time), state


def _cleared(state: State, reset: Tensor) -> State:
    """A state of torch's layers, (L,B,H) or (L,H), with zeros where the mask (B,) or () says so."""
    if isinstance(state, tuple):
        return tuple(_cleared(part, reset) for part in state)
    return torch.where(reset[..., None], torch.zeros((), dtype=state.dtype), state)


def _in_pieces(
    layer: nn.Module, x: Tensor | PackedSequence, state: State | None, reset: Tensor
) -> tuple[Tensor, State]:
    """torch's layers over a sequence with resets: from one step at which a sequence starts anew to
    the next."""
    if isinstance(x, PackedSequence):
        raise ValueError(
            f"reset must be None where torch.nn.{type(layer).__name__} gets a PackedSequence"
        )
    if layer.bidirectional:
        raise ValueError(
            f"reset must be None where a torch.nn.{type(layer).__name__} is bidirectional"
        )
    checks.shape(layer, x, "TB", "T")
    checks.reset(reset, tuple(x.shape[:-1]))
    time = 1 if x.dim() == 3 and layer.batch_first else 0
    mask = reset.transpose(0, 1) if time else reset  # (T,B), or (T,)
    starts = mask.flatten(1).any(1) if mask.dim() == 2 else mask
    stops = sorted({*starts.nonzero().flatten().tolist(), 0, len(mask)})
    outs = []
    for start, stop in itertools.pairwise(stops):
        if state is not None:
            state = _cleared(state, mask[start])
        out, state = layer(x.narrow(time, start, stop - start), state)
        outs.append(out)
    if not outs:
        return layer(x, state)
    return torch.cat(outs, time), state
