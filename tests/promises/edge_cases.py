"""Calls with numbers at the edge planted in them, and whether what became of them is what became of
them in the reference.

The rule is in the docstring of lrnn_kernels.cells. Channels do not meet in an elementwise cell, so
one call takes every case at once: every other channel holds one case, and those between hold none.
What is planted in a stream, a state or an incoming gradient is in one batch element alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrnn_kernels import testing
from lrnn_kernels.cell import carry_dtype
from lrnn_kernels.cells import CELLS

INF, NAN = float("inf"), float("nan")

#: Batch element and step that take what is planted, of 2 and 8; the step before which a call with
#: resets has one.
BATCH, STEP, RESET = 1, 2, 5

#: Beyond this share of a type's largest number, one order of the same operations overflows and
#: another does not.
ROOM = 1e-3

Run = Callable[[testing.Call], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Plant:
    """A value in one tensor of a call; of several states side by side, in one."""

    target: str
    plane: int
    value: float

    def into(self, call: testing.Call, channel: int) -> None:
        x = _targets(call)[self.target]
        at = channel + self.plane * call.inputs[0].shape[2]
        if x.dim() == 3:
            x[BATCH, STEP, at] = self.value
        elif self.target == "h_reset" or self.target in call.entry.params:
            x[..., at] = self.value
        else:
            x[BATCH, at] = self.value


def _targets(call: testing.Call) -> dict[str, Tensor]:
    """Every tensor of a call that a value may be planted in."""
    return {**call.tensors(), "dy": call.dy, "dh_last": call.dh_last}


def _values(dtype: torch.dtype) -> list[float]:
    info = torch.finfo(dtype)
    huge = {torch.float16: 65504.0, torch.float64: 1e307}.get(
        torch.zeros(0, dtype=dtype).abs().dtype, 1e38
    )
    return [INF, -INF, NAN, huge, -huge, info.tiny / 4, -info.tiny / 4, -0.0, 100.0, -100.0]


def _recovered(call: testing.Call, plant: Plant) -> bool:
    """Whether a state is beyond what the SRC can take a tanh out of again, where z > 0 mixes
    them; see lrnn_kernels.src."""
    mixes = (
        call.options.get("z", 0.0) > 0 and plant.target in ("h0", "h_reset") and plant.plane == 1
    )
    return not (mixes and abs(plant.value) > 10)


def plants(call: testing.Call) -> list[Plant]:
    """Every value in every tensor."""
    states = len(call.entry.states)
    found = []
    for target, x in _targets(call).items():
        for plane in range(states if target in ("h0", "h_reset", "dh_last") else 1):
            found += [Plant(target, plane, value) for value in _values(x.dtype)]
    # A recurrent weight of 100 is no edge: it amplifies rounding a hundredfold.
    return [
        p
        for p in found
        if _recovered(call, p) and not (p.target in call.entry.params and abs(p.value) == 100)
    ]


def pairs(call: testing.Call, count: int = 150) -> list[tuple[Plant, Plant]]:
    """Two infinities or NaN at a time, in any two places, drawn at random."""
    draw = random.Random(len(call.entry.inputs))
    special = [p for p in plants(call) if not abs(p.value) < INF]
    chosen = [(a, b) for a in special for b in special if (a.target, a.plane) < (b.target, b.plane)]
    return draw.sample(chosen, min(count, len(chosen)))


@dataclass(frozen=True)
class Planted:
    """A call with a case in every other channel, and the same without."""

    call: testing.Call
    clean: testing.Call
    cases: list[tuple[Plant, ...]]


def planted(
    cell: str, options: Mapping[str, Any], dtype: torch.dtype, which: str = "single", **features
) -> Planted:
    """which: "single", every value in every place; "pairs"; or "some" of both, in 128 channels."""

    def make(channels: int) -> testing.Call:
        call = testing.random_call(
            cell, 2, 8, channels, dtype=dtype, options=options, seed=3, **features
        )
        if call.reset is not None:
            call.reset[:] = False
            call.reset[:, RESET] = True
        return call

    small = make(1)
    single = [(plant,) for plant in plants(small)]
    cases = {"single": single, "pairs": pairs(small)}.get(which)
    if cases is None:
        draw = random.Random(len(single)).sample
        cases = draw(single, min(40, len(single))) + draw(pairs(small), 24)
    clean = make(2 * len(cases))
    call = clean.map(torch.clone)
    for number, case in enumerate(cases):
        for plant in case:
            plant.into(call, 2 * number)
    return Planted(call, clean, cases)


def differences(case: Planted, run: Run, cut: bool = False, twice: bool = True) -> list[str]:
    """What a run does with numbers at the edge that the reference does not, in words.

    cut: a run that cuts time, whose sums of infinities may be NaN. twice: channels and batch
    elements that hold nothing must not change by a bit, which a second run shows; otherwise they
    are compared with the reference.
    """
    got, clean = run(case.call), run(case.clean) if twice else None
    exact = testing.run(case.call.double(), "reference")
    narrow = testing.run(case.call.map(lambda x: x.to(carry_dtype(x.dtype))), "reference")
    C = case.call.inputs[0].shape[2]
    beyond = _beyond(case.call, got["y"], exact["y"])
    found = []
    for name, x in got.items():
        bad = ~(
            _agrees(name, case.call, x, exact[name], cut)
            | _agrees(name, case.call, x, narrow[name], cut)
        )
        channel = torch.arange(x.shape[-1]) % C
        if (cut or name.startswith("d_")) and case.call.dtype in testing.HALVES:
            bad &= ~beyond[channel]
        if clean is not None:
            bad[..., channel % 2 == 1] = False
            found += _changed(name, case, x, clean[name])
        for at in bad.nonzero()[:20].tolist():
            held = case.cases[at[-1] % C // 2] if at[-1] % C % 2 == 0 else "nothing"
            values = [z[tuple(at)].item() for z in (x, exact[name], narrow[name])]
            found.append(
                f"{name}{at} of {held}: got {values[0]}, reference {values[1]}, in float32 "
                f"{values[2]}"
            )
    return found


def _changed(name: str, case: Planted, got: Tensor, clean: Tensor) -> list[str]:
    """What changed where nothing was planted."""
    channel = torch.arange(got.shape[-1]) % case.call.inputs[0].shape[2]
    free, found = channel % 2 == 1, []
    if not testing.bits_equal(got[..., free], clean[..., free]):
        found.append(f"{name}: channels that hold nothing changed")
    if got.dim() > 1 and name != "d_h_reset":
        lone = [2 * i for i, each in enumerate(case.cases) if not _shared(case.call, each)]
        lanes = torch.isin(channel, torch.tensor(lone, dtype=torch.long))
        if not testing.bits_equal(got[1 - BATCH][..., lanes], clean[1 - BATCH][..., lanes]):
            found.append(f"{name}: another batch element changed")
    return found


def _beyond(call: testing.Call, y: Tensor, exact: Tensor) -> Tensor:
    """Channels whose states are beyond 16-bit storage, as which the backward pass reads them."""
    C = call.inputs[0].shape[2]
    beyond = (~y.isfinite() & exact.isfinite()).any(0).any(0)
    for ends in (call.h0, call.h_reset):
        if ends is not None:
            lost = (ends.isfinite() & ~ends.to(call.dtype).isfinite()).view(
                -1, ends.shape[-1] // C, C
            )
            beyond = beyond | lost.any(0).any(0)
    return beyond


def _shared(call: testing.Call, case: tuple[Plant, ...]) -> bool:
    """Whether a case is planted in what all batch elements read."""
    return any(plant.target == "h_reset" or plant.target in call.entry.params for plant in case)


def _agrees(name: str, call: testing.Call, got: Tensor, expected: Tensor, cut: bool) -> Tensor:
    """Elementwise: the same number up to rounding, the same infinity, or NaN; in gradients, complex
    numbers and where time is cut, finite or not.
    """
    expected = expected.to(got.dtype)  # of which the largest number is the largest there is
    limit = torch.finfo(got.dtype).max
    wide = testing.WIDER.get(got.dtype, torch.float64)
    got, expected = got.to(wide), expected.to(wide)
    finite = got.isfinite() & expected.isfinite()
    if name.startswith("d_") or got.is_complex() or cut:
        same = ~got.isfinite() & ~expected.isfinite()
    else:
        same = (got.isnan() & expected.isnan()) | ((got == expected) & got.isinf())
    scale = torch.where(finite, expected.abs(), 0)
    while scale.dim() > 1:
        scale = scale.amax(0)
    # An incoming gradient takes part in what cancels.
    given = torch.stack(
        [x.abs().double().nan_to_num(0, 0, 0).amax(tuple(range(x.dim() - 1))) for x in _edges(call)]
    ).amax(0)
    scale = (
        torch.maximum(scale, given.repeat(scale.shape[0] // given.shape[0]))
        if name.startswith("d_")
        else scale
    )
    # As testing.compare: a sum's rounding is that of its B T terms.
    factor = (
        call.dy[..., 0].numel() ** 0.5
        if name.removeprefix("d_") in (*call.entry.params, "h_reset")
        else 1.0
    )
    allowed = testing.tolerance(name, call) * factor * scale.clamp(min=1)
    overflow = got.isinf() & (
        torch.maximum(expected.abs(), allowed) > ROOM * limit
    ) | expected.isinf() & (got.abs() > ROOM * limit)
    return same | overflow | finite & ((got - expected).abs() <= allowed)


def _edges(call: testing.Call) -> Iterator[Tensor]:
    """The incoming gradients, a state's at a time."""
    C = call.inputs[0].shape[2]
    yield call.dy
    yield from call.dh_last.split(C, -1)


def without_mixing(options: Mapping[str, Any]) -> dict[str, Any]:
    """The SRC whose h[t] is a tanh itself, as the paper's."""
    return {**options, "z": 0.0}


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Every elementwise cell with each of its option sets, and the SRC with z = 0 in all but
    one."""
    found = []
    for cell, entry in CELLS.items():
        if entry.matrices:
            continue
        sets = testing.variants(cell)
        found += [(cell, sets[0])] * (cell == "src")
        found += [(cell, without_mixing(options) if cell == "src" else options) for options in sets]
    return found
