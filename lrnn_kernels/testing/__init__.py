"""Helpers for tests of these operators, here and in packages that build on them: a random call, its gradients, its allowed error.

call = testing.random_call("bmru", dtype=torch.bfloat16, reset=True)
assert all(error.ok for error in testing.check_call(call, "cpu"))

Tolerances. An error is the largest difference to the float64 reference, relative to the largest magnitude of that tensor. It is allowed a
small multiple of u, the unit roundoff of the state type. Random calls keep |a| <= 7/8, so that the rounding of one step is amplified by
at most 1/(1-|a|) = 8:

    values      32 u: 4 roundings a step (those of the gate, a product, a sum), times 8
    gradients  128 u: a product of two such sequences, states and adjoints; and float32 sums of 64 steps for parameters
    eps = 1    T/8 u more: with a = 1 nothing damps, and T steps that add the same alpha round T times, mostly the same way
    16 bit     1 u of the 16-bit type more for y, which is rounded once when stored, and 4 u for gradients of streams and parameters,
               which read the rounded y, may subtract it from a value of its size, and are rounded themselves; states and their
               gradients are carried in float32 and get nothing more, unless a nonlinear cell reads its states from the rounded y: its
               adjoints then pass through factors that depend on them

The SRC with the paper's constants is no case for a tolerance: it amplifies rounding by any factor in single lanes, so random calls have
gentler ones (``draws.GENTLE_SRC``), and the paper's are compared with torch's own float32 by quantiles over many lanes (tests/test_src.py).

A parameter's gradient sums B T terms of either sign: its error is relative to the root of their number at least, because the sum may
cancel while its rounding does not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import affine, step
from ..backends import choose
from ..calls.reference import SPIKE_SURROGATES, carry_dtype
from ..calls.run import run as run_cell
from ..registry import CELLS, Cell
from .draw import DRAWS, GENTLE_SRC, Draw, anything

#: Roundings per step times amplification; see the module.
VALUE_FACTOR, GRADIENT_FACTOR = 32, 128
#: Of the unit roundoff of 16-bit storage.
HALF_VALUE_FACTOR, HALF_GRADIENT_FACTOR = 1, 4

WIDER = {torch.complex64: torch.complex128, torch.complex128: torch.complex128}
HALVES = (torch.bfloat16, torch.float16)


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
    def kernel(self) -> str:
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
        named = {**dict(zip(names, self.inputs, strict=True)), **dict(zip(self.entry.params, self.params, strict=True))}
        return named | {name: x for name in ("h0", "h_reset") if (x := getattr(self, name)) is not None}

    def apply(self, backend: str = "auto", **tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the call, through the public function where there is one; tensors replace the call's own by name."""
        given = self.tensors() | tensors
        states = {"h0": given.pop("h0", None), "h_reset": given.pop("h_reset", None)}
        states |= {"reset": self.reset, "reverse": self.reverse, "backend": backend}
        rows = any(x.dim() == 2 for x in self.params) and not self.entry.matrices
        if self.packed or rows:  # layers and vmap reach these, public functions need not
            streams = [given[name] for name in (("packed",) if self.packed else self.entry.inputs)]
            params = [given[name] for name in self.entry.params]
            return run_cell(self.cell, streams, params, self.options, packed=self.packed, **states)
        return public(self.cell)(**given, **accepted(self.cell, self.options), **states)


#: Cells that share a public function with another, which tells them apart by shape.
_PUBLIC = {"linear_scan_per_channel": "linear_scan", "alpha_bmru": "bmru", "alpha_cmru": "cmru"}


def public(cell: str, suffix: str = ""):
    """The public function of a cell, its states side by side if there are several; suffix "_step" for its streaming form."""
    name = _PUBLIC.get(cell, cell) + suffix
    function = getattr(affine, name, None) or getattr(step, name)
    count = len(CELLS[cell].states)
    return function if count == 1 else _side_by_side(function, count)


