"""A random call of a cell: its tensors, its run, its gradients."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..backends import choose
from ..calls.run import run as run_cell
from ..cell import Cell, Kernel, carry_dtype
from ..cells import CELLS
from .draw import Draw, anything

#: The types in which references are computed.
WIDER = {torch.complex64: torch.complex128, torch.complex128: torch.complex128}


@dataclass(frozen=True)
class Call:
    """A call of one cell with everything that it and its backward pass take."""

    cell: str
    inputs: tuple[Tensor, ...]  # [B, T, C] each; one tensor where packed
    params: tuple[Tensor, ...]
    options: Mapping[str, Any]
    dy: Tensor | None
    dh_last: Tensor | None
    h0: Tensor | None = None
    reset: Tensor | None = None
    h_reset: Tensor | None = None
    reverse: bool = False
    packed: bool = False

    @property
    def dtype(self) -> torch.dtype:
        return self.inputs[0].dtype

    @property
    def entry(self) -> Cell:
        return CELLS[self.cell]

    @property
    def kernel(self) -> Kernel:
        """The compiled operator that serves this call."""
        return self.entry.kernel(self.options, self.reset is not None)

    @property
    def channels(self) -> int:
        """The width of y."""
        return self.inputs[0].shape[2] // (len(self.entry.inputs) if self.packed else 1)

    def map(self, change) -> Call:
        """The same call with every floating point tensor changed."""

        def one(x: Tensor | None) -> Tensor | None:
            return None if x is None else change(x)

        return replace(
            self,
            inputs=tuple(map(one, self.inputs)),
            params=tuple(map(one, self.params)),
            **{name: one(getattr(self, name)) for name in ("dy", "dh_last", "h0", "h_reset")},
        )

    def double(self) -> Call:
        """The same numbers in float64 or complex128."""
        return self.map(lambda x: x.to(WIDER.get(x.dtype, torch.float64)))

    def to(self, device: torch.device | str) -> Call:
        moved = self.map(lambda x: x.to(device))
        return replace(moved, reset=None if self.reset is None else self.reset.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """Everything that gets a gradient, by name."""
        names = ("packed",) if self.packed else self.entry.inputs
        named = {
            **dict(zip(names, self.inputs, strict=True)),
            **dict(zip(self.entry.params, self.params, strict=True)),
        }
        return named | {
            name: x for name in ("h0", "h_reset") if (x := getattr(self, name)) is not None
        }

    def apply(
        self, backend: str = "auto", process_group: Any = None, **tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Runs the call, through the public function where there is one; tensors replace the
        call's own by name."""
        given = self.tensors() | tensors
        states = {"h0": given.pop("h0", None), "h_reset": given.pop("h_reset", None)}
        states |= {"reset": self.reset, "reverse": self.reverse, "backend": backend}
        states |= {"process_group": process_group}
        rows = any(x.dim() == 2 for x in self.params) and not self.entry.matrices
        if self.packed or rows:  # layers and vmap reach these, public functions need not
            streams = [given[name] for name in (("packed",) if self.packed else self.entry.inputs)]
            params = [given[name] for name in self.entry.params]
            return run_cell(self.entry, streams, params, self.options, packed=self.packed, **states)
        return public(self.cell)(**given, **accepted(self.cell, self.options), **states)


def public(cell: str, suffix: str = ""):
    """The public function of a cell, its states side by side if there are several; suffix
    "_step" for its streaming form."""
    row = CELLS[cell]
    function, count = row.streaming if suffix else row.function, len(row.states)
    return function if count == 1 else _side_by_side(function, count)


def _side_by_side(function, count: int):
    """A function of a tuple of states as one of a single tensor, under the names of one-state
    functions."""

    @functools.wraps(function)
    def call(
        *args,
        h: Tensor | None = None,
        h0: Tensor | None = None,
        h_reset: Tensor | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor]:
        state = h0 if h is None else h
        parts = {"state": state, "h_reset": h_reset}
        y, last = function(
            *args,
            **{name: x.chunk(count, -1) for name, x in parts.items() if x is not None},
            **kwargs,
        )
        return y, torch.cat(last, -1)

    return call


