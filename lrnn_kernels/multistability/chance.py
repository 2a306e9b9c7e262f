"""What is drawn: constant inputs, lengths, and which sequences; in an order that does not depend on
the device of the network."""

from __future__ import annotations

import torch
from torch import Tensor


def check(generator: object) -> None:
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")


def constant(size: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """An input of N(0, I), (size,), where and in the dtype in which the parameters are."""
    u = torch.randn(size, generator=generator, device=_device(generator), dtype=torch.float32)
    return u.to(like.device, like.dtype)


def uniform(size: int, generator: torch.Generator | None) -> Tensor:
    """Of [0, 1), (size,), on the CPU."""
    return torch.rand(size, generator=generator, device=_device(generator)).cpu()


def lengths(steps: int, count: int, generator: torch.Generator | None) -> Tensor:
    """Lengths from 1 to ``steps``, (count,), on the CPU."""
    return torch.randint(
        1, steps + 1, (count,), generator=generator, device=_device(generator)
    ).cpu()


def whole(most: int, generator: torch.Generator | None) -> int:
    """A number from 1 to ``most``."""
    return int(lengths(most, 1, generator))


def some(of: int, count: int, generator: torch.Generator | None) -> Tensor:
    """``count`` different indices below ``of``, on the CPU."""
    return torch.randperm(of, generator=generator, device=_device(generator))[:count].cpu()


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
