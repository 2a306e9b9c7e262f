"""How a scan is cut into programs: a pure function of its sizes.

A scan is bound by memory, and hides its latency by bytes in flight: 33 KiB per multiprocessor fill an H100. One warp with 16 bytes
per thread, 8 steps and two streams has 8 KiB in flight, so four warps per multiprocessor are enough. Where the lanes of batch and channels
make fewer, time is cut: its inputs are then read twice, which pays below about 0.6 of those four, and the pieces make up the number.
These numbers are derived, not tuned: no GPU has run them yet.
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

#: Bytes that a thread loads from a stream at once, the widest access there is.
ACCESS = 16
WARP = 32
#: Steps whose loads are issued together. The backward pass reads twice as many streams in as many registers, and the arithmetic of
#: double precision takes so many of its own that more steps spill.
UNROLL_FORWARD, UNROLL_BACKWARD = {"single": 8, "double": 4}, {"single": 4, "double": 1}
#: The same of the step engine, which asks for the turn after the next one's loads before it computes this one: eight steps of the SRC
#: take about as long as a trip to memory. Twice the steps in a turn would do the same, and compile five times as long.
UNROLL_STEPS = 4
#: Registers that a thread may take on NVIDIA GPUs, all there are: eight warps fit a multiprocessor. Without a number the assembler
#: guesses an occupancy, and spills a register or two to reach it, though the loads in flight are what these registers are for.
REGISTERS = 255
#: Programs per multiprocessor below which time is cut, and those it is cut into.
ENOUGH, WANTED = 4, 8
#: The shortest piece: below it the launches of a cut scan cost more than they gain.
SHORTEST = 64


class Plan(NamedTuple):
    """Sizes of the tile of a program, and the pieces of time."""

    rows: int
    block: int  # channels
    chunks: int
    steps: int  # of a piece, a multiple of both unrolls

    def grid(self, B: int, C: int) -> tuple[int, int]:
        return -(-B * self.chunks // self.rows), -(-C // self.block)


def tile(C: int, item: int) -> tuple[int, int]:
    """Rows and channels of one warp's tile, for items of so many bytes in registers. B and T have no say: they would compile anew."""
    lanes = max(WARP * ACCESS // max(item, 4), WARP)
    block = min(1 << (C - 1).bit_length(), lanes)
    return lanes // block, block


def make_plan(B: int, T: int, C: int, item: int, processors: int, chunks: int | None = None) -> Plan:
    """item: bytes of a channel in registers; processors: of the device, 0 if it runs one program at a time (then nothing is cut).

    chunks: cuts time into this many pieces at least, for tests.
    """
    rows, block = tile(C, item)
    if chunks is None:
        programs = max(-(-B // rows) * -(-C // block), 1)
        # Pieces are lanes too: several fit the rows of one program where there are few channels.
        per_row = 1 if rows <= B else rows
        chunks = 1
        if programs < ENOUGH * processors:
            # Running along the pieces takes about a 32nd of a step's time each: more pieces than this and that dominates.
            chunks = max(min(-(-WANTED * processors // programs) * per_row, isqrt(8 * T), T // SHORTEST), 1)
    unit = max(UNROLL_FORWARD["single"], UNROLL_BACKWARD["single"])
    steps = -(-max(T, 1) // (chunks * unit)) * unit
    return Plan(rows, block, max(-(-T // steps), 1), steps)
