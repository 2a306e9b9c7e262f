"""What a recurrence is to all that runs, checks, tests and measures one. Nothing here knows a
recurrence.

A recurrence is a file in cells/: its rows (``Cell``) say what it is in Python, the ``Kernel``s of
its rows what it is in C++, CUDA and Triton.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch
from torch import Tensor

from .options import Varying

REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
COMPLEX = (torch.complex64, torch.complex128)

#: What kernels are made of, as csrc/cells/list.h names it: h[t] = a[t] h[t-1] + b[t], cut in time
#: where that helps; the same of a cell that copies values and saves bits; step by step; step by
#: step with matrix products.
ENGINES = ("affine", "latch", "step", "matrix")

#: What the name of an operator ends with that makes its inputs from x, a weight and a bias.
DRIVEN = "_driven"


def carry_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of states and parameters: float32 for 16-bit inputs, else the inputs' own."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


@dataclass(frozen=True, eq=False)
class Kernel:
    """One compiled operator: a line of csrc/cells/list.h."""

    name: str
    streams: int
    engine: str = "affine"
    states: int = 1
    saves: str = (
        "y"  # what its backward pass reads: "y", "bits", "states" (saved ones) or "nothing"
    )
    saved: int = 0  # where that is "states": values per channel and step
    #: Of the matrix engine: how many (C,C) each of the first parameters holds.
    blocks: tuple[int, ...] = ()
    reads: tuple[str, ...] = ()  # the streams that its backward pass reads, beside dy
    generic: Kernel | None = None  # does the same in another engine, where a backend lacks this one
    varying: Varying | None = None  # its first number, where there is a form that takes a tensor
    linear: str = ""  # of a linear scan: the kernel in which its derivatives are, linear scans too

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"{self.name}: no engine is called {self.engine!r}")

    @property
    def driven(self) -> str:
        """The operator that takes the product of its inputs, too; "" where there is none."""
        return self.name + DRIVEN if self.engine == "matrix" and not self.reads else ""

    @property
    def checkpoints(self) -> bool:
        """Whether its first number is K: the states before every K-th step are saved, or, of 0, the
        values of every step."""
        return self.engine == "step" and self.saves == "states"


@dataclass(frozen=True, eq=False)
class Cell:
    """One recurrence in one form: what its public function runs, or one of two where shapes decide.

    ``inputs`` are its (B,T,C) streams and ``params`` its (C,) vectors, or matrices before them, in
    the order in which ``step`` and the kernels take them; ``states`` names what it carries from
    step to step.
    """

    name: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    _: KW_ONLY
    summary: str = ""  # its equation in a line, h' the state before, for tables
    #: One step, as one reads it: step(states', *inputs, *params, **options) -> (states, y).
    step: Callable[..., tuple[tuple[Tensor, ...], Tensor]]
    kernels: tuple[Kernel, ...]  # all that ``kernel`` may name
    #: The public function and its form for one step.
    function: Callable[..., Any]
    streaming: Callable[..., Any]
    #: The kernel for given options, and whether resets are present; by default the only one.
    kernel: Callable[[Mapping[str, Any], bool], Kernel] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # with their defaults
    #: The public function's options, by name, as options of the cell: checked.
    check: Callable[..., Mapping[str, Any]] = dict
    #: The public function's arguments other than states, resets, direction and backend, by name, as
    #: (row, inputs, params, options): where two rows share a function, this tells them apart; and
    #: where one may be left out, what it then is.
    arguments: Callable[..., tuple[Cell, list, list, Mapping]] | None = None
    #: The operator of a step of its layer, where that makes its parameters of others, and an output
    #: of C channels: see OWN_STEPS in backends/operators.py. By default the kernel's.
    layer_step: str = ""
    #: Of its params, those that may change with time: another row has them as streams.
    per_step: tuple[str, ...] = ()
    #: Options as the kernel's plain numbers.
    numbers: Callable[[Mapping[str, Any]], list[float]] = lambda options: []
    dtypes: tuple[torch.dtype, ...] = REAL
    states: tuple[str, ...] = ("h",)
    #: How random (inputs, params) are drawn for tests, in float64 or complex128: where rounding is
    #: not amplified, and with the cases that break kernels planted. By default normal numbers.
    draw: Callable[[Any, Cell], tuple[list[Tensor], list[Tensor]]] | None = None
    #: The options, beside defaults, that reach each kernel and each branch of the formulas.
    variants: tuple[Mapping[str, Any], ...] = ({},)
    #: What is compiled apart beyond its kernels, by name ("KERNEL, WHAT"), with options that reach
    #: it; by default its kernels, each by the first variant that reaches it.
    compiled: Mapping[str, Mapping[str, Any]] | None = None
    #: Forms that the benchmarks measure, by the name that tables give them, with their options; by
    #: default one, under the row's own name.
    measured: Mapping[str, Mapping[str, Any]] | None = None
    #: Whether the forward pass is promised to equal the loop bit for bit: for options, and whether
    #: time is in one piece.
    exact: Callable[[Mapping[str, Any], bool], bool] = lambda options, in_one_piece: False

    def __post_init__(self) -> None:
        if self.kernel is None:
            (only,) = self.kernels
            object.__setattr__(self, "kernel", lambda options, has_reset: only)
        if self.compiled is None:
            object.__setattr__(self, "compiled", self._first_variants())
        if self.measured is None:
            object.__setattr__(self, "measured", {self.name: {}})

    def _first_variants(self) -> dict[str, Mapping[str, Any]]:
        """Each kernel's name, with the first options that reach it without resets."""
        reached: dict[str, Mapping[str, Any]] = {}
        for variant in self.variants:
            options = {**self.options, **variant}
            reached.setdefault(self.kernel(options, False).name, options)
        return reached

    @property
    def sequential(self) -> bool:
        """Whether it is a step cell: nonlinear in its states."""
        return self.kernels[0].engine in ("step", "matrix")

    @property
    def matrices(self) -> bool:
        """Whether parameters of it are matrices, so that channels mix."""
        return self.kernels[0].engine == "matrix"

    def param_shapes(self, C: int) -> list[tuple[int, ...]]:
        """Of its parameters, for C channels."""
        blocks = self.kernels[0].blocks
        vectors = len(self.params) - len(blocks)
        return [(n * C, C) for n in blocks] + [(C,)] * vectors

    @property
    def complex(self) -> bool:
        """Whether its states are complex, whatever its streams are."""
        return all(dtype.is_complex for dtype in self.dtypes)

    @property
    def linear(self) -> bool:
        """Whether it is differentiable any number of times, in both modes."""
        return bool(self.kernels[0].linear)


