"""The cells, in one table: everything that dispatch, checks, tests and benchmarks need to know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .calls import reference

REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
COMPLEX = (torch.complex64, torch.complex128)


@dataclass(frozen=True)
class Cell:
    """One public operator.

    ``inputs`` are its (B,T,C) streams and ``params`` its (C,) vectors (or ``matrices``), in the order of its signature; ``states`` names
    what it carries from step to step. ``kernel`` names the compiled operator for given options (and whether resets are present);
    ``numbers`` turns options into the kernel's plain numbers.
    """

    name: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    step: Callable[..., tuple[tuple[torch.Tensor, ...], torch.Tensor]]
    kernel: Callable[[Mapping[str, Any], bool], str]
    options: Mapping[str, Any] = field(default_factory=dict)  # with their defaults
    numbers: Callable[[Mapping[str, Any]], list[float]] = lambda options: []
    dtypes: tuple[torch.dtype, ...] = REAL
    saves: Callable[[str], str] = lambda kernel: "y"  # what the kernel's backward pass reads: "y", "bits", "states" or "nothing"
    states: tuple[str, ...] = ("h",)
    sequential: bool = False  # a step cell: nonlinear in its states
    matrices: bool = False  # its parameters are (C,C) matrices
    differentiable_twice: bool = False

    @staticmethod
    def generic(kernel: str) -> str:
        """The kernel of the engine for any cell, where this one has an engine of its own."""
        return "hysteresis" if kernel == "bmru" else kernel


def _saves(kernel: str) -> str:
    return "bits" if kernel == "bmru" else "nothing" if kernel.startswith("cmru") else "y"


def _hysteresis(suffix: str) -> Callable[[Mapping[str, Any], bool], str]:
    def kernel(options: Mapping[str, Any], has_reset: bool) -> str:
        if isinstance(options["eps"], torch.Tensor):  # whose value is not known yet
            return "hysteresis" + suffix
        if options["eps"] == 1.0:
            return "cmru" + suffix
        # The last-write-wins engine saves one bit per element, which tells +alpha from -alpha: alpha must not change with time,
        # and the only other value a state may hold is h0.
        if options["eps"] == 0.0 and not suffix and not has_reset:
            return "bmru"
        return "hysteresis" + suffix

    return kernel


def _eps_width(options: Mapping[str, Any]) -> list[float]:
    return [options["width"]] if isinstance(options["eps"], torch.Tensor) else [options["eps"], options["width"]]


_HYSTERESIS = {"step": reference.affine(reference.hysteresis), "numbers": _eps_width, "saves": _saves}

#: Options of the SRC with the paper's constants.
SRC_OPTIONS = {
    "gradient": "detached",
    "leak": 0.9,
    "rho": 3.0,
    "r": 2.0,
    "r_s": -7.0,
    "z": 0.0,
    "z_hyp": 0.9,
    "z_dep": 0.0,
    "slope": 10.0,
    "midpoint": 0.5,
    "threshold": None,
    "surrogate": "atan",
    "width": 1.0,
    "memory": "states",  # or the number of steps between checkpoints
}


def _src_kernel(options: Mapping[str, Any], has_reset: bool) -> str:
    return "src" + ("" if options["threshold"] is None else "_spikes") + ("_detached" if options["gradient"] == "detached" else "")


def _src_numbers(options: Mapping[str, Any]) -> list[float]:
    constants = [options[name] for name in ("leak", "rho", "r", "r_s", "z", "z_hyp", "z_dep", "slope", "midpoint")]
    threshold = 0.0 if options["threshold"] is None else options["threshold"]
    surrogate = list(reference.SPIKE_SURROGATES).index(options["surrogate"])
    interval = 0 if options["memory"] == "states" else options["memory"]
    return [float(x) for x in (interval, *constants, threshold, options["width"], surrogate)]


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in [
        Cell(
            "linear_scan",
            ("a", "b"),
            (),
            reference.affine(reference.linear),
            lambda options, reset: "linear",
            dtypes=REAL + COMPLEX,
            differentiable_twice=True,
        ),
        Cell(
            "linear_scan_per_channel",
            ("b",),
            ("a",),
            reference.affine(lambda h, b, a: reference.linear(h, a, b)),
            lambda options, reset: "linear_per_channel",
            dtypes=REAL + COMPLEX,
            differentiable_twice=True,
        ),
        Cell(
            "lru",
            ("u",),
            ("lam",),
            reference.affine(reference.lru),
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
            reference.affine(reference.fq_bmru),
            lambda options, reset: "fq_bmru",
            options={"eps": 0.0, "width": 1.0},
            numbers=_eps_width,
        ),
        Cell(
            "min_gru",
            ("k", "v"),
            (),
            reference.affine(reference.min_gru),
            lambda options, reset: "min_gru_positive" if options["positive"] else "min_gru",
            options={"positive": False},
        ),
        Cell(
            "src",
            ("u",),
            ("bias",),
            reference.src,
            _src_kernel,
            options=SRC_OPTIONS,
            numbers=_src_numbers,
            saves=lambda kernel: "states",
            states=("i", "h", "h_s"),
            sequential=True,
        ),
        Cell("brc", ("p_a", "p_c", "p_h"), ("w_a", "w_c"), reference.brc, lambda options, reset: "brc", sequential=True),
        Cell(
            "nbrc",
            ("p_a", "p_c", "p_h"),
            ("w_a", "w_c"),
            reference.nbrc,
            lambda options, reset: "nbrc",
            numbers=lambda options: [0.0],  # states of every step are saved
            saves=lambda kernel: "states",
            sequential=True,
            matrices=True,
        ),
    ]
}
