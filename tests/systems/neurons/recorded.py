"""What the tests of recordings share: cells whose files are written, and refusals."""

import io

import numpy as np
import pytest

from lrnn_kernels.neurons import recordings

#: Times of three cells, in ms: decimals that binary numbers do not have, and one unit of two.
CELLS = {
    "b7": [0.1, 12.3, 47.25, 1e5 / 3],
    "a": [3.0, 4.7, 5e-3 + 7, 11.0, 2.5e6],
    "unit 3": [1.0, 99.9],
}


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read(data: str | bytes, name: str = "cells.csv", unit: str | None = None):
    return recordings.read_bytes(data.encode() if isinstance(data, str) else data, name, unit=unit)


def same(recorded, cells: dict[str, list[float]]) -> bool:
    """Whether a recording is these cells, bit for bit."""
    return recorded.names == list(cells) and recorded.spikes.to_lists() == list(cells.values())


def refused(data: str | bytes, expected: str, name: str = "cells.csv", unit: str | None = None):
    """Asserts that bytes are refused in these words, on one line, which begins with the name."""
    with pytest.raises(recordings.RecordingError) as caught:
        read(data, name, unit)
    assert str(caught.value) == f"{name}: {expected}"
    assert str(caught.value).isprintable()