def _side_by_side(function, count: int):
    """A function of a tuple of states as one of a single tensor, under the names of one-state functions."""

    @functools.wraps(function)
    def call(*args, h: Tensor | None = None, h0: Tensor | None = None, h_reset: Tensor | None = None, **kwargs) -> tuple[Tensor, Tensor]:
        state = h0 if h is None else h
        parts = {"state": state, "h_reset": h_reset}
        y, last = function(*args, **{name: x.chunk(count, -1) for name, x in parts.items() if x is not None}, **kwargs)
        return y, torch.cat(last, -1)

    return call


def accepted(cell: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the public function takes: a cell may be one with an option fixed, as CMRU is BMRU with eps = 1."""
    parameters = inspect.signature(public(cell)).parameters
    fixed = {name: x for name, x in options.items() if name not in parameters}
    if any(CELLS[cell].options[name] != x for name, x in fixed.items()):
        raise ValueError(f"{cell} has no option {', '.join(fixed)}")
    return {name: x for name, x in options.items() if name in parameters}


def variants(cell: str) -> list[dict[str, Any]]:
    """The option sets that reach each of a cell's kernels and each branch of its formulas."""
    defaults = dict(CELLS[cell].options)
    found = [defaults]
    if "eps" in defaults and "eps" in inspect.signature(public(cell)).parameters:
        found += [{**defaults, "eps": 0.5, "width": 0.7}]
        found += [{**defaults, "eps": 1.0}] if cell == "fq_bmru" else []
    if "positive" in defaults:
        found += [{**defaults, "positive": True}]
    if cell == "src":
        gentle = {**defaults, **GENTLE_SRC}
        found = [{**gentle, "gradient": gradient, "threshold": t} for gradient in ("detached", "full") for t in (None, 0.5)]
        found += [{**gentle, "gradient": "full", "memory": 5}]
        found += [{**found[3], "surrogate": name} for name in SPIKE_SURROGATES if name != defaults["surrogate"]]
    return found


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

    Comparisons in the cells are between stored numbers, so every type takes the same branches, ties included: some are planted.
    h_reset: "shared" (C,), "per_batch" (B,C), or None; used where reset is set. per_batch gives parameters the shape (B,C).
    """
    entry = CELLS[cell]
    generator = torch.Generator().manual_seed(seed)
    complex_values = dtype.is_complex or split
    draw = Draw(generator, B, T, C, complex_values)
    inputs, params = DRAWS.get(entry.kernel({**entry.options}, False), anything)(draw, entry)
    if per_batch and not entry.matrices:
        params = [p * (1 - draw((B, 1), 0.0, 0.2, sign=False).to(p.dtype)) for p in params]
    carry = carry_dtype(dtype)
    states = len(entry.states)
    width = states * (2 * C if split else C)
    # 16-bit values are rounded before they become the call's own: the reference then starts from the very same numbers.
    store = (lambda x: torch.cat([x.real, x.imag], -1).to(dtype)) if split else (lambda x: x.to(dtype))
    hold = (lambda x: torch.cat([x.real, x.imag], -1).to(carry)) if split else (lambda x: x.to(carry))
    param_dtype = {torch.float32: torch.complex64, torch.float64: torch.complex128}[carry] if split else carry
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


def run(call: Call, backend: str = "auto", *, gradients: bool = True) -> dict[str, Tensor]:
    """y and h_last, and the gradients of all that the call takes as d_NAME, from dy and dh_last together."""
    leaves = {name: x.detach().requires_grad_(gradients) for name, x in call.tensors().items()}
    y, h_last = call.apply(backend, **leaves)
    result = {"y": y.detach(), "h_last": h_last.detach()}
    if gradients:
        pairs = [(out, dout) for out, dout in ((y, call.dy), (h_last, call.dh_last)) if dout is not None and out.requires_grad]
        outputs, given = zip(*pairs, strict=True) if pairs else ((), ())
        grads = torch.autograd.grad(outputs, list(leaves.values()), given, materialize_grads=True)
        result |= {"d_" + name: grad for name, grad in zip(leaves, grads, strict=True)}
    return result


@dataclass(frozen=True)
class Error:
    """How far one tensor of a result is from the reference, and how far it may be."""

    name: str
    error: float
    allowed: float
    is_gradient: bool

    @property
    def ok(self) -> bool:
        return self.error <= self.allowed

    @property
    def share(self) -> float:
        """The error as a share of what is allowed."""
        return self.error / self.allowed


def tolerance(name: str, call: Call) -> float:
    """The allowed error of y, h_last or d_NAME of a call; see the module for the reasons."""
    gradient = name.startswith("d_")
    factor = GRADIENT_FACTOR if gradient else VALUE_FACTOR
    if call.options.get("eps") == 1.0:
        factor += call.inputs[0].shape[1] / 8
    allowed = factor * unit_roundoff(carry_dtype(call.dtype))
    exact_states = ("h_last",) if call.entry.sequential and call.entry.saves(call.kernel) == "y" else ("h_last", "d_h0", "d_h_reset")
    if call.dtype in HALVES and name not in exact_states:
        allowed += (HALF_GRADIENT_FACTOR if gradient else HALF_VALUE_FACTOR) * unit_roundoff(call.dtype)
    return allowed


def unit_roundoff(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2


def relative_error(got: Tensor, expected: Tensor, floor: float = 0.0) -> float:
    """max |got - expected| / max |expected|; infinite where shapes or non-finite elements differ."""
    if got.shape != expected.shape:
        return float("inf")
    if expected.numel() == 0:
        return 0.0
    wide = WIDER.get(expected.dtype, torch.float64)
    got, expected = got.detach().to(wide).cpu(), expected.detach().to(wide).cpu()
    finite = expected.isfinite()
    if not torch.equal(got.isfinite(), finite) or not torch.equal(got.isnan(), expected.isnan()):
        return float("inf")
    difference = torch.where(finite, got - expected, 0).abs().max().item()
    scale = max(torch.where(finite, expected, 0).abs().max().item(), floor)
    return difference / scale if difference else 0.0  # against a reference of zeros any difference is infinite


def compare(call: Call, got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[Error]:
    """The error of every tensor of a call's result."""
    if got.keys() != expected.keys():
        raise ValueError(f"results hold different tensors: {', '.join(got)} and {', '.join(expected)}")
    B, T, _ = expected["y"].shape
    errors = []
    for name, reference in expected.items():
        is_sum = name.removeprefix("d_") in call.entry.params
        error = relative_error(got[name], reference, floor=float(B * T) ** 0.5 if is_sum else 0.0)
        errors.append(Error(name, error, tolerance(name, call), name.startswith("d_")))
    return errors


def worst(errors: list[Error]) -> Error:
    """The error that takes the largest share of what it is allowed."""
    return max(errors, key=lambda error: error.share)


def check_call(call: Call, backend: str = "auto", *, gradients: bool = True) -> list[Error]:
    """Runs a call and its float64 reference and compares everything."""
    got = run(call, backend, gradients=gradients)
    expected = run(call.to("cpu").double(), "reference", gradients=gradients)
    return compare(call, got, expected)


def bits_equal(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors are the same bit for bit, up to the sign of zero."""
    return x.dtype == y.dtype and x.shape == y.shape and torch.equal(x, y)


def backends() -> dict[str, str]:
    """Every backend by name: "" if it runs on this machine, else why not."""
    found = {}
    for name in choose.BACKENDS:
        if name in ("auto", "reference"):
            continue
        try:
            choose.choose(name, torch.device(device_of(name)))
            found[name] = ""
        except (RuntimeError, ValueError) as error:
            found[name] = str(error)
    return found


def serves(backend: str, kernel: str, channels: int = 0) -> bool:
    """Whether a backend that runs here has this kernel, for so many channels."""
    return not choose.unserved(backend, kernel, channels)


def device_of(backend: str) -> str:
    """The device whose tensors a backend runs."""
    return "cpu" if backend in ("cpu", "reference") or not torch.cuda.is_available() else "cuda"


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block, torch runs on this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
