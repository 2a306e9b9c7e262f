"""How far a result may be from the float64 reference: the reasons are in the package's
docstring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cell import carry_dtype
from .calls import WIDER, Call, run

#: Roundings per step times amplification; see the module.
VALUE_FACTOR, GRADIENT_FACTOR = 32, 128
#: Of the unit roundoff of 16-bit storage.
HALF_VALUE_FACTOR, HALF_GRADIENT_FACTOR = 1, 4

HALVES = (torch.bfloat16, torch.float16)


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
    exact_states = (
        ("h_last",)
        if call.entry.sequential and call.kernel.saves == "y"
        else ("h_last", "d_h0", "d_h_reset")
    )
    if call.dtype in HALVES and name not in exact_states:
        allowed += (HALF_GRADIENT_FACTOR if gradient else HALF_VALUE_FACTOR) * unit_roundoff(
            call.dtype
        )
    return allowed


def unit_roundoff(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2


def relative_error(got: Tensor, expected: Tensor, floor: float = 0.0) -> float:
    """max |got - expected| / max |expected|; infinite where shapes or non-finite elements
    differ."""
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
    return (
        difference / scale if difference else 0.0
    )  # against a reference of zeros any difference is infinite


def compare(call: Call, got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[Error]:
    """The error of every tensor of a call's result."""
    if got.keys() != expected.keys():
        raise ValueError(
            f"results hold different tensors: {', '.join(got)} and {', '.join(expected)}"
        )
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
