"""States as layers, compositions and networks return them: tensors in tuples, and in tuples of
these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

States = TypeVar("States")


def detach(states: States) -> States:
    """States without what computed them, of the same memory: the backward pass of what comes after
    them ends there, as truncated backpropagation through time has it.

        out, states = network(piece, states)
        loss(out).backward()
        states = nn.detach(states)

    Args:
        states: what a layer, a composition or a network returned beside its output: a tensor, None,
            or tuples, lists and dicts of such.

    Returns the same with every tensor detached. Raises TypeError for what holds anything else.
    """
    check("states", states)
    return mapped(Tensor.detach, states)


def mapped(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same, with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: mapped(change, value) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(mapped(change, value) for value in tree)
    return tree


def check(name: str, states: object) -> None:
    """Raises TypeError for what is no state."""
    if isinstance(states, dict):
        states = tuple(states.values())
    if type(states) in (tuple, list):
        for state in states:
            check(name, state)
    elif states is not None and not isinstance(states, Tensor):
        raise TypeError(
            f"{name} must be tensors, or tuples, lists or dicts of them, got "
            f"{type(states).__name__}"
        )


def tensors(states: Any) -> list[Tensor]:
    """All tensors in nested states."""
    if isinstance(states, dict):
        states = tuple(states.values())
    if isinstance(states, (tuple, list)):
        return [h for part in states for h in tensors(part)]
    return [states] if isinstance(states, Tensor) else []
