"""One time step of a recurrent layer, for streaming. ``layers`` is a ``base.Recurrent``.

There are three ways, from the fastest to the most general; they give the same values, and each
leaves to the next what it is not for. One operator a layer, for what is as it was built, on the
CPU, without gradients. The layer's methods one by one, where nothing records. A sequence of one
step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter

import torch
from torch import Tensor, nn

from ..calls import step
from ..calls.autograd import owned
from . import checks, directions
from .checks import State

#: The methods whose work an operator does; one more where ``_step_tensors`` is not the base's.
_PARTS = (
    "forward",
    "_drive",
    "_streams",
    "_scan",
    "_read_out",
    "_store",
    "_load",
    "_parameters_of",
)
_ALL_PARTS = (*_PARTS, "_scan_params")

#: What finds the methods of a class, and those that were found.
Parts = tuple[Callable[[type], tuple], tuple]


def parts(cls: type, base: type) -> Parts:
    """The methods that a class's ``_step_tensors`` speaks for, as they are now. For another
    forward than the base's none does."""
    methods = attrgetter(*(_PARTS if cls is base else _ALL_PARTS))
    return methods, (base.forward, *methods(cls)[1:])


def by_operator(
    layers: nn.Module, x: Tensor, state: State | None, reset: Tensor | None
) -> tuple[Tensor, State] | None:
    """A step by one operator a layer; None where that cannot be, or where something is wrong.

    Nothing is remembered of a call: parameters, options and what the layer has become since are
    looked at each time.
    """
    if not (
        type(x) is Tensor
        and x.is_cpu
        and (reset is None or type(reset) is Tensor)
        and directions.is_plain(layers)
        and not torch._C._is_any_autocast_enabled()
        and not torch._C._len_torch_dispatch_stack()
        and step.runs(layers.backend)
        and not layers.bidirectional
        and not (layers.training and layers.dropout and layers.num_layers > 1)
        and is_as_built(layers)
    ):
        return None
    row = layers.cell
    states = _listed(state, len(row.states))
    if states is None:
        return None
    options = layers._scan_options()
    operator = step.operator(row, options, reset is not None, layers.step_operator)
    numbers, count, own = row.numbers(options), layers.num_layers, layers.step_operator
    found = []
    for layer in range(count):
        p = _parameters(layers, layer)
        tensors = None if p is None else layers._step_tensors(p)
        if tensors is None:
            return None
        initial = None if reset is None and states else layers._initial(p)
        try:
            done = operator(x, *tensors, numbers, states, layer, count, reset, initial)
        except RuntimeError:
            step.reraise()
            checks.sequence(x)
            raise
        if not done:
            return None
        y, *last = done
        x = layers._finish_step(y, x, p) if own else y
        found.append(last)
    last = found[0] if count == 1 else [torch.cat(parts) for parts in zip(*found, strict=True)]
    return x, last[0] if len(last) == 1 else tuple(last)


def _listed(state: State | None, count: int) -> list[Tensor] | None:
    """The states of a user in a list, an empty one of the initial state; None of what is no plain
    tensor, or not as many as there are."""
    if state is None:
        return []
    states = [state] if count == 1 else state
    if count > 1 and (type(state) not in (tuple, list) or len(state) != count):
        return None
    for h in states:
        if type(h) is not Tensor:
            return None
    return list(states)


def is_as_built(layers: nn.Module) -> bool:
    """Whether the methods that ``_step_tensors`` speaks for are those it was written with: a
    subclass, or a patch, may have put others in their place."""
    cls = type(layers)
    methods, as_written = cls._step_parts
    return methods(cls) == as_written and layers.__dict__.keys().isdisjoint(_ALL_PARTS)


def _parameters(layers: nn.Module, layer: int) -> Mapping[str, Tensor] | None:
    """``_parameters_of``, without the search that nn.Module begins for every attribute; None where
    one is no plain parameter."""
    found, suffix = {}, layers._suffixes[layer][0]
    registered = layers._parameters
    for name in layers._names[layer]:
        p = registered.get(name + suffix)  # none where it is parametrized, or sharded
        if type(p) is not nn.Parameter and type(p) is not Tensor:
            return None
        found[name] = p
    return found


def by_parts(
    layers: nn.Module, x: Tensor, state: State | None, reset: Tensor | None
) -> tuple[Tensor, State]:
    """A step of any layer; raises what is wrong with its arguments."""
    if layers.bidirectional:
        raise RuntimeError(
            "step is for one direction: a bidirectional layer's output needs the steps to come"
        )
    checks.shape(layers, x, "B", "")
    batch = tuple(x.shape[:-1])
    checks.state(layers, "state", state, batch, x)
    checks.reset(reset, batch)
    _, (forward, *_) = type(layers)._step_parts
    plain = type(layers).forward is forward and "forward" not in vars(layers)
    if state is not None and x.dim() == 2 and plain and directions.is_plain(layers):
        mask = None if reset is None else reset.unsqueeze(1)
        out, states = directions.one_step(layers, x.unsqueeze(1), layers._store(state), mask)
        alone = len(states) == len(layers.cell.states) == 1
        return owned(out.squeeze(1)), layers._load(states, _alone if alone else torch.stack)
    time = x.dim() - 1 if layers.batch_first else 0
    out, state = layers(x.unsqueeze(time), state, None if reset is None else reset.unsqueeze(time))
    return owned(out.squeeze(time)), state


def _alone(states: list[Tensor]) -> Tensor:
    """One state, (B,C), as that of a stack of one layer, without a copy."""
    return states[0].unsqueeze_(0)
