"""The cells, in one table: everything that dispatch, checks, tests and benchmarks need to know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from . import reference

REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
COMPLEX = (torch.complex64, torch.complex128)


@dataclass(frozen=True)
class Cell:
    """One public operator.

    ``inputs`` are its (B,T,C) streams and ``params`` its (C,) vectors, in the order of its signature. ``kernel`` names the compiled
    operator for given options (and whether resets are present); ``numbers`` turns options into the kernel's plain numbers.
    """

    name: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    step: Callable[..., torch.Tensor]
    kernel: Callable[[Mapping[str, Any], bool], str]
    options: Mapping[str, Any] = field(default_factory=dict)  # with their defaults
    numbers: Callable[[Mapping[str, Any]], list[float]] = lambda options: []
    dtypes: tuple[torch.dtype, ...] = REAL
    saves: Callable[[str], str] = lambda kernel: "states"  # what the kernel's backward pass reads: "states", "bits" or "nothing"
    differentiable_twice: bool = False


def _saves(kernel: str) -> str:
    return "bits" if kernel == "bmru" else "nothing" if kernel.startswith("cmru") else "states"


def _hysteresis(suffix: str) -> Callable[[Mapping[str, Any], bool], str]:
    def kernel(options: Mapping[str, Any], has_reset: bool) -> str:
        if options["eps"] == 1.0:
            return "cmru" + suffix
        # The last-write-wins engine saves one bit per element, which tells +alpha from -alpha: alpha must not change with time,
        # and the only other value a state may hold is h0.
        if options["eps"] == 0.0 and not suffix and not has_reset:
            return "bmru"
        return "hysteresis" + suffix

    return kernel


def _eps_width(options: Mapping[str, Any]) -> list[float]:
    return [options["eps"], options["width"]]


_HYSTERESIS = {"step": reference.hysteresis, "numbers": _eps_width, "saves": _saves}

CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in [
        Cell(
            "linear_scan",
            ("a", "b"),
            (),
            reference.linear,
            lambda options, reset: "linear",
            dtypes=REAL + COMPLEX,
            differentiable_twice=True,
        ),
        Cell(
            "linear_scan_per_channel",
            ("b",),
            ("a",),
            lambda h, b, a: reference.linear(h, a, b),
            lambda options, reset: "linear_per_channel",
            dtypes=REAL + COMPLEX,
            differentiable_twice=True,
        ),
        Cell(
            "lru",
            ("u",),
            ("lam",),
            reference.lru,
            lambda options, reset: "linear_per_channel",
            dtypes=COMPLEX,
            differentiable_twice=True,
        ),
        Cell("bmru", ("c", "beta"), ("alpha",), kernel=_hysteresis(""), options={"eps": 0.0, "width": 1.0}, **_HYSTERESIS),
        Cell("cmru", ("c", "beta"), ("alpha",), kernel=_hysteresis(""), options={"eps": 1.0, "width": 1.0}, **_HYSTERESIS),
        Cell(
            "alpha_bmru",
            ("c", "beta", "alpha"),
            (),
            kernel=_hysteresis("_per_step"),
            options={"eps": 0.0, "width": 1.0},
            **_HYSTERESIS,
        ),
        Cell(
            "alpha_cmru",
            ("c", "beta", "alpha"),
            (),
            kernel=_hysteresis("_per_step"),
            options={"eps": 1.0, "width": 1.0},
            **_HYSTERESIS,
        ),
        Cell(
            "fq_bmru",
            ("x",),
            ("beta_lo", "beta_hi", "alpha"),
            reference.fq_bmru,
            lambda options, reset: "fq_bmru",
            options={"eps": 0.0, "width": 1.0},
            numbers=_eps_width,
        ),
        Cell(
            "min_gru",
            ("k", "v"),
            (),
            reference.min_gru,
            lambda options, reset: "min_gru_positive" if options["positive"] else "min_gru",
            options={"positive": False},
        ),
    ]
}
