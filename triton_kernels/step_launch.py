"""From tensors to launches of the step engine."""

from __future__ import annotations

import torch
from torch import Tensor

from ..transforms import new_rows, saved_shape
from .engines import step
from .launch import Call, Launch

#: Plain numbers that every kernel of the engine takes.
NUMBERS = 13


def forward(call: Call, save: bool) -> tuple[tuple[Tensor, Tensor, Tensor], list[Launch]]:
    """(y, h_last, saved) and the launch that fills them."""
    y = new_rows(call.first, call.width)
    h_last = call.new(call.B, call.cell.states * call.C)
    save = save and not call.cell.saves_output
    shape = saved_shape(call.kernel, call.B, call.T, call.C, call.options) if save else (0,)
    saved = call.new(*shape, dtype=torch.int32 if call.cell.saves_output else call.carry)
    memory = _memory(call) if save else "output"
    args = (call.x, call.p, call.start, call.resets, call.at_reset, call.stream(y), call.stream(h_last))
    args = (*args, _planes(saved) if save else None, *_sizes(call))
    return (y, h_last, saved), [Launch(step.forward, call.plan.grid(call.B, call.C), args, _constants(call, memory, call.config.forward))]


def backward(call: Call, states: Tensor, dy: Tensor | None, dh_last: Tensor | None) -> tuple[list[Tensor], list[tuple], list[Launch]]:
    """As launch.backward."""
    cell, memory = call.cell, _memory(call)
    inputs = [new_rows(call.first, x.shape[2]) for x in ([call.first] if call.packed else call.inputs)]
    dx = tuple(call.stream(x) for x in (inputs[0].split(call.width, dim=2) if call.packed else inputs))
    dh0 = call.new(call.B, cell.states * call.C)
    partial = [call.by_row(torch.float64) for _ in call.params]
    reset_partial = call.by_row(torch.float64, cell.states) if call.at_reset is not None else (None, None)
    saved = call.stream(states) if memory == "output" else _planes(states)
    work = None
    if memory == "checkpoints":
        work = _planes(call.new(call.B, cell.saved, _interval(call) + 1, call.C))
    args = (call.x, call.p, call.start, call.resets, call.at_reset, saved, work, call.optional(dy), call.optional(dh_last))
    args = (*args, dx, tuple(stream for _, stream in partial), call.stream(dh0), reset_partial[1], *_sizes(call))
    constants = {"PULLBACK": cell.pullback, "SAVED": cell.saved, "KIND": cell.kind(call.options), "READS_INPUTS": cell.reads_inputs}
    launches = [Launch(step.backward, call.plan.grid(call.B, call.C), args, _constants(call, memory, call.config.backward) | constants)]
    sums = [(like, x) for like, (x, _) in zip(call.params, partial, strict=True)]
    sums += [(call.h_reset, reset_partial[0])] if call.at_reset is not None else []
    return [*inputs, dh0], sums, launches


def _memory(call: Call) -> str:
    """What the backward pass reads; see step.py."""
    if call.cell.saves_output:
        return "output"
    return "checkpoints" if call.options[0] else "states"


def _interval(call: Call) -> int:
    """Steps between checkpoints, no more than there are."""
    interval = 0 if call.cell.saves_output else int(call.options[0])
    return min(interval or 1, max(call.T, 1))


def _planes(x: Tensor) -> tuple:
    """The stream of saved values [B, planes, steps, C]."""
    x = x if x.stride(3) == 1 else x.contiguous()
    return x, x.stride(0), x.stride(2), 1, x.stride(1)


def _sizes(call: Call) -> tuple:
    numbers = call.cell.numbers(call.options)
    return call.B, call.T, call.C, _interval(call), *numbers, *(0.0,) * (NUMBERS - len(numbers))


def _constants(call: Call, memory: str, unroll: int) -> dict[str, object]:
    cell = call.cell
    fixed = {"STEP": cell.step, "SAVE": cell.save, "STATES": cell.states, "MEMORY": memory, "UNROLL": unroll}
    return {**call.constants, **fixed, "enable_fp_fusion": False}
