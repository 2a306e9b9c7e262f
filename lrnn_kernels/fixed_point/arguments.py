"""Checks of arguments, with messages that name the argument, what was got and what was expected."""

from __future__ import annotations

import operator
import os

import numpy as np

BACKENDS = ("cpu", "reference")
MOST_FRAMES = 2**31 - 1  # steps are numbered in 32 bits where traces are drawn


#: What is an array and no more. Others give their elements a meaning that is lost here: a mask, a
#: unit.
PLAIN = (np.ndarray, np.memmap, np.matrix)


def array(name: str, x: object, ndim: int, axes: str) -> np.ndarray:
    """x, if it is a plain array of that many dimensions."""
    if not isinstance(x, np.ndarray):
        hint = ": give x.detach().cpu().numpy()" if hasattr(x, "detach") else ""
        raise TypeError(f"{name} must be a NumPy array, got {type(x).__name__}{hint}")
    if type(x) not in PLAIN:
        raise TypeError(
            f"{name} must be a plain NumPy array, got {type(x).__name__}: only its data would be "
            "read"
        )
    if x.ndim != ndim:
        raise ValueError(f"{name} must have shape {axes}, got {x.shape}")
    return np.asarray(x)


def integers(name: str, x: np.ndarray, low: int, high: int, dtype: type) -> np.ndarray:
    """A contiguous copy of x in dtype, if x holds integers in [low, high]."""
    if x.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {x.dtype}")
    if x.size and (x.min() < low or x.max() > high):
        wrong = x.min() if x.min() < low else x.max()
        raise ValueError(f"{name} must be in [{low}, {high}], got {wrong}")
    return np.array(x, dtype, order="C")


def integer(name: str, x: object, low: int, high: int) -> int:
    try:
        value = operator.index(None if isinstance(x, (bool, np.bool_, np.ma.MaskedArray)) else x)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(x).__name__}") from None
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {value}")
    return value


def each(name: str, x: object, count: int, of: str, low: int, high: int) -> tuple[int, ...]:
    """One integer for all, or a list with one for each of what ``of`` says."""
    found = x if isinstance(x, (list, tuple)) else [x] * count
    if len(found) != count:
        raise ValueError(
            f"{name} must be one number, or {count}, one for each {of}, got {len(found)}"
        )
    return tuple(integer(name, one, low, high) for one in found)


def levels(x: object, layers: int) -> tuple[int, ...]:
    """The largest weight of each layer, which 16 bits hold."""
    return each("levels", x, layers, "layer", 1, 32767)


def backend(x: object) -> str:
    if x not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {x!r}")
    return x


def threads(x: object) -> int:
    """A number of threads; all cores that this process may use for None."""
    if x is None:
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    return integer("threads", x, 1, 1024)


def grey_levels(images: object) -> np.ndarray:
    """Images as (N, pixels) bytes: bytes as they are, floats x in [0, 1] as rint(255 x)."""
    images = array("images", images, 2, "(N, pixels)")
    if not 1 <= images.shape[1] <= 65535:
        raise ValueError(f"images must have 1 to 65535 pixels, got shape {images.shape}")
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise TypeError(f"images must be uint8, or floating point in [0, 1], got {images.dtype}")
    outside = ~((images >= 0) & (images <= 1))  # NaN too
    if outside.any():
        raise ValueError(
            f"images must be in [0, 1] where they are floating point, got {images[outside][0]}"
        )
    return np.rint(images.astype(np.float64) * 255.0).astype(np.uint8, order="C")


def schedule(frames: object, silent: object) -> tuple[int, int]:
    """(frames, silent): one step in eleven is silent by default, 20 of 220, 5 of 55, 4 of 44."""
    frames = integer("frames", frames, 0, MOST_FRAMES)
    return frames, frames // 11 if silent is None else integer("silent", silent, 0, frames)
