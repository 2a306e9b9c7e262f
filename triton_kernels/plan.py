"""How a scan is cut into programs: a pure function of its sizes and of a row of config.py.

A scan is bound by memory, and hides its latency by bytes in flight. Where the lanes of batch and
channels make too few programs for that, time is cut: its inputs are then read twice, and the pieces
make up the number.
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

from .config import Config


class Plan(NamedTuple):
    """Sizes of the tile of a program, and the pieces of time."""

    rows: int
    block: int  # channels
    chunks: int
    steps: int  # of a piece, a multiple of the steps whose loads are issued together

    def grid(self, B: int, C: int) -> tuple[int, int]:
        return -(-B * self.chunks // self.rows), -(-C // self.block)


def tile(C: int, lanes: int) -> tuple[int, int]:
    """Rows and channels of a program's tile. B and T have no say: they would compile anew."""
    block = min(1 << (C - 1).bit_length(), lanes)
    return lanes // block, block


def make_plan(
    B: int,
    T: int,
    C: int,
    config: Config,
    planes: int,
    processors: int,
    whole: int = 1,
    chunks: int | None = None,
) -> Plan:
    """planes: 2 for complex numbers; processors: of the device, 0 if it runs one program at a time
    (then nothing is cut).

    whole: what the steps of a piece are a multiple of; chunks: cuts time into this many pieces at
    least, for tests.
    """
    rows, block = tile(C, config.lanes(planes))
    if chunks is None:
        programs = max(-(-B // rows) * -(-C // block), 1)
        # Pieces are lanes too: several fit the rows of one program where there are few channels.
        per_row = 1 if rows <= B else rows
        chunks = 1
        if programs < config.enough * processors:
            # Running along the pieces takes about a 32nd of a step's time each: more pieces than
            # this and that dominates.
            wanted = -(-config.wanted * processors // programs) * per_row
            chunks = max(min(wanted, isqrt(8 * T), T // config.shortest), 1)
    unit = max(config.forward, config.backward, whole)
    steps = -(-max(T, 1) // (chunks * unit)) * unit
    return Plan(rows, block, max(-(-T // steps), 1), steps)
