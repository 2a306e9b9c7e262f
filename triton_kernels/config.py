"""The numbers that a GPU decides on, in one table: how large a program's tile is, how many steps it
loads at once, when time is cut.

They are looked up by the family of the kernel and the width of what it loads and stores. B and T
are no keys: a new length compiles nothing and is laid over the GPU at once (plan.py). Nothing is
measured inside a user's call. ``python -m benchmarks gpu tune`` measures on a GPU what lies
around each row, and prints the table to paste here. The rows below are derived and not tuned: no
GPU has run them yet.

    elements  that a thread owns, of a stream of real numbers; of complex ones half as many. A
              thread loads them at once, and 16 bytes are the widest access: 4 in float32. 16-bit
              numbers are float32 in registers, of which 8 with their steps would not fit. The step
              family has 1: what waits there is a chain of operations, and lanes hide it only on
              other multiprocessors.
    warps     of a program. One needs no barrier and no shared memory, and the grid fills the GPU.
    forward   steps whose loads are issued together. 33 KiB in flight per multiprocessor fill an
              H100: one warp with 16 bytes a thread, 8 steps and two streams has 8 KiB.
    backward  the same backward, where twice as many streams fill as many registers with half the
              steps. Double precision needs so many registers of its own that more steps spill. The
              step family asks for the turn after the next one's loads before it computes this one:
              eight steps of the SRC take about as long as a trip to memory, and a longer turn
              compiles much longer.
    enough    programs per multiprocessor below which time is cut: a cut scan reads its inputs
              twice, which pays below about 0.6 of the four warps that have enough bytes in flight.
              0: never, as the step family's time cannot be cut.
    wanted    programs per multiprocessor that the pieces make up.
    shortest  steps of a piece, at least: below, the launches of a cut scan cost more than they
              gain.

Triton's ``num_stages`` is no column: it pipelines loads through shared memory, and these kernels
issue theirs ahead in registers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

WARP = 32
#: Registers that a thread may take on NVIDIA GPUs, all there are: eight warps fit a multiprocessor.
#: Without a number the assembler guesses an occupancy, and spills a register or two to reach it,
#: though the loads in flight are what these registers are for.
REGISTERS = 255
#: Pieces of a cut scan whose maps are loaded together when the carries run along them: two small
#: tiles each, in one warp.
CARRIES = 16


class Config(NamedTuple):
    """A row of the table."""

    elements: int
    warps: int
    forward: int
    backward: int
    enough: int
    wanted: int
    shortest: int

    def lanes(self, planes: int) -> int:
        """Channels, and rows where there are fewer, of a program; planes: 2 for complex numbers."""
        return self.warps * WARP * max(self.elements // planes, 1)


# fmt: off
CONFIGS = {
    # family, width              elements  warps  forward  backward  enough  wanted  shortest
    ("affine", "half"):   Config(       4,     1,       8,        4,      4,      8,       64),
    ("affine", "single"): Config(       4,     1,       8,        4,      4,      8,       64),
    ("affine", "double"): Config(       2,     1,       4,        1,      4,      8,       64),
    ("latch", "half"):    Config(       4,     1,       8,        4,      4,      8,       64),
    ("latch", "single"):  Config(       4,     1,       8,        4,      4,      8,       64),
    ("latch", "double"):  Config(       2,     1,       4,        1,      4,      8,       64),
    ("step", "half"):     Config(       1,     1,       4,        4,      0,      0,        0),
    ("step", "single"):   Config(       1,     1,       4,        4,      0,      0,        0),
    ("step", "double"):   Config(       1,     1,       4,        4,      0,      0,        0),
}
# fmt: on


def width(dtype: torch.dtype) -> str:
    """The width of the real numbers of a type."""
    size = dtype.itemsize // (2 if dtype.is_complex else 1)
    return {2: "half", 4: "single", 8: "double"}[size]