def affine(step: Callable[..., Tensor]) -> Callable[..., tuple[tuple[Tensor], Tensor]]:
    """An affine cell's step in the form of a step cell's: one state, which is the output."""

    def with_states(states: tuple[Tensor], *args, **options) -> tuple[tuple[Tensor], Tensor]:
        h = step(states[0], *args, **options)
        return (h,), h

    return with_states


# Of what cells are made. H(0) = 1 and S(0) = +1.


def surrogate(u: Tensor, width: float) -> Tensor:
    """kappa(u) = w / (1 + (pi w u)^2), which stands for the derivative of H; S = 2H - 1 gets
    twice that."""
    return width / (1 + (math.pi * width * u) ** 2)


class Heaviside(torch.autograd.Function):
    """H(x - y) = 1 if x >= y else 0, for infinite ones too, with dH/du := kappa(u) of u = x - y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, width: float) -> Tensor:
        return (x >= y).to(torch.promote_types(x.dtype, y.dtype))

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        x, y, ctx.width = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, y = ctx.saved_tensors
        through = grad * surrogate(x - y, ctx.width)
        return through, -through, None


class Sign(torch.autograd.Function):
    """S(u) = +1 if u >= 0 else -1, with dS/du := 2 kappa(u)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, width: float) -> Tensor:
        return torch.where(u >= 0, 1.0, -1.0).to(u.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        u, ctx.width = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * 2 * surrogate(u, ctx.width), None


def share(part: float | Tensor, x: Tensor) -> Tensor:
    """part x, and 0 where part is 0, though x be infinite."""
    return torch.where(torch.as_tensor(part, device=x.device) == 0, 0, part * x)


def magnitude(x: Tensor) -> Tensor:
    """|x|, whose derivative at 0 is 0, times whatever comes back."""
    return torch.where(x == 0, 0, x).abs()
