"""How recurrent layers run: layer after layer, both directions, masks of resets, sequences of
several lengths. ``layers`` is a ``base.Recurrent``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from ..calls.distributed import first_after
from ..calls.run import run_driven

#: What is told of each layer and direction: its parameters, and what its scan is driven with.
Watch = Callable[[Mapping[str, Tensor], Tensor], None]

#: What runs a layer and direction: (drive or x, parameters, **states) -> (y, h_last).
Scan = Callable[..., tuple[Tensor, Tensor]]


def stack(
    layers: nn.Module,
    x: Tensor,
    h_0,
    reset,
    lengths: Tensor | None,
    batch_first: bool,
    watch: Watch | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """All layers and directions; states as stored, reset (B,T), and lengths (B,), longest
    first, where sequences differ in length.

    Returns the output, and the last states of each layer and direction, (B,C), which the caller
    copies into one tensor.
    """
    if not x.is_contiguous() and x.transpose(0, 1).is_contiguous():
        # A transposed view: the GEMMs would copy it. All goes in the order of the memory, and
        # the output is a view again.
        flipped = not batch_first
        out, states = stack(layers, x.transpose(0, 1), h_0, reset, lengths, flipped, watch)
        return out.transpose(0, 1), states
    B, T = (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])
    masks = [reset]
    if layers.bidirectional:
        if lengths is not None and h_0 is not None and reset is not None:
            raise ValueError(
                "reset must be None where a bidirectional layer gets h_0 and sequences of "
                "several lengths: the reverse direction would need two kinds of "
                "restart, from h_0 and from the initial state"
            )
        masks.append(_reverse_reset(reset, lengths, B, T, x.device, layers.process_group))
    last = None if lengths is None else lengths.to(x.device) - 1
    states = []
    for layer in range(layers.num_layers):
        if layer and layers.dropout:
            x = F.dropout(x, layers.dropout, layers.training)
        outputs = []
        for reverse, mask in enumerate(masks):
            h0 = None if h_0 is None else h_0[len(states)]
            y, h = _direction(
                layers,
                x,
                layers._parameters_of(layer, bool(reverse)),
                h0,
                mask,
                bool(reverse),
                last,
                batch_first,
                watch,
            )
            outputs.append(y)
            states.append(h)
        x = torch.cat(outputs, -1) if layers.bidirectional else outputs[0]
    return x, states


def is_plain(layers: nn.Module) -> bool:
    """Whether a call need not go the way of a sequence: nothing records or traces it, and no hook
    waits for it."""
    return not (
        torch.is_grad_enabled()
        or is_transformed()
        or layers._forward_hooks
        or layers._forward_pre_hooks
        or nn.modules.module._has_any_global_hook()
    )


def one_step(
    layers: nn.Module, x: Tensor, h_0: Tensor, reset: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """All layers for one step of one direction, without gradients: x (B,1,C), reset (B,1), states
    as stored. Returns the output, (B,1,C), and the states of each layer, (B,C)."""
    states = []
    for layer in range(layers.num_layers):
        if layer and layers.dropout:
            x = F.dropout(x, layers.dropout, layers.training)
        p = layers._parameters_of(layer, False)
        scan, drive = _scan_of(layers, x, p)
        y, h = scan(
            drive,
            p,
            h0=h_0[layer],
            reset=reset,
            h_reset=None if reset is None else layers._initial(p),
            reverse=False,
        )
        states.append(h)
        x = layers._read_out(y, x, p)
    return x, states


def _direction(
    layers: nn.Module,
    x: Tensor,
    p,
    h0,
    mask,
    reverse: bool,
    last: Tensor | None,
    batch_first: bool,
    watch: Watch | None,
) -> tuple[Tensor, Tensor]:
    if watch is None:
        scan, drive = _scan_of(layers, x, p)
    else:
        scan, drive = layers._scan, _drive(layers, x, p)
    drive = drive if batch_first else drive.transpose(0, 1)
    if watch is not None:
        watch(p, drive)
    initial = layers._initial(p) if h0 is None or mask is not None else None
    at_reset = None if mask is None else initial
    reached = None
    if h0 is None:
        h0 = None if initial is None else initial.expand(drive.shape[0], -1)
    elif mask is None:
        reached = layers._start(
            p
        )  # nothing reads it, but DistributedDataParallel waits for every parameter
    elif reverse and last is not None:
        # The reverse scan passes the padding first; the restart at a sequence's last step is
        # its start.
        at_reset = h0 if initial is None else torch.where(mask.new_ones(()), h0, initial)
    if last is None or reverse:
        first = not batch_first
        y, h = scan(
            drive,
            p,
            h0=h0,
            reset=mask,
            h_reset=at_reset,
            reverse=reverse,
            time_first=first,
            reached=reached,
        )
        return layers._read_out(y, x, p), h
    if len(layers.cell.states) == 1:
        y, h = scan(drive, p, h0=h0, reset=mask, h_reset=at_reset, reverse=False, reached=reached)
        h = y[torch.arange(y.shape[0], device=y.device), last].to(h.dtype)
    else:
        y, h = _scan_to_each_end(scan, drive, p, h0, mask, at_reset, last, reached)
    y = y if batch_first else y.transpose(0, 1)
    return layers._read_out(y, x, p), h


def _scan_of(layers: nn.Module, x: Tensor, p) -> tuple[Scan, Tensor]:
    """A layer's scan, and what it takes: x, or what the scan is driven with, in the order of x, so
    that the GEMM reads and writes rows as they lie."""
    if layers._takes_input() and not _constant(x):
        return partial(_scan_input, layers), x
    return layers._scan, _drive(layers, x, p)


def _scan_input(layers: nn.Module, x: Tensor, p, **states) -> tuple[Tensor, Tensor]:
    """``_scan`` of what ``_drive`` would make of x, (B,T,in)."""
    weight, *bias = layers._weights(p)
    params, options = layers._scan_params(p), layers._scan_options()
    bias = bias[0] if bias else None
    backend = layers.backend
    return run_driven(layers.cell, x, weight, bias, params, options, backend=backend, **states)


def _drive(layers: nn.Module, x: Tensor, p) -> Tensor:
    """What the scan is driven with. A row that x holds for all steps, or for all sequences, as
    expand makes it, is multiplied once."""
    row = x
    for dim in _constant(x):
        row = row.narrow(dim, 0, 1)
    drive = layers._drive(row, p)
    return drive if row is x else drive.expand(*x.shape[:2], -1)


def _constant(x: Tensor) -> list[int]:
    """The dimensions along which x holds one row for all."""
    if x.requires_grad or is_transformed():
        return []
    return [dim for dim in (0, 1) if x.stride(dim) == 0 and x.shape[dim] > 1]


def is_transformed() -> bool:
    """Whether what x shows may not be all there is of it: a tangent, a batch, a symbol."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def _scan_to_each_end(
    scan: Callable[..., tuple[Tensor, Tensor]],
    drive: Tensor,
    p,
    h0,
    mask,
    at_reset,
    last: Tensor,
    reached: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """A forward scan that stops wherever sequences end, for the states there, which the
    outputs do not tell."""
    B = drive.shape[0]
    ends = (last + 1).tolist()  # longest first, so that those still running are the first rows
    stops = sorted(set(ends))
    starts = [0, *stops[:-1]]
    pieces = drive.split([stop - start for start, stop in zip(starts, stops, strict=True)], 1)
    outputs, states = [], []
    running = B
    for piece, start, stop in zip(pieces, starts, stops, strict=True):
        reset = None if mask is None else mask[:running, start:stop]
        y, h = scan(
            piece[:running],
            p,
            h0=h0,
            reset=reset,
            h_reset=at_reset,
            reverse=False,
            reached=reached,
        )
        outputs.append(F.pad(y, (0, 0, 0, 0, 0, B - running)))
        running = sum(end > stop for end in ends)
        states.append(h[running:])
        h0 = h[:running]
    return torch.cat(outputs, 1), torch.cat(states[::-1])


def _reverse_reset(
    reset: Tensor | None, lengths: Tensor | None, B: int, T: int, device, group: Any
) -> Tensor | None:
    """The mask of the reverse direction, (B,T).

    An episode that starts at t parts from the one before it at t-1, which is where the reverse scan
    enters that one. Of a padded sequence it enters the last step from the padding, so it restarts
    there.
    """
    mask = None
    if reset is not None:
        mask = reset.roll(-1, 1)
        # A number has no size that could be 1: the program of an export is for every T.
        mask[:, -1:] = False if group is None else first_after(group, reset)[:, None]
    if lengths is not None:
        ends = torch.arange(T, device=device) == lengths.to(device)[:, None] - 1
        mask = ends if mask is None else mask | ends
    return mask
