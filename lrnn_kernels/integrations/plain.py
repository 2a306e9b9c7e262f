"""Recurrent layers' steps in plain operations of real numbers, as formats for deployment have
them."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from ..nn import Recurrent, ranks
from ..nn.checks import State


def plain(network: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation, whose layers of ``lrnn_kernels.nn`` take each step by the
    readable definition of their cell, without checks.

    A complex state, (L,B,H), is a real one there, (L,B,H,2), as torch.view_as_real gives it. Raises
    RuntimeError for a layer that is bidirectional or whose time is split over processes.
    """
    done = copy.deepcopy(network).eval().requires_grad_(False)
    for layer in done.modules():
        if isinstance(layer, Recurrent):
            ranks.refuse(layer, "an export")
            if layer.bidirectional:
                raise RuntimeError(
                    "an export is for one direction: a bidirectional layer's output needs the "
                    "steps to come"
                )
            layer.step = partial(_step, layer, _constants(layer))
    return done


def _constants(layer: Recurrent) -> list[Tensor | None]:
    """What multiplies the state of each layer of a complex cell, as a real pair of rows: parameters
    do not change any more."""
    if not layer.cell.complex:
        return [None] * layer.num_layers
    with torch.no_grad():
        each = [
            layer._scan_params(layer._parameters_of(k, False))[0] for k in range(layer.num_layers)
        ]
        return [torch.stack([lam.real, lam.imag]) for lam in each]


def _step(
    layer: Recurrent,
    constants: list[Tensor | None],
    x: Tensor,
    state: State | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, State]:
    """``Recurrent.step`` for x (B,input_size)."""
    row = layer.cell
    many = len(row.states) > 1
    options = {
        name: value.item() if isinstance(value, Tensor) else value
        for name, value in layer._scan_options().items()
    }
    found = []
    for number in range(layer.num_layers):
        p = layer._parameters_of(number, False)
        x = x.unsqueeze(1)  # a sequence of one step
        streams = layer._streams(layer._drive(x, p))
        width = layer.hidden_size * (2 if row.complex else 1)
        if len(streams) == 1:
            streams = streams[0].split(width, -1)
        streams = [stream.squeeze(1) for stream in streams]
        initial = layer._initial(p)
        start = x.new_zeros(len(row.states) * width) if initial is None else initial
        if state is None:
            h = start.expand(x.shape[0], -1)
        else:
            parts = [part[number] for part in (state if many else [state])]
            h = torch.cat([_stored(part, row.complex) for part in parts], -1)
            if reset is not None:
                h = torch.where(reset.unsqueeze(1), start, h)
        if row.complex:
            new = [_rotated(h, constants[number]) + streams[0]]
            y = new[0]
        else:
            before = h.split(width, -1)
            new, y = row.step(before, *streams, *layer._scan_params(p), **options)
        found.append(new)
        x = layer._read_out(y.unsqueeze(1), x, p).squeeze(1)
    kinds = zip(*found, strict=True)
    states = [torch.stack([_shown(h, row.complex) for h in kind]) for kind in kinds]
    return x, tuple(states) if many else states[0]


def _rotated(h: Tensor, lam: Tensor) -> Tensor:
    """lam h of a complex h as real numbers, (B,2H): real parts, then imaginary parts."""
    re, im = h.chunk(2, -1)
    return torch.cat([lam[0] * re - lam[1] * im, lam[0] * im + lam[1] * re], -1)


def _stored(h: Tensor, is_complex: bool) -> Tensor:
    return h.transpose(-1, -2).flatten(-2) if is_complex else h


def _shown(h: Tensor, is_complex: bool) -> Tensor:
    return h.unflatten(-1, (2, -1)).transpose(-1, -2) if is_complex else h
