"""A policy as its recurrent layers and a read-out, where it is no more than that."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn

from ...multistability.network import Network, Unit, tensors
from ...multistability.orbit import bits
from ...nn import Parallel, Recurrent, Stack, directions, members, stepping
from .boxes import Precision
from .walk import State, Walk, flat, identical

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
        head, rnn = getattr(walk.policy, "head", None), getattr(walk.policy, "rnn", None)
        head = list(head) if isinstance(head, nn.Sequential) else [head]
        known = all(_is_one_of(part, (nn.Linear, *ACTIVATIONS)) for part in head)
        if not head or not known or not _is_one_of(head[-1], (nn.Linear,)):
            return None
        if not isinstance(rnn, nn.Module):
            return None
        if not _rounds_as_its_dtype(walk, [rnn, *head]):
            return None
        try:
            found = cls(walk, Network(rnn), head)
            maps = [part.output for part in rnn.modules() if isinstance(part, Stack | Parallel)]
            if not all(map_ is None or _is_one_of(map_, (nn.Linear,)) for map_ in maps):
                return None
            for number in range(walk.period):
                if found._agreed(number, state, _plainly) is None:
                    return None
        except (TypeError, ValueError, RuntimeError):
            # The step that was run before does more than these: layers do not fit its input, or
            # the read-out does not fit the layers.
            return None
        return found

    @property
    def precision(self) -> Precision:
        return Precision.of(self.walk.dtype)

    def record(self, first: int, state: State, steps: int) -> Record | None:
        """Steps from ``first`` on, and what all parts of the network gave and held at each; None
        where the policy's own step gives other logits or states at one of them."""
        record = Record(self.walk, first, steps)
        for number in range(first, first + steps):
            agreed = self._agreed(number, state, record.call)
            if agreed is None:
                return None
            logits, state = agreed
            record.outputs[None].append(logits)
        return record

    def _agreed(self, number: int, state: State, call) -> tuple[Tensor, State] | None:
        """A step as ``Walk.step`` makes it, by the layers and the read-out; None where the policy's
        own is another."""
        own, states = self._step(number, self.network.split(state), call)
        after = self.network.join(states)
        logits, state = self.walk.policy.step(self.walk.at(number), state)
        pairs = zip([logits, *flat(state)], [own, *flat(after)], strict=True)
        if not all(identical(a, b) for a, b in pairs):
            return None
        return own, self.walk.doubled(after)

    def _step(self, number: int, states: list, call) -> tuple[Tensor, list]:
        out, states = self.network.outputs(self.walk.at(number), states, call)
        for part in self.head:
            out = part(out)
        return out, states


def _is_one_of(part: object, kinds: tuple[type, ...]) -> bool:
    """Whether it computes what one of these kinds does: no other class of its own, and no hook."""
    as_written = any(
        isinstance(part, kind) and type(part).forward is kind.forward for kind in kinds
    )
    return as_written and "forward" not in vars(part) and directions.is_plain(part)


def _rounds_as_its_dtype(walk: Walk, modules: list[nn.Module]) -> bool:
    """Whether all is computed in the walk's dtype, as bounds on rounding take it to be."""
    device = next(walk.policy.parameters()).device.type
    if torch.is_autocast_enabled(device):
        return False
    if any(p.dtype != walk.dtype for module in modules for p in module.parameters()):
        return False
    if walk.dtype == torch.float32:
        library = torch.backends.cuda if device == "cuda" else torch.backends.mkldnn
        return library.matmul.fp32_precision in ("none", "ieee")
    return walk.dtype == torch.float64


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
    """Whether a unit's channels read each other's states, or may: a hook, or a class of one's own,
    may do anything."""
    layer = unit.layer
    if not isinstance(layer, Recurrent) or layer.cell.matrices:
        return True
    plain = stepping.is_as_built(layer) and type(layer).step is Recurrent.step
    return not plain or "step" in vars(layer) or not directions.is_plain(layer)


def reads_out(unit: Unit) -> bool:
    """Whether a unit's outputs mix its states, so that none belongs to one channel."""
    layer = unit.layer
    return isinstance(layer, Recurrent) and type(layer)._read_out is not Recurrent._read_out
