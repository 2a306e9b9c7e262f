"""Input traces: which pixel spikes in which step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import arguments, library, reference


@dataclass(frozen=True, eq=False)
class Traces:
    """Input spikes of N images over T steps, one bit each.

    Attributes:
        bits: (N, T, ceil(inputs / 8)), uint8; input j is bit j % 8 (1 << j % 8) of byte j // 8,
            bits beyond the last input are 0.
        inputs: how many inputs there are.

    Raises TypeError and ValueError if they do not fit together.
    """

    bits: np.ndarray
    inputs: int

    def __post_init__(self) -> None:
        inputs = arguments.integer("inputs", self.inputs, 1, 65535)
        bits = arguments.array("bits", self.bits, 3, f"(N, T, {(inputs + 7) // 8})")
        if bits.dtype != np.uint8:
            raise TypeError(f"bits must be uint8, got {bits.dtype}")
        if bits.shape[2] != (inputs + 7) // 8:
            raise ValueError(
                f"bits must have shape (N, T, {(inputs + 7) // 8}) for {inputs} inputs, got "
                f"{bits.shape}"
            )
        if inputs % 8 and (bits[..., -1] >> inputs % 8).any():
            raise ValueError(f"bits beyond input {inputs - 1} must be 0")
        object.__setattr__(self, "bits", np.ascontiguousarray(bits))

    @classmethod
    def pack(cls, spikes: np.ndarray) -> Traces:
        """From spikes (N, T, inputs), bool."""
        spikes = arguments.array("spikes", spikes, 3, "(N, T, inputs)")
        if spikes.dtype != np.bool_:
            raise TypeError(f"spikes must be bool, got {spikes.dtype}")
        return cls(np.packbits(spikes, axis=2, bitorder="little"), spikes.shape[2])

    def unpack(self) -> np.ndarray:
        """Spikes (N, T, inputs), bool."""
        return np.unpackbits(self.bits, axis=2, count=self.inputs, bitorder="little").view(np.bool_)

    def __len__(self) -> int:
        return self.bits.shape[0]

    def __repr__(self) -> str:
        images, steps, _ = self.bits.shape
        return f"Traces({images} images, {steps} steps, {self.inputs} inputs)"

    def __getitem__(self, images: slice) -> Traces:
        """The traces of some of the images: traces[3:5]."""
        if not isinstance(images, slice):
            raise TypeError(f"images must be a slice, got {type(images).__name__}")
        return Traces(self.bits[images], self.inputs)


def traces(
    images: np.ndarray,
    frames: int = 220,
    *,
    silent: int | None = None,
    seed: int = 0,
    first: int = 0,
    threads: int | None = None,
    backend: str = "cpu",
) -> Traces:
    """Rate-coded input spikes, the very ones that ``Network.classify`` draws when it is given the
    same arguments.

    After the silent steps, pixel j of image i spikes in coded step t if A[t] and not X[t-1], A[t]
    being true with probability 0.25 pixel: no pixel spikes twice running. The last coded step is
    instead the digit binarized at 0.5, whatever came before.

    A[t] is true if a 16-bit draw is below nearest(16384 level / 255), level being the pixel in 0 ..
    255. Draws are those of Philox4x32-10 (Salmon et al. 2011) with key (seed low, seed high) and
    counter (j // 8, t, i low, i high), t counted from the first coded step: half-word j % 8 of the
    block, the low half of a word first. So they depend on (seed, i, t, j) alone, and images in
    pieces, with ``first`` the index of a piece's first image, give the traces of the whole.

    Args:
        images: (N, pixels), uint8, or floating point in [0, 1], which is rounded to 255ths.
        frames: T, silent steps included.
        silent: steps before the first coded one; T // 11 by default, which is 20 of 220, 5 of 55
            and 4 of 44.
        seed: 0 .. 2^64 - 1.
        first: index of the first image.
        threads: images are shared out to them; all cores by default. Results do not depend on it.
        backend: "cpu", or "reference", which ignores threads.

    Raises TypeError and ValueError for a bad argument, RuntimeError if "cpu" cannot be compiled.
    """
    images = arguments.grey_levels(images)
    frames, silent = arguments.schedule(frames, silent)
    seed, first = (
        arguments.integer("seed", seed, 0, 2**64 - 1),
        arguments.integer("first", first, 0, 2**63 - 1),
    )
    threads = arguments.threads(threads)
    if arguments.backend(backend) == "reference":
        return Traces.pack(reference.encode(images, frames, silent, seed, first))
    return Traces(
        library.compiled().encode(images, frames, silent, seed, first, threads), images.shape[1]
    )
