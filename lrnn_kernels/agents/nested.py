"""States of networks and optimizers: tensors in tuples, lists and dicts."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..nn.states import mapped
from ..options import integer


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


def check(state: object, mine: dict[str, Any], free: str) -> None:
    """Raises ValueError where an agent's state has other keys than one's own, or is of other
    settings than ``free``, which says how long a run is."""
    keys("state", state, set(mine))
    own, given = mine["settings"], state["settings"]
    differ = [name for name in own if own[name] != given.get(name) and name != free]
    if differ:
        raise ValueError(f"state must be of the same settings, got another {', '.join(differ)}")


def check_walk(walk: dict[str, Any] | None, begin: str, batch_size: int) -> None:
    """Raises ValueError where what an agent's state says of its environments is missing, or is of
    another number of them."""
    if walk is None:
        raise ValueError("state has no environment: load it with env=False")
    given = len(walk[begin])
    if given != batch_size:
        raise ValueError(
            f"state must be of {batch_size} environments, as env, got {given}; load it with "
            "env=False to go on in env"
        )


def end_of_run(done: int, total: int, name: str, more: int | None) -> int:
    """Where training ends that goes on for ``more``, or to the end of the settings' total.

    Raises ValueError where nothing is left of it."""
    if more is None:
        return total
    more = integer(name, more)
    if done >= total:
        raise ValueError(
            f"{name} must be None, as all {total} of the settings are done, got {more}: to go on, "
            "load the state into an agent whose settings have more"
        )
    return min(total, done + more)
