"""A dense layer whose units' slopes and offsets follow a neuromodulatory signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..calls import arguments
from ..options import boolean, integer, one_of
from .directions import is_transformed

_aten = torch.ops.aten
#: Each activation, the same in place, and its pullback from its output.
ACTIVATIONS = {
    "srelu": (F.hardtanh, F.hardtanh_, lambda dy, y: _aten.hardtanh_backward(dy, y, -1.0, 1.0)),
    "relu": (torch.relu, torch.relu_, lambda dy, y: _aten.threshold_backward(dy, y, 0.0)),
    "sigmoid": (torch.sigmoid, torch.sigmoid_, _aten.sigmoid_backward),
    "tanh": (torch.tanh, torch.tanh_, _aten.tanh_backward),
    "none": (lambda u: u, lambda u: u, lambda dy, y: dy),
}

#: Values of the pre-activation, 512 kB of float32, that a CPU takes through all operations before
#: the next ones: they stay in the cache of a core.
_TILE = 2**17


def _tiles(x: Tensor, out: int) -> Iterator[tuple[slice, slice]]:
    """Pieces of x (M,L,in), each of rows that follow one another in memory."""
    M, L, _ = x.shape
    rows = max(1, _TILE // out) if x.device.type == "cpu" else M * L
    many, length = max(1, rows // max(L, 1)), max(1, min(L, rows))
    for m in range(0, M, many):
        for i in range(0, L, length):
            yield slice(m, m + many), slice(i, i + length)


def plain(
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    weight_s: Tensor,
    bias: Tensor | None,
    weight_b: Tensor,
    offset0: int,
    activation: str,
) -> Tensor:
    """The layer of x (M,L,in) and z (M,k) in plain operations: what all else is compared with."""
    ones = weight_s.new_ones(len(weight_s)) if offset0 else None
    gain, offset = F.linear(z, weight_s, ones), F.linear(z, weight_b, bias)
    u = F.linear(x, weight)
    return ACTIVATIONS[activation][0](torch.addcmul(offset.unsqueeze(-2), u, gain.unsqueeze(-2)))


def _forward(args: tuple, keep: bool) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """y (M,L,out), and with keep the pre-activation u and the gain (M,out)."""
    x, z, weight, weight_s, bias, weight_b, offset0, activation = args
    out = len(weight)
    y = x.new_empty(*x.shape[:2], out)
    u = torch.empty_like(y) if keep else None
    gain = y.new_empty(len(z), out) if keep else None
    act_ = ACTIVATIONS[activation][1]
    ones = y.new_full((out,), float(offset0))
    bias = y.new_zeros(out) if bias is None else bias
    for m, i in _tiles(x, out):
        g = torch.addmm(ones, z[m], weight_s.t(), out=gain[m] if keep else None)
        offset = torch.addmm(bias, z[m], weight_b.t()).unsqueeze(1)
        rows = x[m, i]
        found = u[m, i].flatten(0, 1) if keep else None
        pre = torch.mm(rows.flatten(0, 1), weight.t(), out=found).view(*rows.shape[:2], out)
        act_(torch.addcmul(offset, pre, g.unsqueeze(1), out=y[m, i]))
    return y, u, gain


class _Modulated(torch.autograd.Function):
    """The layer tile by tile, backward with one pass over the pre-activation: e = dy act', du = e
    gain, d gain = e u, dz = d gain W_s + e W_b."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        y, u, gain = _forward(args, keep=True)
        ctx.options = args[6:]
        ctx.save_for_backward(*args[:6], u, gain, y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, u, gain, y = ctx.saved_tensors
        needed = ctx.needs_input_grad[:6]
        if torch.is_grad_enabled():
            found = _by_reference(inputs, ctx.options, dy, needed)
        else:
            found = _backward(inputs, ctx.options, u, gain, y, dy, needed)
        return *found, None, None


def _by_reference(inputs: list, options: tuple, dy: Tensor, needed: tuple) -> list[Tensor | None]:
    """The gradients as autograd's, which can be differentiated again."""
    # Each an alias: none of them depends on another, as z may on x.
    inputs = [None if x is None else x.view_as(x) for x in inputs]
    wanted = [x for x, need in zip(inputs, needed, strict=True) if need]
    found = iter(torch.autograd.grad(plain(*inputs, *options), wanted, dy, create_graph=True))
    return [next(found) if need else None for need in needed]


def _backward(
    inputs: list, options: tuple, u: Tensor, gain: Tensor, y: Tensor, dy: Tensor, needed: tuple
) -> list[Tensor | None]:
    x, z, weight, weight_s, _, weight_b = inputs
    pullback = ACTIVATIONS[options[1]][2]
    out = len(weight)
    dx = torch.empty_like(x) if needed[0] else None
    dz = torch.zeros_like(z) if needed[1] else None
    dweight, dweight_s, dbias, dweight_b = (
        torch.zeros_like(p) if need else None
        for p, need in zip(inputs[2:], needed[2:], strict=True)
    )
    for m, i in _tiles(x, out):
        e = pullback(dy[m, i], y[m, i])
        rows, signal = x[m, i].flatten(0, 1), z[m]
        if dx is not None or dweight is not None:
            du = (e * gain[m].unsqueeze(1)).view(-1, out)
        if dx is not None:
            torch.mm(du, weight, out=dx[m, i].flatten(0, 1))
        if dweight is not None:
            dweight.addmm_(du.t(), rows)
        each = _total(e)
        if dz is not None or dweight_s is not None:
            dgain = _total(e * u[m, i])
        if dz is not None:
            dz[m].addmm_(dgain, weight_s).addmm_(each, weight_b)
        if dweight_s is not None:
            dweight_s.addmm_(dgain.t(), signal)
        if dweight_b is not None:
            dweight_b.addmm_(each.t(), signal)
        if dbias is not None:
            dbias += each.sum(0)
    return [dx, dz, dweight, dweight_s, dbias, dweight_b]


def _total(x: Tensor) -> Tensor:
    """The sum over the rows that share a signal."""
    return x.squeeze(1) if x.shape[1] == 1 else x.sum(1)


class ModulatedLinear(torch.nn.Module):
    """Dense layer of a neuromodulated net (Vecoven, Ernst, Wehenkel and Drion 2020): a signal z
    sets every unit's slope and offset.

        y = act((W x) (offset0 + W_s z) + b + W_b z)

    With offset0 = 1 and z = 0 it is an ordinary layer. offset0 = 0 and bias=False is the paper's
    form, y = act(z . (u w_s + w_b)) of u = W x, a row of W_s and W_b for each unit.

    Called ``(x, z)``: x (..., in_features), z (..., modulators) whose leading dimensions are the
    first of x's. For x (B,T,in) that is a signal for each step (B,T,k), for each sequence (B,k), or
    for all (k,). Returns (..., out_features).

    Args:
        modulators: k, the size of z.
        activation: "srelu" (default), min(1, max(-1, .)); "relu", "sigmoid", "tanh", or "none" for
            a head.
        offset0: 1 (default) or 0.
        bias: whether there is b.

    Gradients go to x, z and all parameters, any number of times. In float32 and float64, outside
    torch.compile, torch.func and autocast, the layer runs tile by tile, each in the cache; else in
    torch's operations, under autocast in those of its type, as torch.nn.Linear.

    state_dict, all but the bias normal with std 0.1, cut at two of them:
        weight (out, in), weight_s (out, k), weight_b (out, k): W, W_s, W_b.
        bias (out,), with bias: b, 0.

    Raises TypeError or ValueError that names the argument, what was got and what was expected.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        modulators: int,
        *,
        activation: str = "srelu",
        offset0: int = 1,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("in_features", in_features)
        self.out_features = integer("out_features", out_features)
        self.modulators = integer("modulators", modulators)
        self.activation = one_of("activation", activation, ACTIVATIONS)
        if integer("offset0", offset0, 0) > 1:
            raise ValueError(f"offset0 must be 0 or 1, got {offset0}")
        self.offset0 = offset0
        like = {"device": device, "dtype": dtype}
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features, **like))
        self.weight_s = torch.nn.Parameter(torch.empty(out_features, modulators, **like))
        with_bias = boolean("bias", bias)
        self.bias = torch.nn.Parameter(torch.empty(out_features, **like)) if with_bias else None
        self.weight_b = torch.nn.Parameter(torch.empty(out_features, modulators, **like))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for p in self.parameters():
            if p is self.bias:
                torch.nn.init.zeros_(p)
            else:
                torch.nn.init.trunc_normal_(p, std=0.1, a=-0.2, b=0.2)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(..., out_features) of x (..., in_features) under a signal z, whose first dimensions are
        x's and whose last is modulators."""
        self._check(x, z)
        leading, shared = x.shape[:-1], z.dim() - 1
        # (M,L,in) and (M,k): L rows of x share a row of z.
        rows = z.shape[:-1].numel()
        each = leading[shared:].numel()
        x, z = x.reshape(rows, each, self.in_features), z.reshape(rows, self.modulators)
        parameters = self.weight, self.weight_s, self.bias, self.weight_b
        args = (x, z, *parameters, self.offset0, self.activation)
        tensors = [t for t in args[:6] if t is not None]
        if is_transformed() or not _tiled(tensors):
            y = plain(*args)
        elif torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            y = _Modulated.apply(*args)
        else:
            y, _, _ = _forward(args, keep=False)
        return y.view(*leading, self.out_features)

    def _check(self, x: Tensor, z: Tensor) -> None:
        features = {"in_features": self.in_features, "modulators": self.modulators}
        for name, tensor, (of, size) in zip("xz", (x, z), features.items(), strict=True):
            arguments.tensor(name, tensor)
            if not tensor.dtype.is_floating_point:
                raise TypeError(f"{name} must be of a floating point type, got {tensor.dtype}")
            if tensor.dim() == 0 or tensor.shape[-1] != size:
                raise ValueError(
                    f"{name} must have shape (..., {of} = {size}), got {arguments.shape(tensor)}"
                )
        if x.shape[: z.dim() - 1] != z.shape[:-1] or z.dim() > x.dim():
            raise ValueError(
                f"z must have the first of x's dimensions, {arguments.shape(x)}, before its own, "
                f"got {arguments.shape(z)}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.in_features}, {self.out_features}, modulators={self.modulators}, "
            f"activation={self.activation!r}, offset0={self.offset0}, bias={self.bias is not None}"
        )


def _tiled(tensors: list[Tensor]) -> bool:
    """Whether these are what ``_forward`` takes: of one type, wide enough to add up tiles in."""
    first = tensors[0]
    return (
        first.dtype in (torch.float32, torch.float64)
        and all(t.dtype == first.dtype and t.device == first.device for t in tensors)
        and not torch.is_autocast_enabled(first.device.type)
    )
