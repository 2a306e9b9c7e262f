"""States under one constant input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..calls import arguments
from ..nn.members import State
from ..options import integer
from . import orbit
from .network import Network, tensors

#: Steps that are recorded for a backward pass. Of more, the states between pieces of as many are
#: kept, and a piece is run once more when its gradients are due.
RECORDED = 256


def hold(net: nn.Module, states: State, u: Tensor, steps: int) -> State:
    """The states to which a constant input brings a network: those after ``steps`` steps of u.

    Args:
        net: a layer of lrnn_kernels.nn, a Stack or Parallel of them, torch.nn.GRU, LSTM or RNN;
            of one direction. Dropout has no effect.
        states: before the first step, as a call of net takes and returns them: (num_layers, N,
            hidden_size), or a tuple.
        u: (input_size,), or (N, input_size), one for each sequence; of the parameters' dtype.
        steps: at least 1.

    Returns the states in the form of ``states``.

    Differentiable with respect to states, u and parameters. Up to 256 steps are recorded; of more,
    the states after every 256, and the backward pass runs the steps between them again. Without
    gradients memory is that of two dozen steps, and time that of the steps until the states of all
    sequences have come back, bit for bit, to some that they have been in: from there on they are
    known. Raises TypeError or ValueError, naming the argument.
    """
    network = Network(net)
    parts = network.split(states)
    steps = integer("steps", steps)
    count = tensors(parts[0])[0].shape[1]
    arguments.tensor("u", u)
    size = net.input_size
    if tuple(u.shape) not in ((size,), (count, size)):
        raise ValueError(f"u must have shape ({size},) or {count, size}, got {arguments.shape(u)}")
    if u.dtype != network.like.dtype:
        raise TypeError(f"u must be of the parameters' dtype, {network.like.dtype}, got {u.dtype}")
    return network.join(held(network, parts, u, steps))


def held(network: Network, states: list, u: Tensor, steps: int) -> list:
    """The units' states after ``steps`` of u, from theirs before."""
    given = [u, *(h for state in states for h in tensors(state)), *network.net.parameters()]
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in given)):
        with torch.no_grad():
            return orbit.after(network, states, u, steps)
    count = tensors(states[0])[0].shape[1]

    def piece(states: list, length: int) -> list:
        return network.run(network.constant(u, length, count), states)

    for start in range(0, steps, RECORDED):
        length = min(RECORDED, steps - start)
        if steps > RECORDED:
            states = checkpoint(
                piece, states, length, use_reentrant=False, preserve_rng_state=False
            )
        else:
            states = piece(states, length)
    return states
