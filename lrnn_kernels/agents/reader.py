"""Networks as an actor-critic asks them, whichever inputs they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.members import State
from ..nn.states import mapped
from .actions import REAL
from .policy import without_dropout

_NEEDED = ("input_size", "output_size", "step")


class Reader:
    """A network over [what was before, observation], the observations of ``PreviousStep``: one
    with a ``context_size``, as models.NMDNet, reads what was before as its context and the
    observation as its input; any other, as models.RecurrentNet, reads it all as its input.

    Args:
        what: the argument's name, for errors.
        net: ``net(x, [context,] state, reset)`` and ``net.step`` alike, with input_size and
            output_size, an int or one for each of several heads.
        before, observation: channels of either part.
        outputs: channels of the answers, heads side by side.

    Called as ``out, state = reader(x, state=None, reset=None, window=None)``, x
    (B,T,before+observation): out (B,T,outputs). With a window, gradients end after so many steps:
    states are carried on, as constants.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    def __init__(
        self, what: str, net: nn.Module, *, before: int, observation: int, outputs: int
    ) -> None:
        missing = [name for name in _NEEDED if not hasattr(net, name)]
        if not isinstance(net, nn.Module) or missing:
            lacks = f" without {', '.join(missing)}" if missing else ""
            raise TypeError(
                f"{what} must be a network as models.NMDNet or models.RecurrentNet, got "
                f"{type(net).__name__}{lacks}"
            )
        without_dropout(what, net)
        self.net, self.before, self.observation_size = net, before, before + observation
        self.modulated = hasattr(net, "context_size")
        expected = {"input_size": before + observation}
        if self.modulated:
            expected = {"input_size": observation, "context_size": before}
        for name, size in expected.items():
            if getattr(net, name) != size:
                raise ValueError(f"{what} must have {name} = {size}, got {getattr(net, name)}")
        sizes = net.output_size
        if (sizes if isinstance(sizes, int) else sum(sizes)) != outputs:
            raise ValueError(f"{what} must have {outputs} outputs in all, got {sizes}")

    def __call__(
        self,
        x: Tensor,
        state: State | None = None,
        reset: Tensor | None = None,
        window: int | None = None,
    ) -> tuple[Tensor, State]:
        outs = []
        for first in range(0, x.shape[1], x.shape[1] if window is None else window):
            steps = slice(first, None if window is None else first + window)
            if first:
                state = mapped(Tensor.detach, state)  # of whatever else it holds
            starts = None if reset is None else reset[:, steps]
            answer, state = self.net(*self._split(x[:, steps]), state, starts)
            outs.append(_joined(answer))
        return (outs[0] if len(outs) == 1 else torch.cat(outs, 1)), state

    def step(
        self, observation: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One step: observation (B,before+observation), reset bool (B,)."""
        answer, state = self.net.step(*self._split(observation), state, reset)
        return _joined(answer), state

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.net.parameters()

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        if not self.modulated:
            return (x,)
        return x[..., self.before :], x[..., : self.before]


class Actor(Reader):
    """A ``Reader`` of 2 A outputs: means, and log-variances to which -1 is added, of action_size =
    A actions."""

    def __init__(self, net: nn.Module, env: Any) -> None:
        """For the environment, a ``PreviousStep``."""
        observation = env.env.observation_size
        self.action_size: int = env.action_size
        super().__init__(
            "actor",
            net,
            before=env.observation_size - observation,
            observation=observation,
            outputs=2 * self.action_size,
        )

    def draw(self, out: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (...,A) of answers (...,2A)."""
        return REAL.draw(out, generator)

    def greedy(self, out: Tensor) -> Tensor:
        """The means (...,A) of answers (...,2A)."""
        return REAL.greedy(out)


def _joined(answer: Any) -> Tensor:
    return answer if isinstance(answer, Tensor) else torch.cat(answer, -1)
