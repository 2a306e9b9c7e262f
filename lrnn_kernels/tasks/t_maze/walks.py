"""The walks of an environment's episodes as sequences, for cloning."""

from __future__ import annotations

import torch

from ..batch import Batch
from .cells import LEFT, RIGHT
from .environment import TMaze


def walks(env: TMaze) -> Batch:
    """The shortest walks of the episodes that an environment's mazes are in, from their start:
    inputs (B, T, 4 or 6), targets (B, T) and mask as ``draw`` has them, for every kind of maze.

    Where corridors follow each other, a sequence goes on through each junction.
    """
    observations, cells = env.shown(), torch.arange(env.arms.shape[1]).expand_as(env.arms)
    actions = torch.where(env.arms < 0, RIGHT, env.arms)
    if env.maze.cue == "left":  # the walk begins one cell on, and goes back for the cue
        cells = torch.cat([cells[:, 1:2], cells], 1)
        observations = torch.cat([observations[:, 1:2], observations], 1)
        actions = torch.cat([torch.full_like(actions[:, :1], LEFT), actions], 1)
    mask = cells <= env.last[:, None]
    return Batch(observations * mask[..., None], actions, mask)
