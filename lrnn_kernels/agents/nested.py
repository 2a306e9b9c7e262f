"""States of networks and optimizers: tensors in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def mapped(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same, with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: mapped(change, value) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(mapped(change, value) for value in tree)
    return tree


def copied(tree: Any) -> Any:
    """The same, which stays as it is."""
    return mapped(lambda x: x.detach().clone(), tree)


def chosen(state: Any, rows: Tensor) -> Any:
    """A recurrent state, (layers,B,...), of some sequences of the batch."""
    return mapped(lambda h: h.index_select(1, rows), state)


def keys(name: str, state: object, expected: set[str]) -> None:
    """Raises ValueError where a state has other keys."""
    if not isinstance(state, dict) or state.keys() != expected:
        found = sorted(state) if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{name} must have the keys {', '.join(sorted(expected))}, got {found}")


def check(state: object, mine: dict[str, Any]) -> None:
    """Raises ValueError where an agent's state has other keys than one's own, or is of other
    settings."""
    keys("state", state, set(mine))
    own, given = mine["settings"], state["settings"]
    if given != own:
        differ = [name for name in own if own[name] != given.get(name)]
        raise ValueError(f"state must be of the same settings, got another {', '.join(differ)}")
