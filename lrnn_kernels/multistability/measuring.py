"""How many attractors the states that a network's sequences lead to lie in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..options import integer
from . import chance, orbit, sampling
from .attractors import vaa
from .network import Network, rows


@torch.no_grad()
def measure(
    net: nn.Module,
    sequences: Tensor,
    steps: int = 10_000,
    *,
    draws: int = 1,
    eps: float = 1e-4,
    generator: torch.Generator | None = None,
) -> float:
    """VAA of a network: 1/N where N sequences lead to one attractor, 1 where they lead to N.

    Each sequence is cut at a random length, uniform in 1..T; from there on all get one constant
    input u ~ N(0, I) for ``steps`` steps, the layers above what those below make of it; the states
    of all layers, side by side (h with c for an LSTM, real with imaginary parts), are counted by
    ``vaa``. Source: as there.

    Args:
        net: a layer of lrnn_kernels.nn, a Stack or Parallel of them, torch.nn.GRU, LSTM or RNN;
            of one direction. Dropout has no effect; nothing of net is changed.
        sequences: (T, N, input_size), or (N, T, input_size) if net is batch_first, of the
            parameters' dtype.
        steps: 10,000 are the paper's; 200 make a cheap figure to watch while training, in which
            states that are still on their way to one attractor count as different.
        draws: how often lengths and u are drawn; the mean is returned. One draw of u is one sample
            of a figure that varies.
        eps: as of ``vaa``.
        generator: what draws, torch's own if None; on any device.

    Without gradients. Time is that of the steps until the states of all sequences have come back,
    bit for bit, to some that they have been in: from there on they are known, and the result is
    that of all steps. Memory is that of the sequences, and of a few dozen steps. Raises TypeError
    or ValueError, naming the argument, and where states are not finite.
    """
    network = Network(net)
    network.check("sequences", sequences)
    steps = integer("steps", steps)
    draws = integer("draws", draws)
    chance.check(generator)
    T, N = sequences.shape[network.time], sequences.shape[1 - network.time]
    found = []
    for _ in range(draws):
        cut = chance.lengths(T, N, generator)
        u = chance.constant(net.input_size, generator, network.like)
        states = orbit.after(network, sampling.at(network, sequences, cut), u, steps)
        found.append(vaa(rows(states), eps))
    return sum(found) / draws
