"""A recurrent network with a head for actions, and for PPO one for values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..calls import arguments
from ..nn import members
from ..nn.members import State
from ..options import boolean, integer, number
from .actions import ONE_OF, REAL, Actions

_DROPOUT = torch.nn.modules.dropout._DropoutNd

#: What the head's last weights are multiplied with where the first probabilities are given: logits
#: are then nearly the bias.
FIRST_WEIGHTS = 0.1


class Policy(nn.Module):
    """A recurrent network that says, at every step, how good each action is, or which real numbers
    are: ``logits, state = policy(x, state=None, reset=None)`` for a sequence,
    ``logits, state = policy.step(observation, state=None, reset=None)`` to act.

    Args:
        rnn: a layer of lrnn_kernels.nn, a Stack or Parallel of them, or torch.nn.GRU, LSTM or RNN,
            with batch_first=True, in one direction and without dropout.
        actions: how many there are to choose from.
        action_size (keyword): instead of actions, how many real numbers an action is. They are
            normally distributed, with a deviation that is a parameter of its own, the same in
            every state, e^(-1/2) at first.
        hidden: units between the outputs of rnn and the logits, with a ReLU; None for a
            linear map.
        critic: whether there is a linear map to a value, as PPO needs.
        encoder: a module between an observation and rnn, such as Sequential(Linear, ReLU): it maps
            (N,observation_size) to (N,input_size of rnn), all steps of a sequence at once; None if
            rnn reads observations.
        observation_size: of an observation, with an encoder; else rnn's input_size.
        first: of actions to choose from, their probabilities before training, positive, with sum 1:
            the last bias is log p, and the last weights are a tenth of torch.nn.Linear's own. None
            leaves both as torch draws them.

    Attributes: ``rnn``; ``encoder``; ``head``, a Linear or Sequential(Linear, ReLU, Linear);
    ``critic``, a Linear or None; ``observation_size``; ``actions``, or ``action_size`` and
    ``log_variance``, a Parameter (action_size,) to which -1 is added.

    Arguments of the call:
        x: (B,T,observation_size), of the parameters' dtype.
        state: as rnn takes and returns it; its start if None.
        reset: bool (B,T), True where an episode begins: the state starts anew within the kernel.

    Returns (logits, state): (B,T,actions), or of ``step`` (B,actions); log probabilities up to a
    constant for PPO, action values for DRQN. With action_size they are (B,T,2 action_size): means,
    and log-variances without their -1. All is differentiable, states included.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    def __init__(
        self,
        rnn: nn.Module,
        actions: int | None = None,
        *,
        action_size: int | None = None,
        hidden: int | None = None,
        critic: bool = True,
        encoder: nn.Module | None = None,
        observation_size: int | None = None,
        first: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        members.check("rnn", rnn)
        if not rnn.batch_first:
            raise ValueError("rnn must have batch_first=True, got False")
        if rnn.bidirectional:
            raise ValueError("rnn must be of one direction, got a bidirectional layer")
        without_dropout("rnn", rnn)
        count = self._acts(actions, action_size)
        probabilities = None if first is None else self._probabilities(first)
        self.rnn, self.encoder = rnn, encoder
        self.observation_size: int = _observation_size(rnn, encoder, observation_size)
        width = members.width(rnn)
        like = next(rnn.parameters())
        like = {"device": like.device, "dtype": like.dtype}
        hidden = None if hidden is None else integer("hidden", hidden)
        last = nn.Linear(hidden or width, count, **like)
        self.head = last
        if hidden is not None:
            self.head = nn.Sequential(nn.Linear(width, hidden, **like), nn.ReLU(), last)
        self.critic = nn.Linear(width, 1, **like) if boolean("critic", critic) else None
        if self.kind is REAL:
            self.log_variance = nn.Parameter(torch.zeros(count, **like))
        if probabilities is not None:
            with torch.no_grad():
                last.weight.mul_(FIRST_WEIGHTS)
                last.bias.copy_(torch.tensor([math.log(p) for p in probabilities]))

    def forward(
        self, x: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(logits, state) of x (B,T,observation_size), reset bool (B,T): (B,T,actions), and the
        state after the last step."""
        y, state = self.features(x, state, reset)
        return self.answer(y), state

    def answer(self, y: Tensor) -> Tensor:
        """The logits of what head reads, (...,width)."""
        given = self.head(y)
        if self.kind is REAL:
            given = torch.cat([given, self.log_variance.expand_as(given)], -1)
        return given

    def features(
        self, x: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(y, state): what head and critic read, (B,T,width)."""
        arguments.tensor("x", x)
        if x.dim() != 3:
            raise ValueError(
                f"x must have shape (B, T, {self.observation_size}), got {arguments.shape(x)}"
            )
        return members.run(self.rnn, self._encoded(x), state, reset)

    def _encoded(self, x: Tensor) -> Tensor:
        """What rnn reads, of observations (...,observation_size)."""
        if self.encoder is None:
            return x
        if x.shape[-1:] != (self.observation_size,):
            raise ValueError(
                f"observations must have {self.observation_size} channels, got shape "
                f"{arguments.shape(x)}"
            )
        given = x.reshape(-1, self.observation_size)
        rows = self.encoder(given)
        if rows.shape != (len(given), self.rnn.input_size):
            raise ValueError(
                f"encoder must map (N,{self.observation_size}) to (N,{self.rnn.input_size}), which "
                f"rnn reads, got {arguments.shape(rows)} of {arguments.shape(given)}"
            )
        return rows.reshape(*x.shape[:-1], self.rnn.input_size)

    def step(
        self, observation: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One step: observation (B,observation_size), or (observation_size,); reset bool (B,), or
        (). Returns (logits, state), (B,actions) or (actions,)."""
        arguments.tensor("observation", observation)
        y, state = members.step(self.rnn, self._encoded(observation), state, reset)
        return self.answer(y), state

    def draw(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (B,), int64, with probabilities softmax(logits), (B,actions); real ones
        (B,action_size) of logits (B,2 action_size)."""
        return self.kind.draw(logits, generator)

    def greedy(self, logits: Tensor) -> Tensor:
        """The likeliest actions (B,), int64, of logits or values (B,actions); means
        (B,action_size) of logits (B,2 action_size)."""
        return self.kind.greedy(logits)

    @property
    def input_size(self) -> int:
        """Channels of an observation, as layers call it."""
        return self.observation_size

    @property
    def kind(self) -> Actions:
        """What logits say of actions."""
        return REAL if hasattr(self, "action_size") else ONE_OF

    def _acts(self, actions: int | None, action_size: int | None) -> int:
        """Sets which actions there are; how many outputs the head has."""
        if (actions is None) == (action_size is None):
            which = "neither" if actions is None else f"{actions} and {action_size}"
            raise ValueError(f"either actions or action_size must be given, got {which}")
        if action_size is not None:
            self.action_size = integer("action_size", action_size)
            return self.action_size
        self.actions = integer("actions", actions, 2)
        return self.actions

    def _probabilities(self, first: Sequence[float]) -> list[float]:
        if self.kind is REAL:
            raise ValueError("first must be None with action_size, whose actions are real numbers")
        found = [number("first", float(p), 0.0, 1.0, open_low=True) for p in first]
        if len(found) != self.actions or abs(sum(found) - 1) > 1e-6:
            raise ValueError(
                f"first must be {self.actions} probabilities with sum 1, got {list(first)}"
            )
        return found


def without_dropout(what: str, network: nn.Module) -> None:
    """Raises ValueError for a network that answers otherwise when it is asked again."""
    for module in network.modules():
        rate = module.p if isinstance(module, _DROPOUT) else getattr(module, "dropout", 0.0)
        if rate:
            raise ValueError(
                f"{what} must have dropout=0, got {rate} in {type(module).__name__}: an action's "
                "probability would not be the same again"
            )


def _observation_size(rnn: nn.Module, encoder: nn.Module | None, given: int | None) -> int:
    if encoder is None:
        if given is not None and given != rnn.input_size:
            raise ValueError(
                f"observation_size must be rnn's input_size, {rnn.input_size}, without an encoder, "
                f"got {given}"
            )
        return rnn.input_size
    if not isinstance(encoder, nn.Module):
        raise TypeError(f"encoder must be a torch.nn.Module, got {type(encoder).__name__}")
    without_dropout("encoder", encoder)
    if given is None:
        raise ValueError("observation_size must be given with an encoder, got None")
    return integer("observation_size", given)
