"""Small policies of every kind, and what they walk in."""

import pytest
import torch

from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import t_maze

H = 5
FLOAT64 = {"batch_first": True, "dtype": torch.float64}
#: With gradients that are what the function's are, or a surrogate's: both are the same for one
#: sequence and for many.
NETWORKS = {
    "GRU": lambda n: nn.GRU(n, H, 2, **FLOAT64),
    "LSTM": lambda n: nn.LSTM(n, H, **FLOAT64),
    "BMRU": lambda n: nn.BMRU(n, H, beta_init=0.1, **FLOAT64),
    "LRU>BRC": lambda n: nn.Stack(nn.LRU(n, H, **FLOAT64), nn.BRC(H, H, **FLOAT64)),
    "LRU|GRU": lambda n: nn.Parallel(nn.LRU(n, H, **FLOAT64), nn.GRU(n, H, **FLOAT64)),
    "learned start": lambda n: nn.GRU(n, H, initial_state="learned", **FLOAT64),
    "torch GRU": lambda n: torch.nn.GRU(n, H, **FLOAT64),
    "torch LSTM": lambda n: torch.nn.LSTM(n, H, 2, **FLOAT64),
}
every_network = pytest.mark.parametrize("network", NETWORKS)


def policy(network: str = "GRU", inputs: int = 4, actions: int = 4, **options) -> agents.Policy:
    torch.manual_seed(3)
    return agents.Policy(NETWORKS[network](inputs), actions, **options)


def mazes(count: int, shortest: int = 2, longest: int = 5, seed: int = 0) -> t_maze.TMaze:
    return t_maze.TMaze(t_maze.Maze(shortest, longest), count, seed=seed)


def same(one, other) -> bool:
    """Whether two states are the same bits, and the same numbers."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def through_a_file(state: dict, path) -> dict:
    torch.save(state, path)
    return torch.load(path, weights_only=True)
