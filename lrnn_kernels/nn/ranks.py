"""A layer whose time is split over the ranks of a process group: the attribute that holds the
group, and what such a layer does not do."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..calls import distributed


class Held:
    """A process group, which a copy of its layer shares and which no file can hold."""

    __slots__ = ("group",)

    def __init__(self, group: Any) -> None:
        self.group = group

    def __deepcopy__(self, memo: dict) -> Held:
        return self

    def __reduce__(self):
        raise TypeError(
            "a layer with a process_group cannot be pickled: set its process_group to None, or "
            "save its state_dict"
        )


class Shown:
    """A group in a layer's repr."""

    def __init__(self, group: Any) -> None:
        self.ranks = group.size()

    def __repr__(self) -> str:
        return f"<{self.ranks} ranks>"


class ProcessGroupOf:
    """The attribute ``process_group`` of a recurrent layer: a torch.distributed.ProcessGroup, or
    None. What cannot be split refuses a group."""

    _NAME = "_process_group"

    def __get__(self, layer: nn.Module | None, owner: type) -> Any:
        if layer is None:
            return self
        held = layer.__dict__.get(self._NAME)
        return None if held is None else held.group

    def __set__(self, layer: nn.Module, group: Any) -> None:
        if group is not None:
            distributed.check(layer.cell, group, layer.__dict__.get("backend", "auto"))
        layer.__dict__[self._NAME] = None if group is None else Held(group)


def common(layers: list[nn.Module]) -> Any:
    """The group that all members of a composition share, None where all have none; raises
    ValueError where only some are split, whose sum would mix pieces with sequences of their own."""
    groups = [getattr(layer, "process_group", None) for layer in layers]
    for number, group in enumerate(groups):
        if group is not groups[0]:
            raise ValueError(
                "layers must agree on process_group: layer 0 has "
                f"{_said(groups[0])}, layer {number} ({type(layers[number]).__name__}) has "
                f"{_said(group)}"
            )
    return groups[0]


def _said(group: Any) -> str:
    return "none" if group is None else f"one of {group.size()} ranks"


def refuse(layer: nn.Module, what: str) -> None:
    """Raises where a layer that is split is asked for what one process alone can do."""
    if layer.process_group is not None:
        raise RuntimeError(
            f"{what} is for one process: set process_group of {type(layer).__name__} to None"
        )
