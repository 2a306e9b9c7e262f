"""What a layer's constructor takes: the arguments of all layers, and those of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable


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
