"""Making a data set: shard by shard, by any number of processes, and after any interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ... import version
from ...options import integer
from . import files, shards
from .settings import Settings

MANIFEST, ABOUT = "manifest.json", "README.md"

_README = """\
# A data set of neurons

Made by `lrnn_kernels.neurons` {version}; `manifest.json` has the settings.

"""


def make(
    settings: Settings,
    folder: Path | str,
    *,
    rank: int = 0,
    world: int = 1,
    backend: str = "auto",
    progress: Callable[[int, int], object] | None = None,
) -> list[Path]:
    """Writes what is missing of a data set; returns the shards that this process has made.

    The manifest is written first. Shards that are there are left; each new one appears whole, by a
    rename, so that whenever this is interrupted nothing is lost or there twice, and the same call
    goes on. Of several processes, on one machine or many with one folder, rank r of ``world`` makes
    shards r, r + world, ...

    Args:
        settings: what it holds.
        folder: where; made where it does not exist.
        rank, world: this process's number, and how many there are.
        backend: as of ``neurons.simulate``. On one instruction set shards have the same bytes for
            any number of threads and processes.
        progress: called with (shards done, shards to do) of this process.

    Raises ValueError where the folder holds another data set, or other files, ImportError where the
    format's package is missing; and as ``simulate`` does, before anything is written.
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"settings must be datasets.Settings, got {type(settings).__name__}")
    world = integer("world", world)
    rank = integer("rank", rank, 0)
    if rank >= world:
        raise ValueError(f"rank must be below world = {world}, got {rank}")
    shards.check(settings, backend)
    with files.folder(folder) as folder:
        _claim(settings, folder)
    mine = shards.paths(settings, folder, rank, world)
    written = []
    for done, path in enumerate(mine):
        if progress is not None:
            progress(done, len(mine))
        if not path.exists():
            shards.made(settings, rank + done * world, backend=backend).save(path, settings)
            written.append(path)
    if progress is not None:
        progress(len(mine), len(mine))
    return written


def described(folder: Path | str) -> Settings:
    """The settings of the data set in a folder."""
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text())
        return Settings(**content["settings"])
    except FileNotFoundError:
        raise ValueError(f"folder must hold a data set, got {folder}: no {MANIFEST}") from None
    except (ValueError, KeyError, TypeError) as error:  # no UTF-8, no JSON, or no settings
        raise ValueError(f"folder must hold a data set, got {folder}: {error!r}") from None


def _claim(settings: Settings, folder: Path) -> None:
    """Writes the manifest, or finds that it is this data set's."""
    manifest = folder / MANIFEST
    if not manifest.exists():
        others = [path.name for path in folder.iterdir() if not _is_part(path)]
        if others and not manifest.exists():  # another process may have written it by now
            raise ValueError(f"folder must be empty or hold a data set, got {folder}: {others[0]}")
        content = {"settings": settings.plain(), "lrnn_kernels": version.__version__}
        _write(manifest, json.dumps(content, indent=2) + "\n", anew=True)
    there = described(folder)
    if there != settings:
        old, new = there.plain(), settings.plain()
        differ = [
            f"{name} = {old[name]!r}, not {new[name]!r}" for name in new if old[name] != new[name]
        ]
        raise ValueError(f"folder holds a data set of other settings: {', '.join(differ)}")
    if not (folder / ABOUT).exists():
        _write(folder / ABOUT, _README.format(version=version.__version__) + shards.about(settings))


def _is_part(path: Path) -> bool:
    """Whether this is what an interruption, or another process at work, has left."""
    return path.suffix == files.PART or path.name in (MANIFEST, ABOUT)


def _write(path: Path, text: str, *, anew: bool = False) -> None:
    files.write(path, lambda file: file.write(text.encode()), anew=anew)
