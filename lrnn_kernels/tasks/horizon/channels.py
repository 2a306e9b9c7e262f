"""Proofs by channels: each channel's states come back, or are bound, and what reads them is bound.

Some steps are recorded. From their end on, a channel that has an input of known period, and was in
the same state a multiple of it before, repeats what it did since. Channels of different periods
together take each of their values, and no others: that is what the boxes of outputs hold, and what
a read-out, or a layer above, can make of a box is a box again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ...multistability.network import Above, Unit
from . import rules
from .boxes import Box, linear, slips
from .structure import Record, Structure, mixes, reads_out
from .walk import State

#: Steps that are recorded, from and to; a channel's period can be as long.
FEWEST, MOST = 256, 4096


class Proof(NamedTuple):
    """period: of the whole state, None where some channel is only bound.
    how: "orbit" where the whole state was seen to come back, else "channels"."""

    period: int | None
    how: str


def recorded(
    structure: Structure, done: int, state: State, rows: list[int]
) -> tuple[Record | None, list[int]]:
    """Steps from ``done`` on, and those of the cues whose actions are right at all of them."""
    walk = structure.walk
    record = structure.record(done, state, min(max(done, FEWEST), MOST))
    if record is None:
        return None, []
    right = walk.right(done, torch.stack(record.outputs[None])).all(0).tolist()
    return record, [row for row in rows if right[row] and right[walk.count + row]]


@dataclass
class Signal:
    """Values at the steps from the record's end on, (C,).

    periods: each channel's, 0 where it is not known.
    box: what each channel's values lie in.
    """

    periods: np.ndarray
    box: Box

    def joint(self, most: int) -> int:
        """After how many steps all channels come back; 0 where that is unknown or more than
        ``most``."""
        return _lcm(self.periods, most)


class _Unit(NamedTuple):
    """A unit's states while it walks, and its box of (C, S)."""

    periods: np.ndarray
    box: Box


