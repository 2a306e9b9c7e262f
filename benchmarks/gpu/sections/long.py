"""More than 2^31 elements: offsets of 64 bits, along time and along the batch."""

from __future__ import annotations

import torch

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS

from ...measure import inputs
from ...measure.traffic import OPS, Op
from .. import shapes
from ..place import Limit, Place

TIME, BATCH = "time", "batch"
#: Elements of a sequence, and of a batch of short ones: just more than 2^31.
LONG, WIDE = ((1, (1 << 21) + 1, 1024), ((1 << 16) + 1, 32, 1024))
#: Of cells with matrices, which are wide at most.
WIDE_MATRIX = ((1 << 18) + 1, 32, 256)
SMALL = {TIME: (1, 131, 8), BATCH: (67, 3, 8)}
TAIL = 64  # steps
ROWS = 2  # of the batch that are compared


def units(place: Place) -> list[tuple] | str:
    """("time", backend), and ("batch", backend, cell), one cell of each engine."""
    batches = [
        (BATCH, backend, row.name)
        for row in shapes.one_of_each_engine()
        for backend in place.backends
        if testing.serves(backend, row.kernels[0])
    ]
    return [*((TIME, backend) for backend in place.backends), *place.pick(batches, batches[:1])]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits the largest errors; or how much memory is needed, where there is less."""
    what, backend, *cell = unit
    row = CELLS[cell[0]] if cell else _linear().row
    full = LONG if what == TIME else WIDE_MATRIX if row.matrices else WIDE
    shape = place.pick(full, SMALL[what])
    needed = bytes_needed(row, shape)
    free = place.free_bytes()
    about = {"operator": row.name, "backend": backend, "along": what, "shape": shape}
    if free < needed:
        why = f"{needed / 2**30:.0f} GiB of free memory are needed, {free / 2**30:.0f} are there"
        emit(**about, left_out=why, text=f"{row.name}, {backend}, {what}: {why}")
        return
    errors = (along_time if what == TIME else along_batch)(row.name, shape, backend, place.device)
    failed = {name: e for name, e in errors.items() if not e <= 1.0}
    why = {"failed": f"{', '.join(failed)} off by more than is allowed"} if failed else {}
    said = ", ".join(f"{name} {e:.2f}" for name, e in errors.items())
    text = f"{row.name} {list(shape)}, {backend}: errors by what is allowed: {said}"
    emit(**about, errors_by_allowed=errors, **why, text=text)


def bytes_needed(row, shape) -> int:
    """Inputs and gradients of 16-bit numbers, y and dy, and what may be saved in float32."""
    streams = 2 * len(row.inputs) + 2
    states = 0 if not row.sequential else 4 * len(row.states)
    return int(shape[0] * shape[1] * shape[2] * (2 * streams + 2 * states) * 1.1)


def _linear() -> Op:
    return next(op for op in OPS.values() if op.kernel.name == op.kernel.linear)


def along_time(cell: str, shape, backend: str, device: str) -> dict[str, float]:
    """One sequence of a = 1/2: its end, and the beginning of its gradient, are those of a short
    one. What is older than 64 steps is gone."""
    C = shape[2]
    function = CELLS[cell].function
    b = _filled(torch.randn(1 << 20), shape, device).requires_grad_()
    dy = _filled(torch.randn((1 << 20) - 1), shape, device)
    a = torch.full((C,), 0.5, device=device)
    y, _ = function(a, b, backend=backend)
    (db,) = torch.autograd.grad(y, b, dy)
    expected, _ = function(a.double(), b[:, -2 * TAIL :].detach().double(), backend="reference")
    flow, _ = function(a.double(), dy[:, : 2 * TAIL].double(), reverse=True, backend="reference")
    allowed = 0.05  # half a bfloat16 step at values below 8 is 0.016
    return {
        "y": (y[:, -TAIL:] - expected[:, -TAIL:]).abs().max().item() / allowed,
        "d_b": (db[:, :TAIL] - flow[:, :TAIL]).abs().max().item() / allowed,
    }


def along_batch(cell: str, shape, backend: str, device: str) -> dict[str, float]:
    """Sequences that know nothing of each other: the first and the last are those of a call of
    their own, gradients of streams included."""
    B, T, C = shape
    row = CELLS[cell]
    options = testing.variants(cell)[0]  # constants that amplify no rounding
    small = testing.random_call(cell, 64, T, C, dtype=torch.bfloat16, options=options, h0=False)
    streams = [_filled(x.flatten(), shape, device).requires_grad_() for x in small.inputs]
    dy = _filled(small.dy.flatten(), shape, device)
    params = [p.to(device) for p in small.params]
    given = dict(zip((*row.inputs, *row.params), (*streams, *params), strict=True))
    y, _ = row.function(**given, **testing.accepted(cell, options), backend=backend)
    gradients = torch.autograd.grad(y, streams, dy)
    errors: dict[str, float] = {}
    for rows in (slice(0, ROWS), slice(B - ROWS, B)):
        mine = [x[rows].detach().clone() for x in streams]
        call = testing.Call(
            cell, tuple(mine), tuple(params), options, dy[rows].clone(), dh_last=None
        )
        expected = testing.run(call.to("cpu").double(), "reference")
        got = {"y": y[rows]}
        got |= {f"d_{n}": g[rows] for n, g in zip(row.inputs, gradients, strict=True)}
        for name, x in got.items():
            error = testing.relative_error(x, expected[name]) / testing.tolerance(name, call)
            errors[name] = max(error, errors.get(name, 0.0))
    return errors


def _filled(piece: torch.Tensor, shape, device: str) -> torch.Tensor:
    """A large tensor of a small one's numbers, again and again."""
    B, T, C = shape
    values = torch.empty(B * T * C, dtype=torch.bfloat16, device=device)
    return inputs.fill(values, piece[: len(values)].to(device, torch.bfloat16)).view(B, T, C)
