"""Recurrent layers as one would have them on a CPU without this library, for the models' training.

A peer is a layer with the parameters of ours, whose scan is another's or which is torch's own. For
what is affine in its state: loops in numba, gates in torch before them where no loop has both; a
cumulative sum, where the state is one; torch.associative_scan under torch.compile. (The package
accelerated-scan is for GPUs alone.) For other cells: eight steps at a time under torch.compile. For
every cell the eager loop, as papers publish it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lrnn_kernels import nn
from lrnn_kernels.cell import Cell, Heaviside, Sign, magnitude
from lrnn_kernels.cells import fq_bmru, hysteresis, lru, min_gru

from . import peers

LOOP = "eager loop"
#: Steps that are compiled at once: more take longer to compile, and hardly less to run.
STEPS = 8
COMPILER = "inductor"  # of torch.compile

#: (streams (B,T,C), parameters, options, h0 (B,C) or None) -> y (B,T,C), the state.
Scan = Callable[[list[Tensor], list[Tensor], Mapping[str, Any], Tensor | None], Tensor]
#: (streams, parameters, options) -> a, b of h[t] = a[t] h[t-1] + b[t].
Gates = Callable[[list[Tensor], list[Tensor], Mapping[str, Any]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Peer:
    """Another implementation of a layer, by its name in tables; make(inputs, states) is one, batch
    first, with the parameters of ours by the same names."""

    name: str
    make: Callable[[int, int], torch.nn.Module]


def of(layer: type[nn.Recurrent]) -> Iterator[Peer]:
    """All that there are for a layer as it is built by default, the eager loop last."""
    name, one = layer.__name__, layer(1, 1)
    found = list(_scans(one.cell, one._scan_options()))
    if hasattr(torch.nn, name):
        yield Peer(f"torch.nn.{name}", partial(getattr(torch.nn, name), batch_first=True))
    elif not found and not one.cell.complex:
        found = [(f"torch.compile of {STEPS} steps", compiled_steps(one.cell))]
    for called, scan in found:
        yield Peer(called, partial(_with_scan, layer, scan))
    yield Peer(LOOP, partial(layer, batch_first=True, backend="reference"))


def _scans(row: Cell, options: Mapping[str, Any]) -> Iterator[tuple[str, Scan]]:
    """Whole sequences of a row without a loop in Python."""
    eps = options.get("eps", 0.0)
    if row in CUMULATIVE and eps == 1:
        yield "torch.cumsum", CUMULATIVE[row]
        return
    if row in LOOPS and eps == 0 and peers.numba is not None:
        yield "numba", LOOPS[row]
    elif row in GATES and eps == 0:
        if peers.numba is not None:
            yield "numba", _gated(GATES[row], lambda a, b, h0: _Linear.apply(a, b, h0))
        compiled = torch.compile(_gated(GATES[row], associative), backend=COMPILER, dynamic=False)
        yield "torch.associative_scan, compiled", compiled


def _with_scan(layer: type[nn.Recurrent], scan: Scan, inputs: int, states: int) -> nn.Recurrent:
    """A layer whose scan is another; for whole sequences without resets."""
    made = layer(inputs, states, batch_first=True)

    def run(drive: Tensor, p: Mapping[str, Tensor], *, h0: Tensor | None, **others) -> tuple:
        if others.get("reset") is not None or others.get("reverse"):
            raise ValueError("a peer runs whole sequences, forward and without resets")
        streams = made._streams(drive)
        if len(streams) == 1:
            streams = list(drive.chunk(len(made.cell.inputs), -1))
        y = scan(streams, made._scan_params(p), made._scan_options(), h0)
        y, last = y if isinstance(y, tuple) else (y, y[:, -1])
        return y, last

    made._scan = run
    return made


def compiled_steps(row: Cell) -> Scan:
    """A row's step in plain torch, several at a time in one graph."""

    def several(states, streams, params, options):
        outputs = []
        for inputs in zip(*(x.unbind(1) for x in streams), strict=True):
            states, y = row.step(states, *inputs, *params, **options)
            outputs.append(y)
        return states, torch.stack(outputs, 1)

    compiled = torch.compile(several, backend=COMPILER, dynamic=False)

    def scan(streams, params, options, h0):
        states = (streams[0].new_zeros(streams[0][:, 0].shape),) * len(row.states)
        states = states if h0 is None else h0.chunk(len(row.states), -1)
        outputs = []
        for piece in zip(*(x.split(STEPS, 1) for x in streams), strict=True):
            states, y = compiled(states, piece, params, options)
            outputs.append(y)
        return torch.cat(outputs, 1), torch.cat(states, -1)

    return scan


# What is affine in its state.


