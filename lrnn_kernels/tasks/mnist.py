"""MNIST, from files that are already there: nothing is downloaded.

data = mnist.load("mnist.npz")
batch = images.draw(data.x_train, data.y_train, batch_size=64, generator=generator)

source   LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
         recognition", 1998
"""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

KEYS = ("x_train", "y_train", "x_test", "y_test")

#: The published files, in the order of KEYS; some copies have a dot for the first hyphen of the
#: ending, and any may be compressed.
IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
RAW = Path("MNIST", "raw")  # where torchvision puts them, below the root it is given
PIXELS = 784


class Mnist(NamedTuple):
    """Digits as rows of grey levels (N,784), uint8, and what they are, (N,), int64."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(path: str | Path) -> Mnist:
    """Reads an ``mnist.npz`` as Keras has it, a folder of IDX files, compressed or not, or
    torchvision's root, which holds such a folder.

    Raises FileNotFoundError, which names what was looked for, and ValueError for files that hold
    something else.
    """
    path = Path(path)
    if path.is_dir():
        arrays = [_read_idx(_find_idx(path, name)) for name in IDX]
    elif path.is_file():
        arrays = _read_npz(path)
    else:
        raise FileNotFoundError(
            f"{path} does not exist; expected an mnist.npz, a folder that holds {IDX[0]}[.gz] and "
            "so on, or torchvision's root"
        )
    return Mnist(*(_checked(name, x) for name, x in zip(KEYS, _paired(arrays), strict=True)))


def _find_idx(folder: Path, name: str) -> Path:
    dotted = name.replace("-idx", ".idx")
    tried = [
        folder / below / f"{stem}{ending}"
        for below in ("", RAW)
        for stem in (name, dotted)
        for ending in ("", ".gz")
    ]
    for file in tried:
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"{folder} holds no {name}[.gz], nor does {folder / RAW}; looked for "
        f"{', '.join(map(str, tried))}"
    )


def _read_idx(file: Path) -> np.ndarray:
    """An array of bytes: two zeros, the type (8), the number of axes, their lengths as
    big-endian words of 32 bits, then the values."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rb") as stream:
            content = stream.read()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{file} is not a gzip file: {error}") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(
            f"{file} is not an IDX file of bytes: it starts with "
            f"{content[:4].hex(' ') or 'nothing'}"
        )
    shape = np.frombuffer(content, ">u4", content[3], 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if values.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{file} announces {tuple(shape.tolist())} bytes and holds {values.size}")
    return values.reshape(shape).copy()  # torch warns of arrays that it must not write


def _read_npz(file: Path) -> list[np.ndarray]:
    try:
        content = np.load(file)
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is not a .npz file: {error}") from error
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise ValueError(f"{file} is not a .npz file, but a single array")
    with content:
        missing = [name for name in KEYS if name not in content]
        if missing:
            raise ValueError(
                f"{file} holds no {', '.join(missing)}; it holds {', '.join(content) or 'nothing'}"
            )
        return [content[name] for name in KEYS]


def _paired(arrays: list[np.ndarray]) -> list[np.ndarray]:
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images come with {len(labels)} labels")
    return arrays


def _checked(name: str, x: np.ndarray) -> np.ndarray:
    if name.startswith("y"):
        if x.ndim != 1 or x.dtype.kind not in "iu" or (x.size and not 0 <= x.min() <= x.max() <= 9):
            raise ValueError(
                f"{name} must hold the labels 0 to 9, got {x.dtype} of shape {x.shape}"
            )
        return x.astype(np.int64)
    if x.dtype != np.uint8 or x.ndim < 2 or x[:1].size != PIXELS * min(len(x), 1):
        raise ValueError(
            f"{name} must hold images of 28 x 28 bytes, got {x.dtype} of shape {x.shape}"
        )
    return np.ascontiguousarray(x.reshape(-1, PIXELS))
