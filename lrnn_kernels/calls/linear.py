"""Derivatives of linear recurrences as linear recurrences, so that they can be differentiated
again: what differentiates a scan hands in how a scan is run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .static import Static

#: scan(static, a, b, h0, reset, h_reset, reverse) -> (y, h_last): a differentiable linear scan on
#: the backend of another.
Scan = Callable[..., tuple[Tensor, Tensor]]


def _split_linear(static: Static, tensors) -> tuple[Tensor, Tensor, bool]:
    """(a, b) of a linear scan in the carry dtype, a broadcast over (B,T); and whether complex
    values are stored as two real halves."""
    if static.kernel == static.linear:
        a, b = (
            tensors if static.inputs == 2 else tensors[0].chunk(2, dim=-1)
        )  # packed: [a | b] side by side
        return _widened(a), _widened(b), False
    b, a = tensors
    split = a.is_complex() and not b.is_complex()
    a = a if a.dim() == 1 else a[:, None]  # (C,) or (B,C) against (B,T,C)
    return a, (to_complex(b) if split else _widened(b)), split


def _widened(x: Tensor | None) -> Tensor | None:
    """16-bit values in float32, the type of their states."""
    return x.float() if x is not None and x.dtype in (torch.bfloat16, torch.float16) else x


def to_complex(x: Tensor) -> Tensor:
    """Split storage (real parts, then imaginary parts, along the channels) as complex numbers;
    16-bit ones in float32."""
    return torch.complex(*_widened(x).chunk(2, dim=-1))


def to_split(z: Tensor) -> Tensor:
    return torch.cat([z.real, z.imag], dim=-1)


def previous_states(
    y: Tensor, h0: Tensor | None, reset: Tensor | None, h_reset: Tensor | None, reverse: bool
) -> Tensor:
    """The state before each step, [B, T, C], of states y."""
    first = torch.zeros_like(y[:, :1]) if h0 is None else h0[:, None].to(y.dtype)
    T = y.shape[1]
    before = torch.cat([y, first], 1)[:, 1:] if reverse else torch.cat([first, y], 1)[:, :T]
    if reset is not None:
        at_reset = torch.zeros_like(y[0, 0]) if h_reset is None else h_reset.to(y.dtype)
        before = torch.where(
            reset[..., None], at_reset if at_reset.dim() == 1 else at_reset[:, None], before
        )
    return before


def gradients(
    static: Static, scan: Scan, y, reset, h0, h_reset, dy, dh_last, *tensors
) -> list[Tensor]:
    """The gradients of a linear scan from differentiable operations: g[t] = dy[t] + conj(a[t+1])
    g[t+1] is a scan the other way, which ``scan`` runs."""
    a, b, split = _split_linear(static, tensors)
    if split:
        y, h0, h_reset, dy, dh_last = (
            None if x is None else to_complex(x) for x in (y, h0, h_reset, dy, dh_last)
        )
    y, dy = _widened(y), _widened(dy)
    if dy is None:
        dy = torch.zeros_like(b)
    conj_a = a.conj().expand_as(b)
    passed = (
        conj_a
        if reset is None
        else torch.where(reset[..., None], torch.zeros((), dtype=b.dtype, device=b.device), conj_a)
    )
    one = torch.ones_like(passed[:, :1])  # dh_last enters the last step's adjoint as it is
    after = (
        torch.cat([one, passed[:, :-1]], 1)
        if static.reverse
        else torch.cat([passed[:, 1:], one], 1)
    )
    g, _ = scan(static, after, dy, dh_last, None, None, not static.reverse)
    before = previous_states(y, h0, reset, h_reset, static.reverse)
    da = (
        before.conj_physical() * g
    )  # a lazy conjugate would be a view, whose mapped tangents torch refuses
    flow = conj_a * g  # what each step hands to the state before it
    end = -1 if static.reverse else 0
    if b.shape[1] == 0:
        dh0 = torch.zeros_like(b[:, :0].sum(1)) if dh_last is None else dh_last
    elif reset is None:
        dh0 = flow[:, end]
    else:
        dh0 = torch.where(reset[:, end, None], 0, flow[:, end])
    dh_reset = None
    if h_reset is not None and reset is not None:
        dh_reset = torch.where(reset[..., None], flow, 0).sum(1)
        dh_reset = dh_reset.sum(0) if h_reset.dim() == 1 else dh_reset
    if split:
        g, dh0 = to_split(g), to_split(dh0)
        dh_reset = None if dh_reset is None else to_split(dh_reset)
    if static.kernel != static.linear:
        inputs, params = [g], [da.sum((0, 1)) if tensors[1].dim() == 1 else da.sum(1)]
    else:
        inputs, params = ([torch.cat([da, g], -1)] if static.inputs == 1 else [da, g]), []
    return [*(d.to(tensors[0].dtype) for d in inputs), *params, dh0, dh_reset]


def tangents(
    static: Static, scan: Scan, y, reset, h0, h_reset, tensors, t_h0, t_h_reset, t_tensors
) -> tuple[Tensor, Tensor]:
    """dh[t] = a dh[t-1] + (da h[t-1] + db): forward mode of a linear scan is a linear scan."""
    a, _, split = _split_linear(static, tensors)
    t_tensors = [
        torch.zeros_like(x) if t is None else t for x, t in zip(tensors, t_tensors, strict=True)
    ]
    t_a, t_b, _ = _split_linear(static, t_tensors)
    if split:
        y, h0, h_reset, t_h0, t_h_reset = (
            None if x is None else to_complex(x) for x in (y, h0, h_reset, t_h0, t_h_reset)
        )
    before = previous_states(_widened(y), h0, reset, h_reset, static.reverse)
    drive = t_a * before + t_b
    t_y, t_last = scan(static, a, drive, t_h0, reset, t_h_reset, static.reverse)
    if split:
        t_y, t_last = to_split(t_y), to_split(t_last)
    return t_y.to(tensors[0].dtype), t_last
