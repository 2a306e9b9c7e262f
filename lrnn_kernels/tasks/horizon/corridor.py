"""A wait between a cue and the action that needs it, of any length: what is seen, and what is right
to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from ...options import integer


@dataclass(frozen=True, eq=False)
class Cue:
    """What must be remembered.

    Args:
        name: how verdicts call it.
        inputs: (n, in), n >= 1: all that is seen up to and with the cue, from a fresh state on.
        actions: n whole numbers from 0 on: the right action after each of these inputs; None where
            any is.
        answer: the right action at the junction.
    """

    name: str
    inputs: Tensor
    actions: Sequence[int | None]
    answer: int

    def __post_init__(self) -> None:
        _observations("inputs", self.inputs)
        actions = _actions("actions", self.actions, len(self.inputs))
        object.__setattr__(self, "actions", actions)
        object.__setattr__(self, "answer", integer("answer", self.answer, 0))


@dataclass(frozen=True, eq=False)
class Corridor:
    """A cue, then a corridor of any length, then a junction. At horizon T the corridor shows T - 1
    inputs, and the junction is the T-th after the cue.

    Args:
        cues: all that there are.
        inputs: (in,), or (P, in) where the corridor repeats P inputs, the first one first.
        actions: the right action in the corridor, or P of them; None where any is, as where only
            the answer counts.
        junction: (in,).
        shortest: the smallest horizon that counts.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    cues: Sequence[Cue]
    inputs: Tensor
    actions: int | Sequence[int | None] | None
    junction: Tensor
    shortest: int = 1

    def __post_init__(self) -> None:
        cues = tuple(self.cues) if isinstance(self.cues, Iterable) else ()
        if not cues or not all(isinstance(cue, Cue) for cue in cues):
            raise TypeError(f"cues must be one Cue or more in a sequence, got {self.cues!r}")
        inputs = self.inputs
        if isinstance(inputs, Tensor) and inputs.dim() == 1:
            inputs = inputs[None]
        _observations("inputs", inputs)
        actions = self.actions
        if actions is None or isinstance(actions, Integral):
            actions = (actions,) * len(inputs)
        object.__setattr__(self, "actions", _actions("actions", actions, len(inputs)))
        size = inputs.shape[1]
        if not isinstance(self.junction, Tensor) or tuple(self.junction.shape) != (size,):
            raise ValueError(f"junction must be a tensor of shape ({size},), got {self.junction!r}")
        for number, cue in enumerate(cues):
            if cue.inputs.shape[1] != size:
                raise ValueError(
                    f"cues[{number}].inputs must have {size} channels, as the corridor's have, got "
                    f"{cue.inputs.shape[1]}"
                )
        object.__setattr__(self, "shortest", integer("shortest", self.shortest))
        object.__setattr__(self, "cues", cues)
        object.__setattr__(self, "inputs", inputs)


def given(env: object) -> Corridor:
    """The corridor that an environment is, or has."""
    if isinstance(env, Corridor):
        return env
    corridor = getattr(env, "corridor", None)
    found = corridor() if callable(corridor) else corridor
    if not isinstance(found, Corridor):
        raise TypeError(
            f"env must be a Corridor, or have one as env.corridor(), got {type(env).__name__}"
        )
    return found


def _observations(name: str, x: object) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be a tensor of floating point, got {got}")
    if x.dim() != 2 or 0 in x.shape:
        raise ValueError(f"{name} must have shape (n, in), got {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def _actions(name: str, actions: object, count: int) -> tuple[int | None, ...]:
    if not isinstance(actions, Sequence) or len(actions) != count:
        raise ValueError(f"{name} must be {count} actions, one for each input, got {actions!r}")
    return tuple(None if action is None else integer(name, action, 0) for action in actions)
