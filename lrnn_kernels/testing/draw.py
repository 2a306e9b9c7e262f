"""How random inputs of each cell are drawn for tests: where rounding is not amplified, and with the cases that break kernels planted."""

from __future__ import annotations

import torch
from torch import Tensor

from ..registry import Cell

#: Constants of an SRC that neither fires by itself nor is bistable, so that rounding is not amplified as the paper's cell does; z > 0.
GENTLE_SRC = {"leak": 0.75, "r": 0.4, "r_s": -0.5, "z": 0.25, "slope": 2.0, "z_dep": 0.1}


class Draw:
    """Random float64 (or complex128) tensors."""

    def __init__(self, generator: torch.Generator, B: int, T: int, C: int, complex_values: bool) -> None:
        self.generator, self.complex = generator, complex_values
        self.stream, self.channels = (B, T, C), (C,)

    def normal(self, shape) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.complex128 if self.complex else torch.float64)

    def __call__(self, shape, low: float, high: float, sign: bool = True) -> Tensor:
        """Uniform magnitudes in [low, high]; with a random sign, or phase."""
        magnitude = low + (high - low) * torch.rand(shape, generator=self.generator, dtype=torch.float64)
        if not sign:
            return magnitude
        turn = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return torch.polar(magnitude, 6.283185307179586 * turn) if self.complex else torch.where(turn < 0.5, -magnitude, magnitude)


def _linear(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    return [draw(draw.stream, 0.25, 0.875), draw.normal(draw.stream)], []


def _per_channel(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    return [draw.normal(draw.stream)], [draw(draw.channels, 0.25, 0.875)]


def _hysteresis(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    c, beta = draw.normal(draw.stream), 1.2 + 0.3 * draw.normal(draw.stream)  # about a quarter of the steps update
    for t, (x, threshold) in enumerate([(0.0, 0.0), (-0.0, 0.0), (0.75, 0.75), (-0.75, 0.75), (0.75, -0.75), (0.0, 0.5), (1.0, 0.0)]):
        c[:, t + 1 :: 29, ::5], beta[:, t + 1 :: 29, ::5] = x, threshold  # signed zeros, ties, zero thresholds
    alpha = draw(draw.channels if entry.params else draw.stream, 0.5, 1.5)
    return ([c, beta], [alpha]) if entry.params else ([c, beta, alpha], [])


def _fq_bmru(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    low = draw(draw.channels, 0.1, 0.4, sign=False)
    x = 0.5 + 0.5 * draw.normal(draw.stream)
    x[:, 1::7, ::3] = 0.0  # the kink of ReLU
    return [x], [low, low + draw(draw.channels, 0.3, 0.6, sign=False), draw(draw.channels, 0.5, 1.5)]


def _min_gru(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    v = draw.normal(draw.stream)
    v[:, 1::7, ::3] = 0.0  # the kink of the positive form
    return [1 + draw.normal(draw.stream), v], []


def _src(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    # |h| stays below about 0.97: 1 - h^2, a factor of every gradient, loses all its digits where h rounds to 1.
    return [0.4 * draw.normal(draw.stream)], [draw(draw.channels, 0.0, 0.5)]


def _nbrc(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    C = draw.channels[0]
    return [draw.normal(draw.stream) for _ in entry.inputs], [draw.normal((C, C)) / (2 * C**0.5) for _ in entry.params]


def anything(draw: Draw, entry: Cell) -> tuple[list[Tensor], list[Tensor]]:
    return [draw.normal(draw.stream) for _ in entry.inputs], [draw(draw.channels, 0.5, 1.0) for _ in entry.params]


DRAWS = {
    "linear": _linear,
    "linear_per_channel": _per_channel,
    "bmru": _hysteresis,
    "cmru": _hysteresis,
    "hysteresis_per_step": _hysteresis,
    "cmru_per_step": _hysteresis,
    "fq_bmru": _fq_bmru,
    "min_gru": _min_gru,
    "src_detached": _src,
    "nbrc": _nbrc,
}
