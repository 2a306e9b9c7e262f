"""What users have at hand where this package takes a tensor: arrays, lists, plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..options import number

#: Of numbers; lists may be nested.
Numbers = Tensor | np.ndarray | Sequence[Any]


def numbers(name: str, x: object, what: str = "", dtype: torch.dtype | None = None) -> Tensor:
    """A tensor as it is; an array as a copy in its dtype; lists in ``dtype``, torch's default one
    if None; whole numbers in that, too, wherever they stand. Raises TypeError for all else, and
    says what was expected."""
    if not isinstance(x, (Tensor, np.ndarray, list, tuple)):
        raise TypeError(
            f"{name} must be a tensor, an array or lists of numbers{what}, got {type(x).__name__}"
        )
    dtype = dtype or torch.get_default_dtype()
    found = x
    if not isinstance(x, Tensor):
        try:
            # Whatever its order of bytes, and the sign of its strides.
            plain = np.array(x, x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x
            found = torch.tensor(plain)
            if isinstance(x, (list, tuple)) and found.is_floating_point() and found.dtype != dtype:
                found = torch.tensor(x, dtype=dtype)  # in it from the start: not rounded twice
        except (ValueError, TypeError, RuntimeError) as error:
            raise TypeError(
                f"{name} must hold numbers, in rows of one length{what}: {error}"
            ) from None
    is_whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    return found.to(dtype) if is_whole else found


def real(name: str, x: object) -> Tensor:
    """A plain number, finite, as a float64 scalar, or what ``numbers`` takes, lists in float64;
    floating point in any case. Raises TypeError and ValueError."""
    if isinstance(x, Real) and not isinstance(x, bool):
        return torch.tensor(number(name, x, -math.inf, math.inf), dtype=torch.float64)
    found = numbers(name, x, ", or a number", torch.float64)
    if not found.is_floating_point():
        raise TypeError(f"{name} must be real, got {found.dtype}")
    return found


def one_row(x: Tensor, B: int) -> str:
    """What to do where one neuron is given and something for each of several."""
    several = x.dim() == 1 and B == 1 and len(x) > 1
    hint = f": g has one row, and as many neurons as rows: torch.as_tensor(g).repeat({len(x)}, 1)"
    return hint if several else ""
