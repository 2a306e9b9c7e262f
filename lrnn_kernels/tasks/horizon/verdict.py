"""What was decided, and in which form of computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

PROVED, BREAKS, UNDECIDED = "proved", "breaks", "undecided"


class Form(NamedTuple):
    """How the policy was run: what is proved holds in this form, bit for bit.

    Another batch size, number of threads or call may round otherwise, and where the last bits
    decide lead elsewhere. Where ``arithmetic`` is "exact", the decision is about the policy's
    numbers as fractions, and not about their sums in floating point.
    """

    dtype: torch.dtype
    batch: int
    threads: int
    call: str
    arithmetic: str = "floating point"

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        return f"{name}, batch {self.batch}, {self.threads} thread, {self.call}, {self.arithmetic}"


@dataclass(frozen=True)
class Verdict:
    """Whether a policy is optimal at every horizon, for one cue; ``print`` says it in a line.

    cue: its name.
    verdict: "proved": optimal at every horizon. "breaks": not at ``horizon``, and at all below it.
        "undecided": optimal at all horizons up to ``steps``, beyond which nothing is known.
    horizon: the smallest that fails, None where none was found.
    steps: how many the policy was run for.
    period: after how many steps its state comes back, where that is known: of a proof by channels
        the least common multiple of theirs, which may be beyond any number of steps.
    how: "orbit" (the whole state came back), "channels" (each channel's did, or is bound), "drift"
        (levels that rise or fall evenly), or "steps" (one by one).
    form: see ``Form``.
    """

    cue: str
    verdict: str
    horizon: int | None
    steps: int
    period: int | None
    how: str
    form: Form

    def __str__(self) -> str:
        said = f"{self.cue}: {self.verdict}"
        if self.horizon is not None:
            said += f" at {self.horizon:,}"
        if self.period is not None:
            said += (
                f", period {self.period:,}" if self.period < 1e9 else f", period {self.period:.1e}"
            )
        return f"{said}, by {self.how} after {self.steps:,} steps ({self.form})"
