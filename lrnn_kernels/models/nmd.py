"""The neuromodulated net, and the recurrent network that it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..calls import arguments
from ..nn import ModulatedLinear, members
from ..nn.members import State
from ..options import integer

#: What a network answers: a tensor (..., size), or one for each of several heads.
Answer = Tensor | tuple[Tensor, ...]


class _Net(torch.nn.Module):
    """What both have in common: a recurrent part, dense layers and heads, over a sequence or step
    by step."""

    def __init__(self, what: str, rnn: torch.nn.Module) -> None:
        super().__init__()
        members.check(what, rnn)
        if not rnn.batch_first:
            raise ValueError(f"{what} must have batch_first=True, got False")
        if rnn.bidirectional:
            raise ValueError(f"{what} must be of one direction, got a bidirectional layer")
        like = next(rnn.parameters())
        self._like = {"device": like.device, "dtype": like.dtype}


class NMDNet(_Net):
    """A network whose units' slopes and offsets a recurrent modulator sets (Vecoven, Ernst,
    Wehenkel and Drion 2020): ``out, state = net(x, context, state=None, reset=None)``.

        y = modulator(context);  z = ReLU(W y + b)
        x <- sReLU((W x) (1 + W_s z) + b + W_b z)   for each hidden layer
        out = the same without sReLU                for each head

    The modulator reads what happened (action, reward and observation before), the main network what
    is seen now; it has no memory of its own.

    Args:
        modulator: a layer of lrnn_kernels.nn, a Stack or Parallel of them, or torch.nn.GRU, LSTM or
            RNN, with batch_first=True, in one direction.
        input_size: channels of x.
        output_size: of the head, or a sequence of sizes, of one each.
        modulators (keyword): k, channels of z.
        hidden (keyword): units of the main network's layers.
        activation, offset0 (keyword): see ``nn.ModulatedLinear``; of the hidden layers, and of all.

    Arguments of the call, batch first; or of ``step``, without T:
        x: (B,T,input_size).
        context: (B,T,modulator.input_size).
        state: as the modulator takes and returns it; its start if None.
        reset: bool (B,T), True where an episode begins: the modulator starts anew.

    Returns (out, state): (B,T,output_size), or a tuple of them. Everything is differentiable, as
    far as the modulator is.

    ``freeze_modulation(z)`` keeps z from then on as it is given, ``freeze_modulation(None)`` sets
    it free: what a network has adapted to is all in z.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    def __init__(
        self,
        modulator: torch.nn.Module,
        input_size: int,
        output_size: int | Sequence[int],
        *,
        modulators: int = 20,
        hidden: Sequence[int] = (10,),
        activation: str = "srelu",
        offset0: int = 1,
    ) -> None:
        super().__init__("modulator", modulator)
        self.modulator = modulator
        self.input_size, self.context_size = integer("input_size", input_size), modulator.input_size
        self.modulators, self.output_size = integer("modulators", modulators), output_size
        self.signal = torch.nn.Linear(members.width(modulator), modulators, **self._like)
        widths = [input_size, *(integer("hidden", width) for width in hidden)]

        def layer(inputs: int, outputs: int, activation: str) -> ModulatedLinear:
            return ModulatedLinear(
                inputs, outputs, modulators, activation=activation, offset0=offset0, **self._like
            )

        self.main = torch.nn.ModuleList(layer(a, b, activation) for a, b in pairwise(widths))
        sizes = _sizes(output_size)
        self.heads = torch.nn.ModuleList(layer(widths[-1], size, "none") for size in sizes)
        self.reset_parameters()
        self._frozen: Tensor | None = None

    def reset_parameters(self) -> None:
        """Draws z's map, the main network and the heads anew: normal numbers of deviation 0.1, cut
        at 0.2, and biases 0."""
        _draw(self.signal)
        for layer in (*self.main, *self.heads):
            layer.reset_parameters()

    def forward(
        self, x: Tensor, context: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Answer, State]:
        """(out, state) of x (B,T,input_size), context (B,T,modulator.input_size), a state as the
        modulator returns it and reset, bool (B,T): (B,T,output_size), or a tuple of them."""
        _shape("x", x, self.input_size, 3)
        _shape("context", context, self.context_size, 3)
        if x.shape[:2] != context.shape[:2]:
            raise ValueError(
                f"context must have x's B and T, {arguments.shape(x)}, got "
                f"{arguments.shape(context)}"
            )
        z, state = self.modulation(context, state, reset)
        return self.respond(x, z), state

    def step(
        self, x: Tensor, context: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Answer, State]:
        """One step: x (B,input_size), context (B,modulator.input_size), reset bool (B,)."""
        _shape("x", x, self.input_size, 2)
        _shape("context", context, self.context_size, 2)
        if self._frozen is not None:
            return self.respond(x, self._kept(x)), state
        y, state = members.step(self.modulator, context, state, reset)
        return self.respond(x, self.signal(y).relu()), state

    def modulation(
        self, context: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(z, state): the signal (B,T,k), at least 0; while frozen the state stays as it is."""
        if self._frozen is not None:
            return self._kept(context), state
        y, state = members.run(self.modulator, context, state, reset)
        return self.signal(y).relu(), state

    def respond(self, x: Tensor, z: Tensor) -> Answer:
        """What the main network answers to x (...,input_size) under a signal z (...,k)."""
        for layer in self.main:
            x = layer(x, z)
        answers = tuple(head(x, z) for head in self.heads)
        return answers[0] if isinstance(self.output_size, int) else answers

    def freeze_modulation(self, z: Tensor | None) -> None:
        """Keeps z (k,), or (B,k) of each sequence, for all steps to come; None sets it free."""
        if z is not None:
            arguments.tensor("z", z)
            if z.dim() not in (1, 2) or z.shape[-1] != self.modulators:
                raise ValueError(
                    f"z must have shape ({self.modulators},) or (B, {self.modulators}), got "
                    f"{arguments.shape(z)}"
                )
            z = z.detach().clone()
        self._frozen = z

    def _kept(self, x: Tensor) -> Tensor:
        """The frozen signal for steps (B,C) or (B,T,C)."""
        z, leading = self._frozen, x.shape[:-1]
        if z.dim() == 2 and len(z) != len(x):
            raise ValueError(f"x must have B = {len(z)}, as the frozen z, got {arguments.shape(x)}")
        if z.dim() == 2 and len(leading) == 2:
            z = z[:, None]
        return z.expand(*leading, self.modulators)


class RecurrentNet(_Net):
    """What an NMDNet is compared with: ``out, state = net(x, state=None, reset=None)``, with
    dense layers after a recurrent one that reads all there is to read.

        y = rnn(x);  y <- activation(W y + b) for each hidden layer;  out = W y + b for each head

    Args:
        rnn: as the modulator of ``NMDNet``.
        output_size, hidden: as of ``NMDNet``.
        activation (keyword): "relu", "srelu" (which cuts at -1 and 1) or "tanh", or one for each
            hidden layer.
    """

    _ACTIVATIONS = {  # noqa: RUF012 - never changed
        "relu": torch.relu,
        "srelu": torch.nn.functional.hardtanh,
        "tanh": torch.tanh,
    }

    def __init__(
        self,
        rnn: torch.nn.Module,
        output_size: int | Sequence[int],
        *,
        hidden: Sequence[int] = (20, 10),
        activation: str | Sequence[str] = "relu",
    ) -> None:
        super().__init__("rnn", rnn)
        self.rnn, self.input_size, self.output_size = rnn, rnn.input_size, output_size
        widths = [members.width(rnn), *(integer("hidden", width) for width in hidden)]
        names = [activation] * len(hidden) if isinstance(activation, str) else list(activation)
        if len(names) != len(hidden) or any(name not in self._ACTIVATIONS for name in names):
            known = ", ".join(map(repr, self._ACTIVATIONS))
            raise ValueError(
                f"activation must be one of {known}, or {len(hidden)} of them, got {activation!r}"
            )
        self.activations = tuple(names)
        self.dense = torch.nn.ModuleList(
            torch.nn.Linear(a, b, **self._like) for a, b in pairwise(widths)
        )
        sizes = _sizes(output_size)
        self.heads = torch.nn.ModuleList(
            torch.nn.Linear(widths[-1], size, **self._like) for size in sizes
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws dense layers and heads anew, as ``NMDNet``'s."""
        for layer in (*self.dense, *self.heads):
            _draw(layer)

    def forward(
        self, x: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Answer, State]:
        """(out, state) of x (B,T,input_size), a state as rnn returns it and reset, bool (B,T):
        (B,T,output_size), or a tuple of them."""
        _shape("x", x, self.input_size, 3)
        y, state = members.run(self.rnn, x, state, reset)
        return self._answer(y), state

    def step(
        self, x: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Answer, State]:
        """One step: x (B,input_size), reset bool (B,)."""
        _shape("x", x, self.input_size, 2)
        y, state = members.step(self.rnn, x, state, reset)
        return self._answer(y), state

    def _answer(self, y: Tensor) -> Answer:
        for layer, name in zip(self.dense, self.activations, strict=True):
            y = self._ACTIVATIONS[name](layer(y))
        answers = tuple(head(y) for head in self.heads)
        return answers[0] if isinstance(self.output_size, int) else answers


def _sizes(output_size: int | Sequence[int]) -> list[int]:
    """Of each head."""
    each = [output_size] if isinstance(output_size, int) else list(output_size)
    if not each:
        raise ValueError("output_size must have a head at least, got none")
    return [integer("output_size", size) for size in each]


def _draw(layer: torch.nn.Linear) -> None:
    torch.nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
    torch.nn.init.zeros_(layer.bias)


def _shape(name: str, x: object, size: int, dims: int) -> None:
    arguments.tensor(name, x)
    if x.dim() != dims or x.shape[-1] != size:
        expected = "(B, T, " if dims == 3 else "(B, "
        raise ValueError(f"{name} must have shape {expected}{size}), got {arguments.shape(x)}")
