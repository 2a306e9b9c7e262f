"""Reading a data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...options import one_of
from . import shards
from .making import described
from .settings import SPLITS
from .shards import Shard


def load(folder: Path | str, split: str | None = None) -> Iterator[Shard]:
    """The shards of a data set one by one, or the neurons of "train", "validation" or "test".
    They are the same from either format. Raises ValueError where the folder holds none, or where
    shards are missing, ImportError where the format's package is."""
    if split is not None:
        one_of("split", split, SPLITS)
    settings = described(folder)
    paths = shards.paths(settings, Path(folder))
    if missing := [path.name for path in paths if not path.exists()]:
        raise ValueError(
            f"folder must hold all of a data set, got {folder} without {missing[0]}, and "
            f"{len(missing)} of {len(paths)} in all: the same command makes them"
        )
    return (shards.chosen(Shard.read(path, settings), split) for path in paths)
