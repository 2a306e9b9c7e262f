"""Proofs by channels: each channel's states come back, or are bound, and what reads them is bound.

Some steps are recorded. From their end on, a channel that has an input of known period, and was in
the same state a multiple of it before, repeats what it did since, if the input had its period all
that time: what was done under other inputs says nothing. Channels of different periods together
take each of their values, and no others: that is what the boxes of outputs hold, and what a
read-out, or a layer above, can make of a box is a box again.
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
from .boxes import Box, linear
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
    """Values at the steps from the record's end on, (C,); a unit's states, (C, S), too.

    periods: each channel's, 0 where it is not known.
    spans: at how many of the record's last steps each channel had its period.
    box: what each channel's values lie in.
    """

    periods: np.ndarray
    spans: np.ndarray
    box: Box

    @property
    def span(self) -> int:
        """At how many of the record's last steps all had their periods."""
        return int(self.spans.min())

    @property
    def joint(self) -> int:
        """After how many steps all channels come back together; 0 where that is not known, or
        longer than all of them were seen to have their periods."""
        return _lcm(self.periods, self.span)


class Tail:
    """One cue's walker, and who is asked from its states, after the end of a record."""

    def __init__(self, structure: Structure, record: Record, row: int) -> None:
        self.structure, self.record, self.steps = structure, record, record.steps
        self.walker, self.asked = row, structure.walk.count + row
        self.precision = structure.precision
        #: While it walks, of the steps that it was followed through.
        self.states: dict[Unit, Signal] = {}

    def proof(self) -> Proof | None:
        """That the actions are right at all steps after the record; None if not shown."""
        corridor, root = self.structure.walk.corridor, self.structure.network.root
        walked = self.part(root, self.constant(corridor.inputs), self.walker)
        asked = self.part(root, self.constant(corridor.junction[None]), self.asked)
        phases = {action for action in corridor.actions if action is not None}
        answer = corridor.cues[self.walker].answer
        if not self._right(asked, self.asked, answer):
            return None
        if len(phases) > 1 and not walked.joint:
            return None  # which action is right depends on the phase, which boxes do not tell
        if phases and not self._right(walked, self.walker, min(phases)):
            return None
        periods = np.concatenate([states.periods for states in self.states.values()])
        whole = _lcm(periods, min(states.span for states in self.states.values()))
        return Proof(_lcm(periods) or None, "orbit" if whole else "channels")

    def constant(self, inputs) -> Signal:
        x = self.structure.walk.moved(inputs).double().cpu().numpy()
        channels = x.shape[1]
        return Signal(
            np.full(channels, len(x)), np.full(channels, self.steps), Box(x.min(0), x.max(0))
        )

    def part(self, part, x: Signal, row: int) -> Signal:
        """What a part of the network gives, walking or asked."""
        if isinstance(part, Unit):
            return self._walked(part, x) if row == self.walker else self._asked(part, x)
        if isinstance(part, Above):
            for one in part.parts:
                x = self.part(one, x, row)
            return x if part.output is None else self._mapped(part, part.output, x, row)
        outs = [self.part(one, x, row) for one in part.parts]
        merged = _beside(outs) if part.concatenated else self._sum(outs)
        return merged if part.output is None else self._mapped(part, part.output, merged, row)

    def _sum(self, outs: list[Signal]) -> Signal:
        periods, spans = _together([(out.periods, out.spans) for out in outs])
        lo, hi = (sum(ends) for ends in zip(*(out.box for out in outs), strict=True))
        size = sum(out.box.largest for out in outs)
        box = Box(lo, hi).wider(self.precision.slack(len(outs), size))
        return Signal(periods, spans, box.unless(self.precision.overflows(size)))

    def _mapped(self, part, output: nn.Linear, x: Signal, row: int) -> Signal:
        """An output map: of a joint period as recorded, else bound."""
        count = output.out_features
        if x.joint:
            return self._recorded(part, row, np.full(count, x.joint), np.full(count, x.span))
        unknown = np.zeros(count, int)
        return Signal(unknown, unknown, self._linear(output, x.box))

    def _linear(self, layer: nn.Linear, box: Box) -> Box:
        weight, bias = _numbers(layer)
        return linear(box, weight, bias, self.precision)

    def _recorded(
        self, part, row: int, periods: np.ndarray, spans: np.ndarray, else_: Box | None = None
    ) -> Signal:
        """A part's outputs, bound by those of their last period."""
        box = _ranges(self.record.values(part, row)[..., None], periods)
        box = Box(box.lo[:, 0], box.hi[:, 0])
        return Signal(periods, spans, box if else_ is None else _known(periods, box, else_))

    def _walked(self, unit: Unit, x: Signal) -> Signal:
        values, raw = self.record.states(unit, self.walker)
        periods, spans = _returns(raw, x.joint, x.span)
        box = _ranges(values, periods)
        rule = None if mixes(unit) else rules.of(unit.layer)
        if rule and not periods.all():
            layer, now = rules.in_double(unit.layer), Box(values[-1], values[-1])
            pre = rules.drive(layer, x.box, self.precision)
            box = _known(periods, box, rule.tail(layer, pre, now, self.precision))
        self.states[unit] = Signal(periods, spans, box)
        return self._output(unit, x, self.states[unit], self.walker)

    def _asked(self, unit: Unit, x: Signal) -> Signal:
        before = self.states[unit]
        # Who is asked at a step has the state after the step before it.
        given = np.full(len(before.periods), x.joint), np.full(len(before.periods), x.span)
        periods, spans = _together([(before.periods, np.maximum(before.spans - 1, 0)), given])
        values, _ = self.record.states(unit, self.asked)
        box = _ranges(values, periods)
        rule = None if mixes(unit) else rules.of(unit.layer)
        if rule and not periods.all():
            layer = rules.in_double(unit.layer)
            pre = rules.drive(layer, x.box, self.precision)
            box = _known(periods, box, rule.step(layer, pre, before.box, self.precision))
        return self._output(unit, x, Signal(periods, spans, box), self.asked)

    def _output(self, unit: Unit, x: Signal, after: Signal, row: int) -> Signal:
        """A unit's outputs, from its states after a step."""
        width = self.record.values(unit, row).shape[1]
        unknown, nothing = Box.unknown(width), np.zeros(width, int)
        if mixes(unit) or reads_out(unit):
            span = min(after.span, x.span)
            if joint := _lcm((*after.periods, *x.periods), span):
                return self._recorded(unit, row, np.full(width, joint), np.full(width, span))
            box = unknown if mixes(unit) else self._read_out(unit, x.box, after.box)
            return Signal(nothing, nothing, box)
        shown = Box(after.box.lo[:, 0], after.box.hi[:, 0]) if unit.shows_state else unknown
        return self._recorded(unit, row, after.periods, after.spans, shown)

    def _read_out(self, unit: Unit, x: Box, states: Box) -> Box:
        """An LRU's: Re(C h) + D x + b, of states (C, 2), real and imaginary parts."""
        layer = unit.layer
        if rules.of(layer) is None or states.lo.shape[1] != 2:
            return Box.unknown(layer.output_size)
        p = {name: q.numpy() for name, q in rules.in_double(layer).p.items()}
        skip = np.diag(p["skip"]) if p["skip"].ndim == 1 else p["skip"]
        both = Box(
            *(
                np.concatenate([end[:, 0], end[:, 1], extra])
                for end, extra in zip(states, x, strict=True)
            )
        )
        weight = np.concatenate([p["weight_ho"], skip], 1)
        return linear(both, weight, p.get("bias_ho"), self.precision)

    def _right(self, out: Signal, row: int, action: int) -> bool:
        """Whether the logits of an action stay above all others."""
        if out.joint:
            return True  # all that is to come was recorded, and right
        box = out.box
        *hidden, last = self.structure.head
        for part in hidden:
            if isinstance(part, nn.Linear):
                box = self._linear(part, box)
            else:
                curve = np.tanh if isinstance(part, nn.Tanh) else lambda x: np.maximum(x, 0)
                box = box.mapped(curve).wider(4 * self.precision.rounding)
        weight, bias = _numbers(last)
        bias = np.zeros(len(weight)) if bias is None else bias
        if not np.isfinite(box.largest).all():
            return False
        size = np.abs(weight) @ box.largest + np.abs(bias)
        if self.precision.overflows(size).any():
            return False
        # The margin's own slack is that of differences of weights, which may be far smaller.
        size = size + size[action]
        slack = self.precision.slack(weight.shape[1], size)
        slack = slack + self.precision.least * (box.largest.sum() + np.abs(weight).sum(1).max())
        margin = linear(box, weight[action] - weight, bias[action] - bias, self.precision).lo
        return bool((np.delete(margin - 2 * slack, action) > 0).all())