def accepted(cell: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the public function takes: a cell may be one with an option fixed, as
    CMRU is BMRU with eps = 1."""
    parameters = inspect.signature(public(cell)).parameters
    fixed = {name: x for name, x in options.items() if name not in parameters}
    if any(CELLS[cell].options[name] != x for name, x in fixed.items()):
        raise ValueError(f"{cell} has no option {', '.join(fixed)}")
    return {name: x for name, x in options.items() if name in parameters}


def variants(cell: str) -> list[dict[str, Any]]:
    """The option sets that reach each of a cell's kernels and each branch of its formulas."""
    row = CELLS[cell]
    return [{**row.options, **options} for options in row.variants]


def serves(backend: str, kernel: Kernel, channels: int = 0) -> bool:
    """Whether a backend that runs here has this kernel, for so many channels."""
    return not choose.unserved(backend, kernel, channels)


def random_call(
    cell: str,
    B: int = 2,
    T: int = 67,
    C: int = 37,
    *,
    dtype: torch.dtype = torch.float32,
    options: Mapping[str, Any] | None = None,
    h0: bool = True,
    reset: bool = False,
    h_reset: str | None = "shared",
    reverse: bool = False,
    packed: bool = False,
    split: bool = False,
    per_batch: bool = False,
    seed: int = 0,
) -> Call:
    """A call whose float64 and narrower results differ by rounding only.

    Comparisons in the cells are between stored numbers, so every type takes the same branches, ties
    included: some are planted. h_reset: "shared" (C,), "per_batch" (B,C), or None; used where reset
    is set. per_batch gives parameters the shape (B,C).
    """
    entry = CELLS[cell]
    generator = torch.Generator().manual_seed(seed)
    complex_values = dtype.is_complex or split
    draw = Draw(generator, B, T, C, complex_values)
    inputs, params = (entry.draw or anything)(draw, entry)
    if per_batch and not entry.matrices:
        params = [p * (1 - draw((B, 1), 0.0, 0.2, sign=False).to(p.dtype)) for p in params]
    carry = carry_dtype(dtype)
    states = len(entry.states)
    width = states * (2 * C if split else C)
    # 16-bit values are rounded before they become the call's own: the reference then starts from
    # the very same numbers.
    store = (
        (lambda x: torch.cat([x.real, x.imag], -1).to(dtype)) if split else (lambda x: x.to(dtype))
    )
    hold = (
        (lambda x: torch.cat([x.real, x.imag], -1).to(carry)) if split else (lambda x: x.to(carry))
    )
    param_dtype = (
        {torch.float32: torch.complex64, torch.float64: torch.complex128}[carry] if split else carry
    )
    streams = [store(x) for x in inputs]
    streams = [torch.cat(streams, -1)] if packed else streams
    mask = torch.rand(B, T, generator=generator) < 0.1 if reset else None
    if reset and T > 1 and B > 0:
        mask[0, 0] = mask[-1, -1] = True  # the first and the last step: where ends and resets meet
    shape = {"shared": (states * C,), "per_batch": (B, states * C)}.get(h_reset)
    return Call(
        cell=cell,
        inputs=tuple(streams),
        params=tuple(p.to(param_dtype) for p in params),
        options=dict(entry.options if options is None else options),
        dy=store(draw.normal((B, T, C))),
        dh_last=hold(draw.normal((B, states * C))).reshape(B, width),
        h0=hold(draw.normal((B, states * C))) if h0 else None,
        reset=mask,
        h_reset=hold(draw.normal(shape)) if reset and shape is not None else None,
        reverse=reverse,
        packed=packed,
    )


def run(
    call: Call, backend: str = "auto", *, gradients: bool = True, process_group: Any = None
) -> dict[str, Tensor]:
    """y and h_last, and the gradients of all that the call takes as d_NAME, from dy and dh_last
    together."""
    leaves = {name: x.detach().requires_grad_(gradients) for name, x in call.tensors().items()}
    y, h_last = call.apply(backend, process_group, **leaves)
    result = {"y": y.detach(), "h_last": h_last.detach()}
    if gradients:
        pairs = [
            (out, dout)
            for out, dout in ((y, call.dy), (h_last, call.dh_last))
            if dout is not None and out.requires_grad
        ]
        outputs, given = zip(*pairs, strict=True) if pairs else ((), ())
        grads = torch.autograd.grad(outputs, list(leaves.values()), given, materialize_grads=True)
        result |= {"d_" + name: grad for name, grad in zip(leaves, grads, strict=True)}
    return result


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block, torch runs on this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
