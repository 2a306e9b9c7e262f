"""Checks of arguments, with messages that name the argument, what was got and what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from ..calls.arguments import shape
from ..options import number
from .given import numbers, one_row, real
from .model import Model
from .models import MODELS
from .noise import Noise

DTYPES = (torch.float32, torch.float64)


def model(x: object) -> Model:
    """A model, or the name of one, in capitals or not."""
    if isinstance(x, Model):
        return x
    if not isinstance(x, str) or x.lower() not in MODELS:
        known = ", ".join(map(repr, MODELS))
        raise ValueError(f"model must be a Model or one of {known}, got {x!r}")
    return MODELS[x.lower()]


def conductances(g: object, model: Model, batched: bool = False) -> Tensor:
    """g (..., channels), or (B, channels) where batched, in mS/cm^2, of a tensor or of what
    ``given.numbers`` takes."""
    g = numbers("g", g, f", for {' '.join(model.channel_names)} in the order of channel_names")
    if not g.is_floating_point():
        raise TypeError(f"g must be floating point, got {g.dtype}")
    if not batched and g.dtype not in DTYPES:  # sums of large terms, whose difference is asked for
        raise TypeError(f"g must be torch.float32 or torch.float64, got {g.dtype}")
    channels = len(model.channels)
    if g.dim() < 1 or g.shape[-1] != channels or (batched and g.dim() != 2):
        expected = f"({'B' if batched else '...'}, {channels})"
        names = " ".join(model.channel_names)
        raise ValueError(f"g must have shape {expected}, for {names}, got {shape(g)}")
    return g


def current(
    x: object, current_dt: object, g: Tensor, dtype: torch.dtype, dt: float, last: int
) -> tuple[Tensor | None, float]:
    """An injected current as an engine takes it: (n, K), and dt / current_dt; ``last`` is the
    number of the last step."""
    if x is None:
        if current_dt is not None:
            raise ValueError("current_dt must be None where there is no current")
        return None, 1.0
    x = real("current", x).to(g.device, dtype)
    if not x.isfinite().all():
        raise ValueError("current must be finite, got NaN or an infinity")
    B = len(g)
    if current_dt is None:
        if x.shape not in ((), (B,)):
            raise ValueError(
                f"current must be a number or have shape ({B},), or be a waveform (n,) or "
                f"({B}, n) with current_dt, got {shape(x)}{one_row(x, B)}"
            )
        return x.reshape(1, -1), 1.0
    rate = dt / number("current_dt", current_dt, 0, math.inf, open_low=True)
    if x.dim() not in (1, 2) or (x.dim() == 2 and len(x) != B):
        raise ValueError(
            f"current must be a waveform (n,) or ({B}, n) where current_dt is given, got {shape(x)}"
        )
    needed = math.floor((last + 0.5) * rate) + 2
    if x.shape[-1] < needed:
        raise ValueError(
            f"current must have at least {needed} samples, every {current_dt:g} ms from t = 0, to "
            f"reach t = {(last + 1) * dt:g} ms, got {x.shape[-1]}"
        )
    return (x[:, None] if x.dim() == 1 else x.T).contiguous(), rate


def noise(x: object) -> Noise | None:
    """Noise, or its sigma."""
    if x is None or isinstance(x, Noise):
        return x
    if isinstance(x, (str, bytes, bool)) or not isinstance(x, (Real, Tensor, np.ndarray, Sequence)):
        raise TypeError(f"noise must be a Noise or its sigma in uA/cm^2, got {type(x).__name__}")
    return Noise(x)


def threshold(x: object) -> tuple[float, float]:
    """(up, down) in mV."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise TypeError(f"threshold must be (up, down) in mV, got {x!r}")
    up, down = (number("threshold", v, -math.inf, math.inf) for v in x)
    if down > up:
        raise ValueError(f"threshold must be (up, down) with down <= up, got {x!r}")
    return up, down


def of_neurons(name: str, x: object, g: Tensor) -> Tensor:
    """A number for all neurons of g (B, channels), or one of each, as (B,)."""
    x = real(name, x)
    if x.shape not in ((), (len(g),)):
        raise ValueError(
            f"{name} must be a number or have shape ({len(g)},), got {shape(x)}{one_row(x, len(g))}"
        )
    return x.to(g).expand(len(g))
