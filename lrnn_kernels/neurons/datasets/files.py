"""Files that are there whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

#: What a file ends with that is being written, or was when its process died.
PART = ".part"


def write(path: Path, content: Callable[[BinaryIO], object], *, anew: bool = False) -> None:
    """``content`` writes to the file that it is given, which then takes the path's name; anew, a
    file that has the name already keeps it."""
    # Of its own name: processes on two machines may have one number.
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}{PART}")
    with part.open("wb") as file:
        content(file)
        file.flush()
        os.fsync(file.fileno())
    if anew:
        _link(part, path)
    else:
        part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def folder(path: Path | str, name: str = "folder") -> Iterator[Path]:
    """A folder in which files can be made, which is made where it does not exist: before anything
    is computed that is to be written there. What was made and is empty at the end is removed.
    Raises ValueError, by the argument's name, where there can be none."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{name} must be a folder, got the file {path}")
    new = [each for each in (path, *path.parents) if not each.exists()]
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path, suffix=PART):
                pass
        except OSError as error:
            raise ValueError(
                f"{name} must be a folder in which files can be written, got {path}: "
                f"{error.strerror or error}"
            ) from None
        yield path
    finally:
        for each in new:
            try:
                each.rmdir()
            except OSError:  # it holds something, or was never made
                break


def _link(part: Path, path: Path) -> None:
    try:
        os.link(part, path)  # unlike a rename, it fails where the file is there
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            part.replace(path)
    part.unlink(missing_ok=True)
