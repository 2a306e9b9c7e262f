"""scikit-learn's 8x8 digits: 1437 to learn from and 360 to test on. They come with that package;
no download.

x, y, x_test, y_test = digits.load()
batch = images.draw(x, y, batch_size=64, generator=generator)

source   Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI, 1998
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..extras import needs

_SEEDS = (0, 1)  # of the split, and of the split of its training set
_TEST = 0.2


def load(*, validate: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test sequences (N,64,1), float32 from -0.5 (black) to 0.5, each with its labels
    (N,), int64; the split is fixed and holds every digit in equal shares.

    With ``validate`` a fifth of the training set takes the place of the test set, which is not used
    at all. Raises ImportError without scikit-learn.
    """
    with needs("the small set of digits", "sklearn"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    sequences = (pixels / 16 - 0.5).astype("float32")[..., None]
    split = train_test_split(
        sequences, labels, test_size=_TEST, random_state=_SEEDS[0], stratify=labels
    )
    if validate:
        split = train_test_split(
            split[0], split[2], test_size=_TEST, random_state=_SEEDS[1], stratify=split[2]
        )
    x, x_test, y, y_test = (torch.from_numpy(part) for part in split)
    return x, y, x_test, y_test
