"""Sequences drawn once and kept in a file, where drawing them would cost as much as training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

#: Of each sequence what its task makes a batch of, in few bytes; all tensors as long.
Pool = dict[str, Tensor]

#: So many sequences from a generator.
Draw = Callable[[int, torch.Generator], Pool]

PIECE = 100  # sequences drawn at a time


def drawn(draw: Draw, count: int, seed: int) -> Pool:
    """So many sequences, in pieces from one generator."""
    generator = torch.Generator().manual_seed(seed)
    pieces = [draw(min(PIECE, count - n), generator) for n in range(0, count, PIECE)]
    return {key: torch.cat([piece[key] for piece in pieces]) for key in pieces[0]}


def kept(draw: Draw, count: int, seed: int, folder: Path, name: str) -> Pool:
    """``drawn``, from a file in the folder if there is one, else written there. The file's name
    ends in the checksum of what it holds: one that was cut short is drawn again, as is one whose
    first piece is not what is drawn today."""
    begin = f"{name}-{count}-{seed}"
    for path in sorted(folder.glob(f"{begin}-*.pt")):
        pool = _read(path, begin)
        if pool is not None and _same(pool, drawn(draw, min(PIECE, count), seed)):
            return pool
        path.unlink()
    pool = drawn(draw, count, seed)
    save(pool, folder / f"{begin}-{checksum(pool)}.pt")
    return pool


def checksum(pool: Pool) -> str:
    """Of names, shapes and bytes of a pool's tensors, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for key, x in sorted(pool.items()):
        digest.update(f"{key} {x.dtype} {tuple(x.shape)}".encode())
        digest.update(x.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def save(content: dict, path: Path) -> None:
    """Writes a file that is there as a whole or not at all, whenever this is interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save(content, written)
    written.replace(path)


def _read(path: Path, begin: str) -> Pool | None:
    try:
        pool = torch.load(path, weights_only=True)
    except Exception:  # what a spoilt file raises depends on its bytes
        return None
    return pool if path.name == f"{begin}-{checksum(pool)}.pt" else None


def _same(pool: Pool, first: Pool) -> bool:
    return pool.keys() == first.keys() and all(
        torch.equal(pool[key][: len(x)], x) for key, x in first.items()
    )
