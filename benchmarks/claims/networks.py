"""Networks of a few units, made from a line of text: "BMRU", the stack "LRU>BMRU", or side by side
and summed, "LRU|BMRU"; and what makes values of a layer's last outputs."""

from __future__ import annotations

from torch import Tensor, nn

from lrnn_kernels import nn as rnn

#: What a layer is given where its defaults are not for long memory: eigenvalues near 1, gates that
#: start nearly closed. With minGRU's own, gates half open, its memory starts with one step.
OPTIONS = {
    "LRU": {"r_min": 0.9, "r_max": 0.999},
    "MinGRU": {"gate_init": (-6.0, -1.0)},
}


#: What must measure an interval first, and so forget it soon: a ring that begins further in.
TRANSIENT = {"LRU": {"r_min": 0.4, "r_max": 0.9}}


def layers(spec: str, inputs: int, units: int, options: dict | None = None) -> nn.Module:
    """The recurrent layers, batch first."""
    options = {**OPTIONS, **(options or {})}

    def layer(name: str, inputs: int) -> nn.Module:
        given = {"batch_first": True, **options.get(name, {})}
        return getattr(rnn, name)(inputs, units, **given)

    if "|" in spec:
        return rnn.Parallel(*(layer(name, inputs) for name in spec.split("|")))
    first, *rest = spec.split(">")
    return rnn.Stack(layer(first, inputs), *(layer(name, units) for name in rest))


class Network(nn.Module):
    """Recurrent layers and a map of their outputs at every step, linear or with a hidden layer:
    ``out, states = network(x, states)``, batch first."""

    def __init__(
        self,
        spec: str,
        inputs: int,
        units: int,
        outputs: int,
        options: dict | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.rnn = layers(spec, inputs, units, options)
        self.head: nn.Module = nn.Linear(units, outputs)
        if hidden is not None:
            self.head = nn.Sequential(
                nn.Linear(units, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
            )

    def forward(self, x: Tensor, states=None) -> tuple[Tensor, tuple]:
        out, states = self.rnn(x, states)
        return self.head(out), states

    def step(self, x: Tensor, states=None) -> tuple[Tensor, tuple]:
        """One step, x (B,inputs): as a policy acts."""
        out, states = self.rnn.step(x, states)
        return self.head(out), states

    def last(self, x: Tensor) -> Tensor:
        """The output after the last step."""
        out, _ = self.rnn(x)
        return self.head(out[:, -1])


class Regression(nn.Module):
    """A recurrent layer, batch first, or several, and a value made of each of the last outputs, as
    many as there are ``answers``: (B answers, 1), sequence after sequence."""

    def __init__(self, layers: nn.Module, units: int, answers: int = 1) -> None:
        super().__init__()
        self.rnn, self.answers = layers, answers
        self.head = nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.answers == 1:
            out, _ = self.rnn(x, return_sequence=False)
            return self.head(out)
        out, _ = self.rnn(x)
        return self.head(out[:, -self.answers :]).flatten(0, 1)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
