"""Images as sequences, pixel by pixel or row by row, with black padding: what is seen early must be
kept until the answer.

data = tasks.mnist.load("mnist.npz")
batch = images.draw(data.x_train, data.y_train, batch_size=64, generator=generator, padding=300)
for batch in images.epoch(data.x_train, data.y_train, batch_size=64, generator=generator): ...
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..options import integer, one_of
from . import checks, draws
from .batch import Batch, accuracy, last_step

FORMS = ("pixels", "rows")
BLACK = -0.5


def sequences(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    form: str = "pixels",
    order: Tensor | None = None,
    padding: int = 0,
) -> Batch:
    """All of N square images as sequences: P pixels are P steps of 1 channel, or, as "rows",
    sqrt(P) steps of sqrt(P) channels; then ``padding`` steps of black.

    images   (N, P), (N, P, 1) or (N, side, side): uint8, which becomes x / 255 - 0.5, or floating
             point already so scaled (black -0.5)
    labels   (N,), integers from 0 on
    order    a permutation of the P pixels (``permutation``), applied before rows are cut
    inputs   (N, T, 1) or (N, T, sqrt(P)), float32; T = P + padding or sqrt(P) + padding
    targets  (N, T), int64: the label; read at the last step
    metric   accuracy; chance 1 / K
    source   sequential and permuted MNIST: Le, Jaitly and Hinton, "A simple way to initialize
             recurrent networks of rectified linear units", 2015
    """
    one_of("form", form, FORMS)
    padding = integer("padding", padding, 0)
    images, labels = _checked(torch.as_tensor(images), torch.as_tensor(labels))
    pixels = images.shape[1]
    x = images.float() / 255 - 0.5 if images.dtype == torch.uint8 else images.float()
    if order is not None:
        x = x[:, _permutation(order, pixels)]
    side = math.isqrt(pixels)
    if form == "rows" and side**2 != pixels:
        raise ValueError(f"images must be square to be read by rows, got {pixels} pixels")
    x = x.view(len(x), side, side) if form == "rows" else x[..., None]
    if padding:
        x = torch.cat([x, x.new_full((len(x), padding, x.shape[2]), BLACK)], 1)
    steps = x.shape[1]
    return Batch(x, labels.long()[:, None].expand(-1, steps), last_step(len(x), steps))


def draw(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    batch_size: int,
    generator: torch.Generator,
    **options: Any,
) -> Batch:
    """``sequences`` of images drawn with replacement: an endless stream. ``options`` are those of
    ``sequences``, as are shapes, metric and source."""
    checks.batches(batch_size, generator)
    images, labels = _checked(torch.as_tensor(images), torch.as_tensor(labels))
    chosen = draws.integers(len(images), (batch_size,), generator)
    return sequences(images[chosen], labels[chosen], **options)


def epoch(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    batch_size: int,
    generator: torch.Generator,
    **options: Any,
) -> Iterator[Batch]:
    """``sequences`` of every image once, in random order; the last batch may be smaller.
    ``options`` are those of ``sequences``, as are shapes, metric and source."""
    checks.batches(batch_size, generator)
    images, labels = _checked(torch.as_tensor(images), torch.as_tensor(labels))
    order = torch.randperm(len(images), generator=generator)
    return (
        sequences(images[chosen], labels[chosen], **options) for chosen in order.split(batch_size)
    )


def permutation(pixels: int, seed: int = 0) -> Tensor:
    """An order of the pixels for ``sequences``, (pixels,), int64: always the same for a seed.
    Publications fix one order each, seldom the same."""
    pixels = integer("pixels", pixels)
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy at the last step; chance 1 / K (0.1 for digits). outputs: (B,T,K) or (B,K)."""
    return accuracy(outputs, batch)


def _checked(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Images as (N,P), with labels that fit."""
    if images.dim() not in (2, 3) or not len(images) or not images[0].numel():
        raise ValueError(
            f"images must have shape (N, P) or (N, side, side), got {tuple(images.shape)}"
        )
    if images.dtype != torch.uint8 and not images.dtype.is_floating_point:
        raise TypeError(f"images must be uint8 or of a floating point type, got {images.dtype}")
    checks.labels(labels, len(images), "images")
    return images.flatten(1), labels


def _permutation(order: Tensor, pixels: int) -> Tensor:
    if not isinstance(order, Tensor):
        raise TypeError(f"order must be a tensor, got {type(order).__name__}")
    if order.dtype != torch.int64 or not torch.equal(order.sort().values, torch.arange(pixels)):
        raise ValueError(
            f"order must be a permutation of 0 ... {pixels - 1}, int64, got {order.dtype} of shape "
            f"{tuple(order.shape)}"
        )
    return order