def _gated(gates: Gates, scan: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> Scan:
    return lambda streams, params, options, h0: scan(*gates(streams, params, options), h0)


def associative(a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
    from torch._higher_order_ops.associative_scan import associative_scan

    if h0 is not None:
        b = torch.cat([b[:, :1] + a[:, :1] * h0[:, None], b[:, 1:]], 1)
    return associative_scan(_combine, (a, b), dim=1, combine_mode="generic")[1]


def _combine(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return left[0] * right[0], left[1] * right[0] + right[1]


def _min_gru(streams, params, options) -> tuple[Tensor, Tensor]:
    k, v = streams
    z = torch.sigmoid(k)
    return 1 - z, z * v


def _first_quadrant(streams, params, options) -> tuple[Tensor, Tensor]:
    (x,), (low, high, alpha) = streams, params
    u = torch.relu(x)
    below = Heaviside.apply(low.expand_as(u), u, options["width"])
    above = Heaviside.apply(u, high.expand_as(u), options["width"])
    hold = (1 - below) * (1 - above)
    return hold, (1 - hold) * above * alpha


def _staircase(streams, params, options, h0) -> Tensor:
    """h[t] = h[t-1] + z[t] alpha S(c[t]); alpha is a stream or a parameter."""
    c, beta, alpha = (*streams, *params)
    z = Heaviside.apply(magnitude(c), magnitude(beta), options["width"])
    levels = (z * alpha * Sign.apply(c, options["width"])).cumsum(1)
    return levels if h0 is None else levels + h0[:, None]


# Loops in numba.


def _run(name: str, *tensors: Tensor) -> None:
    """A loop on as many threads as torch has, and those given back: numba shares OpenMP's state
    with torch, and leaves all cores in it."""
    threads = torch.get_num_threads()
    loop = peers.loops()[name]
    most = peers.numba.config.NUMBA_NUM_THREADS
    peers.numba.set_num_threads(min(threads, most))
    loop(*(x.detach().numpy() for x in tensors))
    torch.set_num_threads(threads)


def _start(h0: Tensor | None, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[0], x.shape[2]) if h0 is None else h0.contiguous()


class _Linear(torch.autograd.Function):
    """h[t] = a[t] h[t-1] + b[t]."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
        a, b, y = a.contiguous(), b.contiguous(), torch.empty_like(a)
        start = _start(h0, a)
        _run("linear_forward", a, b, start, y)
        ctx.save_for_backward(a, y, start)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor):
        a, y, start = ctx.saved_tensors
        da, db, dh0 = torch.empty_like(a), torch.empty_like(a), torch.empty_like(start)
        _run("linear_backward", a, y, start, dy.contiguous(), da, db, dh0)
        return da, db, dh0 if ctx.needs_input_grad[2] else None


class _Latch(torch.autograd.Function):
    """The BMRU of width 1."""

    @staticmethod
    def forward(ctx, c: Tensor, beta: Tensor, alpha: Tensor, h0: Tensor | None) -> Tensor:
        c, beta, start = c.contiguous(), beta.contiguous(), _start(h0, c)
        y = torch.empty_like(c)
        _run("bmru_forward", c, beta, alpha, start, y)
        ctx.save_for_backward(c, beta, alpha, y, start)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor):
        c, beta, alpha, y, start = ctx.saved_tensors
        dc, dbeta = torch.empty_like(c), torch.empty_like(c)
        dalpha, dh0 = torch.empty_like(start), torch.empty_like(start)
        read = (c, beta, alpha, y, start, dy.contiguous())
        _run("bmru_backward", *read, dc, dbeta, dalpha, dh0)
        return dc, dbeta, dalpha.sum(0), dh0 if ctx.needs_input_grad[3] else None


class _Rotations(torch.autograd.Function):
    """h[t] = lambda h[t-1] + u[t], complex in split storage, from zero."""

    @staticmethod
    def forward(ctx, u: Tensor, lam: Tensor) -> Tensor:
        u, y = u.contiguous(), torch.empty_like(u, memory_format=torch.contiguous_format)
        _run("lru_forward", u, lam, y)
        ctx.save_for_backward(lam, y)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor):
        lam, y = ctx.saved_tensors
        du, dlam = torch.empty_like(y), y.new_empty(y.shape[0], y.shape[2])
        _run("lru_backward", lam, y, dy.contiguous(), du, dlam)
        return du, dlam.sum(0)


def _latch(streams, params, options, h0) -> Tensor:
    return _Latch.apply(*streams, *params, h0)


def _rotations(streams, params, options, h0) -> Tensor:
    (lam,) = params
    return _Rotations.apply(*streams, torch.cat([lam.real, lam.imag]))


LOOPS: dict[Cell, Scan] = {hysteresis.BMRU: _latch, lru.LRU: _rotations}
GATES: dict[Cell, Gates] = {min_gru.MIN_GRU: _min_gru, fq_bmru.FQ_BMRU: _first_quadrant}
_ADDING = (hysteresis.BMRU, hysteresis.CMRU, hysteresis.ALPHA_CMRU)  # with eps = 1
CUMULATIVE: dict[Cell, Scan] = {row: _staircase for row in _ADDING}
