"""What a library is compiled from, and digests of that: two with equal digests are compiled from
the same bytes, whatever the files' dates and folders are."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_INCLUDE = re.compile(rb"^[ \t]*#[ \t]*include[ \t]*([^\n]*)", re.M)


def csrc() -> Path:
    """csrc/, inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    return package / "csrc" if (package / "csrc").is_dir() else package.parent / "csrc"


def reached(
    source: Path, include_folders: tuple[Path, ...] = (), also: tuple[Path, ...] = ()
) -> list[Path]:
    """A source and all headers of ours that it includes, in whatever branch; also: those that it
    includes through macros.

    Headers of others (<...>, and "..." that is not found beside the file or in the folders) are not
    followed: they are named by the version of what they belong to.
    """
    seen: dict[Path, None] = {}
    waiting = [source.resolve(), *(path.resolve() for path in also)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen[path] = None
        for kind, name in _includes(path, path.stat().st_mtime_ns):
            folders = [*([path.parent] if kind == '"' else []), *include_folders]
            found = next((file for folder in folders if (file := folder / name).is_file()), None)
            if found is not None:
                waiting.append(found.resolve())
    return list(seen)


@functools.lru_cache(maxsize=1024)
def _includes(path: Path, _changed: int) -> list[tuple[str, str]]:
    """("<" or '"', name) of each include of a file; macros are left out."""
    names = []
    for line in _INCLUDE.findall(path.read_bytes()):
        text = line.decode(errors="replace").strip()
        if match := re.match(r'"([^"]+)"|<([^>]+)>', text):
            names.append(('"' if match[1] else "<", match[1] or match[2]))
    return names


def digest(words: Iterable[str], files: Iterable[Path], root: Path) -> str:
    """Of words, and of files by their place relative to root and their bytes."""
    result = hashlib.sha256()
    for word in words:
        result.update(word.encode() + b"\0")
    for name, path in sorted((os.path.relpath(path, root), path) for path in files):
        content = path.read_bytes()
        result.update(f"{name}\0{len(content)}\0".encode() + content)
    return result.hexdigest()[:16]