def _numbers(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray | None]:
    weight = layer.weight.detach().double().cpu().numpy()
    return weight, None if layer.bias is None else layer.bias.detach().double().cpu().numpy()


def _known(periods: np.ndarray, box: Box, else_: Box) -> Box:
    """The box of channels whose period is known, another for those whose is not."""
    known = (periods > 0).reshape(-1, *[1] * (box.lo.ndim - 1))
    return Box(*(np.where(known, a, b) for a, b in zip(box, else_, strict=True)))


def _beside(signals: list[Signal]) -> Signal:
    """The channels of all."""
    boxes = zip(*(signal.box for signal in signals), strict=True)
    return Signal(
        np.concatenate([signal.periods for signal in signals]),
        np.concatenate([signal.spans for signal in signals]),
        Box(*(np.concatenate(ends) for ends in boxes)),
    )


def _together(given: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Periods and spans of what reads, in each channel, several signals' periods and spans."""
    spans = np.min([spans for _, spans in given], 0)
    each = zip(*(periods for periods, _ in given), strict=True)
    found = [_lcm(channel, span) for channel, span in zip(each, spans, strict=True)]
    return np.array(found), spans


def _returns(raw: np.ndarray, q: int, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Each channel's period, a multiple of q, in bits (steps, C, S), and its span; 0 where it did
    not come back while its input had the period q, for ``span`` steps, or where q is 0, not
    known."""
    steps, count = raw.shape[:2]
    periods, spans = np.zeros(count, int), np.zeros(count, int)
    lags = np.arange(q, min(span, steps - 1) + 1, q) if q else np.array([], int)
    if len(lags):
        same = (raw[steps - 1 - lags] == raw[-1]).all(2)
        periods = np.where(same.any(0), lags[same.argmax(0)], 0)
    for period in np.unique(periods[periods > 0]):
        which = periods == period
        same = (raw[period:, which] == raw[:-period, which]).all(2)[::-1]
        spans[which] = period + np.where(same.all(0), len(same), same.argmin(0))
    return periods, spans


def _ranges(values: np.ndarray, periods: np.ndarray) -> Box:
    """Each channel's least and largest of its last period, of (steps, C, S); unknown where that is
    0."""
    found = Box.unknown(*values.shape[1:])
    for period in np.unique(periods[periods > 0]):
        which = periods == period
        last = values[-period:, which]
        found.lo[which], found.hi[which] = last.min(0), last.max(0)
    return found


def _lcm(periods, most: int | None = None) -> int:
    """Of all, 0 where one is 0, or where it is more than ``most``."""
    found = 1
    for period in np.unique(np.asarray(list(periods), dtype=object)):
        found = math.lcm(found, int(period))
        if not found or (most is not None and found > most):
            return 0
    return found
