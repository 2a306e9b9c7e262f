"""A policy as its recurrent layers and a read-out, where it is no more than that."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn

from ...multistability.network import Network, Unit, tensors
from ...nn import Recurrent, members
from .walk import State, Walk, bits, flat, identical

#: What a read-out may be made of, beside Linear.
ACTIVATIONS = (nn.ReLU, nn.Tanh)


class Structure:
    """The layers of a policy, run one by one as its step runs them."""

    def __init__(self, walk: Walk, network: Network, head: list[nn.Module]) -> None:
        self.walk, self.network, self.head = walk, network, head

    @classmethod
    def of(cls, walk: Walk, state: State) -> Structure | None:
        """None where a policy has no structure that is known, or where its step is not, to the last
        bit, that of its layers and its read-out."""
        policy = walk.policy
        head = getattr(policy, "head", None)
        head = list(head) if isinstance(head, nn.Sequential) else [head]
        known = all(isinstance(part, (nn.Linear, *ACTIVATIONS)) for part in head)
        rnn = getattr(policy, "rnn", None)
        if not known or not isinstance(rnn, nn.Module) or walk.dtype not in _ROUNDING:
            return None
        if not isinstance(head[-1], nn.Linear):
            return None
        try:
            found = cls(walk, Network(rnn), head)
            parts = found.network.split(state)
        except (TypeError, ValueError):
            return None
        for number in range(walk.period):
            logits, after = walk.policy.step(walk.at(number), state)
            own, states = found._step(number, parts, _plainly)
            pairs = zip(flat(after), flat(found.network.join(states)), strict=True)
            if not identical(logits, own) or not all(identical(a, b) for a, b in pairs):
                return None
        return found

    @property
    def rounding(self) -> float:
        """Half a unit in the last place of 1."""
        return _ROUNDING[self.walk.dtype]

    def record(self, first: int, state: State, steps: int) -> Record | None:
        """Steps from ``first`` on, and what all parts of the network gave and held at each; None
        where the policy's own step gives other logits at one of them."""
        record = Record(self.walk, first, steps)
        parts = self.network.split(state)
        for number in range(first, first + steps):
            logits, after = self._step(number, parts, record.call)
            if not identical(logits, self.walk.policy.step(self.walk.at(number), state)[0]):
                return None
            record.outputs[None].append(logits)
            state = self.walk.doubled(self.network.join(after))
            parts = self.network.split(state)
        return record

    def _step(self, number: int, states: list, call) -> tuple[Tensor, list]:
        out, states = self.network.outputs(self.walk.at(number), states, call)
        for part in self.head:
            out = part(out)
        return out, states


#: By dtype, of what rounding to nearest adds at most, as a share.
_ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}


def _plainly(part: object, does, *inputs):
    if isinstance(part, Unit):
        return members.step(does, *inputs, None)
    return does(*inputs)


class Record:
    """Outputs of all parts of a network, and states of its units, at some steps; ``None`` is the
    part that gives logits."""

    def __init__(self, walk: Walk, first: int, steps: int) -> None:
        self.walk, self.first, self.steps = walk, first, steps
        self.outputs: dict[object, list[Tensor]] = defaultdict(list)
        self._states: dict[Unit, list[tuple[Tensor, ...]]] = defaultdict(list)

    def call(self, part: object, does, *inputs):
        result = _plainly(part, does, *inputs)
        if isinstance(part, Unit):
            out, state = result
            self._states[part].append(tensors(state))
            self.outputs[part].append(out)
        else:
            self.outputs[part].append(result)
        return result

    def values(self, part: object, row: int) -> np.ndarray:
        """What a part gave to a row, (steps, C), float64."""
        return torch.stack([x[row] for x in self.outputs[part]]).double().cpu().numpy()

    def states(self, unit: Unit, row: int) -> tuple[np.ndarray, np.ndarray]:
        """A unit's states after each step: as numbers, and their bits; (steps, C, S), S what one
        channel carries, real and imaginary parts apart. Where channels mix, all are one another's:
        (steps, 1, S)."""
        found, raw = [], []
        for part in zip(*self._states[unit], strict=True):
            h = torch.stack([x[0, row] for x in part])  # (steps, C)
            shape = (len(h), 1, -1) if mixes(unit) else (*h.shape, -1)
            real = torch.view_as_real(h) if h.is_complex() else h
            found.append(real.reshape(shape).double().cpu())
            raw.append(bits(h).reshape(shape).cpu())
        return torch.cat(found, -1).numpy(), torch.cat(raw, -1).numpy()


def mixes(unit: Unit) -> bool:
    """Whether a unit's channels read each other's states."""
    return not isinstance(unit.layer, Recurrent) or unit.layer.cell.matrices


def reads_out(unit: Unit) -> bool:
    """Whether a unit's outputs mix its states, so that none belongs to one channel."""
    layer = unit.layer
    return isinstance(layer, Recurrent) and type(layer)._read_out is not Recurrent._read_out
