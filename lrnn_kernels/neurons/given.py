"""What users have at hand where this package takes a tensor: arrays and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Of numbers; lists may be nested.
Numbers = Tensor | np.ndarray | Sequence[Any]


def numbers(name: str, x: object, what: str = "") -> Tensor:
    """A tensor as it is; an array as a copy in its dtype; lists as torch.tensor has them, whole
    numbers among them in its default dtype. Raises TypeError for all else, and says what was
    expected."""
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, (np.ndarray, list, tuple)):
        raise TypeError(
            f"{name} must be a tensor, an array or lists of numbers{what}, got {type(x).__name__}"
        )
    try:
        # Whatever its order of bytes, and the sign of its strides.
        plain = np.array(x, x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x
        found = torch.tensor(plain)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"{name} must hold numbers, in rows of one length{what}: {error}") from None
    is_whole = not isinstance(x, np.ndarray) and found.dtype == torch.int64
    return found.to(torch.get_default_dtype()) if is_whole else found
