"""What a scan is, apart from its tensors."""

from __future__ import annotations

from typing import NamedTuple


class Static(NamedTuple):
    """What a scan is, apart from its tensors."""

    operators: str  # the namespace of the backend's operators
    kernel: str  # the operator
    numbers: list[float]  # its options
    saves: str  # what its backward pass reads: "y"; "bits" or "states", saved for it; "nothing"
    linear: str  # of a linear recurrence: the kernel of its derivatives
    inputs: int  # how many of the tensors are streams; the rest are parameters
    reverse: bool
    public: str  # what its users call it, where it raises


class Leaf:
    """What a scan is, under torch.func, which takes apart the lists and tuples among arguments,
    and loses count of them in jvp."""

    __slots__ = ("static",)

    def __init__(self, static: Static) -> None:
        self.static = static