class Tail:
    """One cue's walker, and who is asked from its states, after the end of a record."""

    def __init__(self, structure: Structure, record: Record, row: int) -> None:
        self.structure, self.record, self.steps = structure, record, record.steps
        self.walker, self.asked = row, structure.walk.count + row
        self.rounding = structure.rounding
        self.states: dict[Unit, _Unit] = {}

    def proof(self) -> Proof | None:
        """That the actions are right at all steps after the record; None if not shown."""
        corridor, root = self.structure.walk.corridor, self.structure.network.root
        walked = self.part(root, self.constant(corridor.inputs), self.walker)
        asked = self.part(root, self.constant(corridor.junction[None]), self.asked)
        phases = set(corridor.actions)
        answer = corridor.cues[self.walker].answer
        if not self._right(asked, self.asked, answer):
            return None
        if len(phases) > 1 and not walked.joint(self.steps):
            return None  # which action is right depends on the phase, which boxes do not tell
        if not self._right(walked, self.walker, min(phases)):
            return None
        periods = np.concatenate([unit.periods for unit in self.states.values()])
        whole = _lcm(periods, self.steps) > 0
        return Proof(_lcm(periods, None) or None, "orbit" if whole else "channels")

    def constant(self, inputs) -> Signal:
        x = self.structure.walk.moved(inputs).double().cpu().numpy()
        return Signal(np.full(x.shape[1], len(x)), Box(x.min(0), x.max(0)))

    def part(self, part, x: Signal, row: int) -> Signal:
        """What a part of the network gives, walking or asked."""
        if isinstance(part, Unit):
            return self._walked(part, x) if row == self.walker else self._asked(part, x)
        if isinstance(part, Above):
            for one in part.parts:
                x = self.part(one, x, row)
            return x if part.output is None else self._mapped(part, part.output, x, row)
        outs = [self.part(one, x, row) for one in part.parts]
        if part.concatenated:
            merged = Signal(
                np.concatenate([out.periods for out in outs]),
                Box(
                    *(np.concatenate(ends) for ends in zip(*(out.box for out in outs), strict=True))
                ),
            )
        else:
            merged = self._sum(outs)
        return merged if part.output is None else self._mapped(part, part.output, merged, row)

    def _sum(self, outs: list[Signal]) -> Signal:
        periods = [
            _lcm(channel, self.steps) for channel in zip(*(o.periods for o in outs), strict=True)
        ]
        lo, hi = (sum(ends) for ends in zip(*(out.box for out in outs), strict=True))
        size = sum(out.box.largest for out in outs)
        return Signal(np.array(periods), Box(lo, hi).wider(slips(len(outs), self.rounding) * size))

    def _mapped(self, part, output: nn.Linear, x: Signal, row: int) -> Signal:
        """An output map: of a joint period as recorded, else bound."""
        if joint := x.joint(self.steps):
            return self._recorded(part, row, np.full(output.out_features, joint))
        return Signal(np.zeros(output.out_features, int), self._linear(output, x.box))

    def _linear(self, layer: nn.Linear, box: Box) -> Box:
        weight, bias = _numbers(layer)
        return linear(box, weight, bias, self.rounding)

    def _recorded(self, part, row: int, periods: np.ndarray, else_: Box | None = None) -> Signal:
        """A part's outputs, bound by those of their last period."""
        box = _ranges(self.record.values(part, row)[..., None], periods)
        box = Box(box.lo[:, 0], box.hi[:, 0])
        if else_ is not None:
            known = periods > 0
            box = Box(*(np.where(known, a, b) for a, b in zip(box, else_, strict=True)))
        return Signal(periods, box)

    def _walked(self, unit: Unit, x: Signal) -> Signal:
        values, raw = self.record.states(unit, self.walker)
        periods = _returns(raw, x.joint(self.steps), self.steps)
        box = _ranges(values, periods)
        rule = None if mixes(unit) else rules.of(unit.layer)
        layer = rules.in_double(unit.layer) if rule else None
        if rule and not periods.all():
            now = Box(values[-1], values[-1])
            tail = rule.tail(layer, rules.drive(layer, x.box, self.rounding), now, self.rounding)
            unknown = (periods == 0)[:, None]
            box = Box(*(np.where(unknown, b, a) for a, b in zip(box, tail, strict=True)))
        self.states[unit] = _Unit(periods, box)
        return self._output(unit, x, periods, box, self.walker)

    def _asked(self, unit: Unit, x: Signal) -> Signal:
        before, q = self.states[unit], x.joint(self.steps)
        periods = np.array([_lcm((p, q), self.steps) for p in before.periods])
        C, S = before.box.lo.shape
        after = Box.unknown(C, S)
        rule = None if mixes(unit) else rules.of(unit.layer)
        values, _ = self.record.states(unit, self.asked)
        known = _ranges(values, periods)
        if rule and not periods.all():
            layer = rules.in_double(unit.layer)
            pre = rules.drive(layer, x.box, self.rounding)
            after = rule.step(layer, pre, before.box, self.rounding)
        unknown = (periods == 0)[:, None]
        box = Box(*(np.where(unknown, b, a) for a, b in zip(known, after, strict=True)))
        return self._output(unit, x, periods, box, self.asked)

    def _output(self, unit: Unit, x: Signal, periods: np.ndarray, box: Box, row: int) -> Signal:
        """A unit's outputs, from its states after a step."""
        width = self.record.values(unit, row).shape[1]
        if mixes(unit) or reads_out(unit):
            joint = _lcm((*periods, *x.periods), self.steps)
            if joint or mixes(unit):
                return self._recorded(unit, row, np.full(width, joint), Box.unknown(width))
            return Signal(np.zeros(width, int), self._read_out(unit, x.box, box))
        shown = Box(box.lo[:, 0], box.hi[:, 0]) if unit.shows_state else Box.unknown(width)
        return self._recorded(unit, row, periods, shown)

    def _read_out(self, unit: Unit, x: Box, states: Box) -> Box:
        """An LRU's: Re(C h) + D x + b, of states (C, 2), real and imaginary parts."""
        layer = unit.layer
        if rules.of(layer) is None or states.lo.shape[1] != 2:
            return Box.unknown(layer.output_size)
        p = {
            name: q.detach().double().cpu().numpy()
            for name, q in layer._parameters_of(0, False).items()
        }
        skip = np.diag(p["skip"]) if p["skip"].ndim == 1 else p["skip"]
        both = Box(
            *(
                np.concatenate([end[:, 0], end[:, 1], extra])
                for end, extra in zip(states, x, strict=True)
            )
        )
        weight = np.concatenate([p["weight_ho"], skip], 1)
        return linear(both, weight, p.get("bias_ho"), self.rounding)

    def _right(self, out: Signal, row: int, action: int) -> bool:
        """Whether the logits of an action stay above all others."""
        if out.joint(self.steps):
            return True  # all that is to come was recorded, and right
        box = out.box
        *hidden, last = self.structure.head
        for part in hidden:
            if isinstance(part, nn.Linear):
                box = self._linear(part, box)
            else:
                curve = np.tanh if isinstance(part, nn.Tanh) else lambda x: np.maximum(x, 0)
                box = box.mapped(curve).wider(4 * self.rounding)
        weight, bias = _numbers(last)
        bias = np.zeros(len(weight)) if bias is None else bias
        if not np.isfinite(box.largest).all():
            return False
        size = np.abs(weight) @ box.largest + np.abs(bias)
        slack = slips(weight.shape[1], self.rounding) * (size + size[action])
        margin = linear(box, weight[action] - weight, bias[action] - bias, self.rounding).lo - slack
        return bool((np.delete(margin, action) > 0).all())


def _numbers(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray | None]:
    weight = layer.weight.detach().double().cpu().numpy()
    return weight, None if layer.bias is None else layer.bias.detach().double().cpu().numpy()


def _returns(raw: np.ndarray, q: int, steps: int) -> np.ndarray:
    """Each channel's period, a multiple of q, in bits (steps, C, S); 0 where it did not come back,
    or where the input's period q is 0, not known."""
    count = raw.shape[1]
    lags = np.arange(q, steps, q) if q else np.array([], int)
    if not len(lags):
        return np.zeros(count, int)
    same = (raw[steps - 1 - lags] == raw[-1]).all(2)
    return np.where(same.any(0), lags[same.argmax(0)], 0)


def _ranges(values: np.ndarray, periods: np.ndarray) -> Box:
    """Each channel's least and largest of its last period, of (steps, C, S); unknown where that is
    0."""
    found = Box.unknown(*values.shape[1:])
    for period in np.unique(periods[periods > 0]):
        which = periods == period
        last = values[-period:, which]
        found.lo[which], found.hi[which] = last.min(0), last.max(0)
    return found


def _lcm(periods, most: int | None) -> int:
    """Of all, 0 where one is 0, or where it is more than ``most``."""
    found = 1
    for period in np.unique(np.asarray(list(periods), dtype=object)):
        found = math.lcm(found, int(period))
        if not found or (most is not None and found > most):
            return 0
    return found
