"""Rate coding: which pixel spikes in which step, as lists, since one in thirty does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 0.25  # probability that a white pixel spikes in a coded step
FULL = 2**16  # draws have 16 bits


@dataclass(frozen=True)
class Spikes:
    """Input spikes of B images over T steps.

    Row t B + b is image b in step t: ``pixels[offsets[row] : offsets[row + 1]]`` spike, in
    ascending order.
    """

    pixels: Tensor  # int32
    offsets: Tensor  # (T B + 1,), int32
    images: int
    inputs: int

    def dense(self) -> Tensor:
        """(T, B, inputs), bool."""
        rows = len(self.offsets) - 1
        spikes = torch.zeros(rows, self.inputs, dtype=torch.bool)
        spikes[
            torch.repeat_interleave(torch.arange(rows), self.offsets.diff()), self.pixels.long()
        ] = True
        return spikes.view(-1, self.images, self.inputs)


def encode(
    images: np.ndarray,
    frames: int,
    silent: int,
    rng: np.random.Generator,
    *,
    hardware: bool = False,
) -> Spikes:
    """Draws the spikes of images (B, inputs), uint8: none in the silent steps, then each with
    probability ``RATE`` pixel in every step.

    In hardware's form a pixel that has spiked does not in the next step, and the last step is the
    digit binarized at 0.5. These are the statistics of ``fixed_point.traces``, from a generator
    that draws for grey pixels only: training needs a new trace every time.
    """
    (place,) = np.nonzero(images.reshape(-1))
    image, pixel = np.divmod(place.astype(np.int32), np.int32(images.shape[1]))
    level = images.reshape(-1)[place]
    coded = frames - silent
    draws = np.frombuffer(rng.bytes(2 * coded * len(place)), np.uint16).reshape(coded, len(place))
    hit = draws < np.rint(level * (RATE * FULL / 255)).astype(np.uint16)  # [coded, grey pixels]
    if hardware:
        for t in range(1, coded - 1):
            hit[t] &= ~hit[t - 1]
        hit[-1] = level >= 128
    step, which = np.divmod(np.flatnonzero(hit).astype(np.int32), np.int32(max(len(place), 1)))
    rows = frames * len(images)
    counts = np.bincount((step + silent) * len(images) + image[which], minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Spikes(
        torch.from_numpy(pixel[which]), torch.from_numpy(offsets), len(images), images.shape[1]
    )


class _Drive(torch.autograd.Function):
    """Sums of the weights of the inputs that spike, forwards one bag a row, backwards one bag an
    input.

    torch's own gradient of a bag adds row after row into the weights, which is slow.
    """

    @staticmethod
    def forward(ctx, weights: Tensor, spikes: Spikes) -> Tensor:
        ctx.spikes = spikes
        return F.embedding_bag(
            spikes.pixels, weights, spikes.offsets, mode="sum", include_last_offset=True
        )

    @staticmethod
    def backward(ctx, du: Tensor) -> tuple[Tensor, None]:
        spikes = ctx.spikes
        pixels = spikes.pixels.numpy()
        rows = np.repeat(np.arange(len(du), dtype=np.int32), np.diff(spikes.offsets.numpy()))
        by_pixel = rows[
            np.argsort(pixels.astype(np.uint16), kind="stable")
        ]  # numpy sorts 16 bits by radix
        offsets = np.concatenate(
            [[0], np.cumsum(np.bincount(pixels, minlength=spikes.inputs))]
        ).astype(np.int32)
        return F.embedding_bag(
            torch.from_numpy(by_pixel),
            du,
            torch.from_numpy(offsets),
            mode="sum",
            include_last_offset=True,
        ), None


def drive(weight: Tensor, spikes: Spikes) -> Tensor:
    """W s[t]: weight (C, inputs) -> (T, B, C)."""
    return _Drive.apply(weight.t().contiguous(), spikes).view(-1, spikes.images, len(weight))
