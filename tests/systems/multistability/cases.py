"""Small networks of every kind, and the plain loop that says what happens to their states."""

import pytest
import torch
from torch import Tensor

from lrnn_kernels import nn
from lrnn_kernels.multistability.network import Network, rows, tensors
from lrnn_kernels.nn import members
from tests.layers import cases as layers

IN, H = 3, 4


def _torch(kind, *args, **options):
    return kind(*args, dtype=torch.float64, **options)


def _ours(name: str, input_size: int, hidden_size: int, **options):
    return layers.make(name, input_size, hidden_size, **options)


def _nested():
    both = nn.Parallel(
        _ours("LRU", IN, 5),
        nn.Stack(_ours("LSTM", IN, H), _ours("BMRU", H, 2), output_size=3),
        merge="concat",
        output_size=6,
    )
    return nn.Stack(both, _torch(torch.nn.LSTM, 6, H), _ours("MGU", H, 3), output_size=2)


#: Every layer in each of its forms, two of them, and what holds layers; float64, time first.
NETWORKS = {
    **{name: lambda name=name: _ours(name, IN, H, num_layers=2) for name in layers.LAYERS},
    "batch first": lambda: _ours("GRU", IN, H, num_layers=2, batch_first=True),
    "one layer": lambda: _ours("LSTM", IN, H),
    "hybrid": lambda: nn.Stack(_ours("LRU", IN, H), _ours("BMRU", H, 5), output_size=2),
    "sum": lambda: nn.Parallel(_ours("GRU", IN, H), _ours("CMRU", IN, H)),
    "nested": _nested,
    "torch GRU": lambda: _torch(torch.nn.GRU, IN, H, 2, batch_first=True),
    "torch LSTM": lambda: _torch(torch.nn.LSTM, IN, H, 2),
    "torch LSTM, projected": lambda: _torch(torch.nn.LSTM, IN, H, 2, proj_size=2),
    "torch RNN": lambda: _torch(torch.nn.RNN, IN, H, 3, nonlinearity="relu", bias=False),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def make(name: str):
    torch.manual_seed(1)
    return NETWORKS[name]()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sequences(net, steps: int, count: int) -> Tensor:
    """In the form that net takes."""
    x = torch.randn(count, steps, net.input_size, generator=seeded(), dtype=torch.float64)
    x = x.to(next(net.parameters()).dtype)
    return x if net.batch_first else x.transpose(0, 1).contiguous()


def one(net, x: Tensor, i: int) -> Tensor:
    """Sequence i, (T,in)."""
    return x[i] if net.batch_first else x[:, i]


def by_steps(net, x: Tensor, lengths, u: Tensor | None = None, steps: int = 0) -> Tensor:
    """States after so many steps of each sequence, and then of u: one sequence at a time, one step
    at a time. (N,D), as VAA takes them."""
    network, found = Network(net), []
    for i, length in enumerate(lengths):
        state = None
        inputs = [*one(net, x, i)[:length], *([u] * steps)]
        for value in inputs:
            _, state = members.step(net, value[None], state, None)
        found.append(rows(network.split(state)))
    return torch.cat(found)


def every_bit(states: list) -> list[bytes]:
    """All that units' states hold."""
    return [h.contiguous().numpy().tobytes() for state in states for h in tensors(state)]
