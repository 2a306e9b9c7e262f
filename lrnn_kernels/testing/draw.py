"""What random inputs are drawn with: each cell says how, in its row."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cell import Cell


class Draw:
    """Random float64 (or complex128) tensors."""

    def __init__(
        self, generator: torch.Generator, B: int, T: int, C: int, complex_values: bool
    ) -> None:
        self.generator, self.complex = generator, complex_values
        self.stream, self.channels = (B, T, C), (C,)

    def normal(self, shape) -> Tensor:
        return torch.randn(
            shape,
            generator=self.generator,
            dtype=torch.complex128 if self.complex else torch.float64,
        )

    def __call__(self, shape, low: float, high: float, sign: bool = True) -> Tensor:
        """Uniform magnitudes in [low, high]; with a random sign, or phase."""
        magnitude = low + (high - low) * torch.rand(
            shape, generator=self.generator, dtype=torch.float64
        )
        if not sign:
            return magnitude
        turn = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (
            torch.polar(magnitude, 6.283185307179586 * turn)
            if self.complex
            else torch.where(turn < 0.5, -magnitude, magnitude)
        )


def anything(draw: Draw, cell: Cell) -> tuple[list[Tensor], list[Tensor]]:
    """Of a cell that asks for nothing special. Matrices hold a state's size within bounds."""
    C = draw.channels[0]
    params = [
        draw.normal(shape) / (2 * C**0.5) if len(shape) == 2 else draw(shape, 0.5, 1.0)
        for shape in cell.param_shapes(C)
    ]
    return [draw.normal(draw.stream) for _ in cell.inputs], params
