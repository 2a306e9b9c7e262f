"""One layer of several as a layer of its own, and what a layer's outputs tell of its states."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import nn

from . import members
from .base import Recurrent


def single(layer: nn.Module, number: int) -> nn.Module:
    """Layer ``number`` of a Recurrent, or of torch.nn.GRU, LSTM or RNN, of one direction: a layer
    whose parameters are the same objects, so that gradients and changes reach either.

    Its options are those of now, and one of several has no hooks. Raises ValueError where several
    do not hold all their parameters themselves, as a parametrization leaves them.
    """
    if layer.num_layers == 1:
        return layer
    own, end = layer._parameters, f"_l{number}"
    names = _names(layer)
    if missing := [name for one in names for name in one if name not in own]:
        raise ValueError(
            f"a {type(layer).__name__} of several layers must hold its parameters itself, got none "
            f"called {missing[0]}: parametrized layers must be layers of one, in a Stack"
        )
    shared = {name.removesuffix(end) + "_l0": own[name] for name in names[number]}
    known = members.width(layer) if number else layer.input_size
    if not isinstance(layer, Recurrent):
        return _of_torch(layer, known, shared)
    one = copy.copy(layer)
    one._parameters = shared
    one._suffixes, one._names = [["_l0"]], [layer._names[number]]
    one._forward_hooks, one._forward_pre_hooks = OrderedDict(), OrderedDict()  # of all, not of one
    one.input_size, one.num_layers, one.dropout = known, 1, 0.0
    return one


def _names(layer: nn.Module) -> list[list[str]]:
    """Of the parameters of each layer, one direction's."""
    if isinstance(layer, Recurrent):
        return [[f"{name}_l{k}" for name in names] for k, names in enumerate(layer._names)]
    return layer._all_weights


def _of_torch(layer: nn.RNNBase, input_size: int, shared: dict[str, nn.Parameter]) -> nn.Module:
    kinds = (torch.nn.GRU, torch.nn.LSTM, torch.nn.RNN)
    kind = next(kind for kind in kinds if isinstance(layer, kind))
    given = {"nonlinearity": layer.nonlinearity} if kind is torch.nn.RNN else {}
    if layer.proj_size:
        given["proj_size"] = layer.proj_size
    one = kind(
        input_size,
        layer.hidden_size,
        bias=layer.bias,
        batch_first=layer.batch_first,
        device="meta",
        **given,
    )
    for name, p in shared.items():
        setattr(one, name, p)
    return one


def shows_state(layer: nn.Module) -> bool:
    """Whether the outputs of a layer of one are its states, so that a sequence's outputs hold the
    state after every step."""
    if isinstance(layer, Recurrent):
        plain = type(layer)._read_out is Recurrent._read_out and "_read_out" not in vars(layer)
        return plain and len(layer.cell.states) == 1
    return not isinstance(layer, torch.nn.LSTM)
