"""The arguments that a layer takes: those of all layers, its own, and what is said of others."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from typing import NoReturn

from ..calls.arguments import STATE

#: A mask of what is padding, as torch's and others' attention has it.
_PADDING = ("mask", "padding_mask", "key_padding_mask", "src_key_padding_mask", "attention_mask")
_PACKED = (
    "sequences of several lengths are a PackedSequence, as "
    "torch.nn.utils.rnn.pack_padded_sequence makes it of x and lengths"
)
_RESET = "True where a sequence starts anew is reset"

#: Names that users of snnTorch, SpikingJelly and torch bring; the argument of ours, of which it is
#: said where a layer has it; and what is said.
COUNTERPARTS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("spike_grad", "surrogate_function", "surrogate_grad"),
        "surrogate",
        "a spike's derivative is surrogate, with its width",
    ),
    (("beta", "alpha", "decay"), "leak", "the factor by which the current decays is leak"),
    (("tau",), "leak", "the factor by which the current decays is leak, there 1 - 1/tau"),
    (("beta",), "beta_init", "the threshold starts at beta_init"),
    (("v_threshold",), "threshold", "what h must exceed for a spike is threshold"),
    (
        ("reset_mechanism", "reset_delay", "v_reset"),
        "threshold",
        "nothing resets a neuron, which recovers by its own feedback",
    ),
    (
        ("init_hidden", "step_mode"),
        "hidden_size",
        "a layer keeps no state, which is an argument and a result of each call",
    ),
    (("in_features", "input_dim"), "input_size", "the channels of x are input_size"),
    (("out_features", "hidden_dim", "units"), "hidden_size", "the width is hidden_size"),
    (("proj_size",), "hidden_size", "a projection is a torch.nn.Linear after the layer"),
    (STATE, "h_0", "a layer's initial state is h_0"),
    (STATE, "state", "the state before a step is state"),
    (STATE, "states", "the states of all layers are states"),
    (
        (*_PADDING, "seq_lengths", "batch_sizes"),
        "lengths",
        f"sequences of several lengths are padded at their ends, with lengths; {_RESET}",
    ),
    (_PADDING, "return_sequence", f"{_PACKED}; {_RESET}"),
    (("lengths", "seq_lengths", "batch_sizes"), "return_sequence", _PACKED),
    (("mask", "done", "dones"), "reset", _RESET),
)


def own(layer: type) -> dict[str, inspect.Parameter]:
    """The arguments that are a layer's own, by name."""
    parameters = inspect.signature(layer._set_options).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


def without_self(function: Callable) -> inspect.Signature:
    _, *parameters = inspect.signature(function).parameters.values()
    return inspect.Signature(parameters)


def constructor(layer: type, base: type) -> inspect.Signature:
    """The constructor's arguments as help() shows them: those of all layers, with this one's
    defaults, and its own. base is the class that takes them."""
    common = without_self(base.__init__).parameters.values()
    defaults = {"bias": layer.default_bias, "initial_state": layer.default_initial_state}
    shown = [p.replace(default=defaults.get(p.name, p.default)) for p in common]
    *positional, initial_state, process_group, backend, _ = shown
    last = initial_state, process_group, backend
    return inspect.Signature([*positional, *own(layer).values(), *last])


def named(layer: type, function: types.FunctionType) -> types.FunctionType:
    """A method that is written for many classes as one's own, so that what Python says of its
    arguments names the class that was called."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, function.__annotations__
    copy.__doc__, copy.__module__ = function.__doc__, layer.__module__
    copy.__qualname__ = f"{layer.__qualname__}.{function.__name__}"
    return copy


def refuse(layer: type, unknown: Iterable[str], taken: Iterable[str]) -> NoReturn:
    """Raises TypeError of a keyword that is none of those taken: with its counterpart, and them."""
    name, taken = next(iter(unknown)), list(taken)
    said = [words for names, ours, words in COUNTERPARTS if name in names and ours in taken]
    hint = "".join(f": {words}" for words in said[:1])
    raise TypeError(
        f"{layer.__name__} takes no argument {name!r}{hint}; arguments are {', '.join(taken)}"
    )


def keywords(method: Callable) -> list[str]:
    """The arguments of a method, as it names them."""
    parameters = inspect.signature(method).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
