"""The generated tasks, each small enough to be drawn often, and what a batch of it must be."""

import hashlib

import torch

from lrnn_kernels import tasks

#: Module, sizes, what inputs are, and how many classes (none: a regression).
GENERATED = {
    "copy_first_symbol": (
        tasks.copy_first_symbol,
        {"batch_size": 40, "steps": 30, "symbols": 5, "channels": 3},
        ((40, 30, 9), torch.float32),
        5,
    ),
    "copy_first_symbol, symbols": (
        tasks.copy_first_symbol,
        {"batch_size": 40, "steps": 30, "distractors": "symbols"},
        ((40, 30, 17), torch.float32),
        8,
    ),
    "copy_first_input": (
        tasks.copy_first_input,
        {"batch_size": 500, "steps": 30},
        ((500, 30, 1), torch.float32),
        None,
    ),
    "denoising": (
        tasks.denoising,
        {"batch_size": 100, "steps": 40, "padding": 20},
        ((100, 40, 2), torch.float32),
        None,
    ),
    "selective_copying": (
        tasks.selective_copying,
        {"batch_size": 40, "steps": 50, "tokens": 6, "symbols": 7},
        ((40, 50), torch.int64),
        7,
    ),
    "associative_recall": (
        tasks.associative_recall,
        {"batch_size": 40, "steps": 50, "pairs": 6, "keys": 9, "values": 11},
        ((40, 50), torch.int64),
        11,
    ),
    "t_maze": (
        tasks.t_maze,
        {"batch_size": 60, "shortest": 3, "longest": 9},
        ((60, 10, 4), torch.float32),
        4,
    ),
    "t_maze, flashes": (
        tasks.t_maze,
        {"batch_size": 60, "shortest": 3, "longest": 9, "cue": "flashes"},
        ((60, 19, 4), torch.float32),
        4,
    ),
    "listops": (
        tasks.listops,
        {"batch_size": 200, "steps": 60, "min_length": 10, "max_depth": 4, "max_args": 5},
        ((200, 60), torch.int64),
        10,
    ),
    "pathfinder": (
        tasks.pathfinder,
        {"batch_size": 30, "dashes": 4, "distractors": 1, "distractor_dashes": 2},
        ((30, 1024, 1), torch.float32),
        2,
    ),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digest(*tensors: torch.Tensor) -> str:
    """A checksum of their values."""
    found = hashlib.sha256()
    for x in tensors:
        found.update(x.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
