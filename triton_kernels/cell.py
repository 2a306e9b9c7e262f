"""What a recurrence is to the engines: its jit functions, and the facts that decide how they run.

Every file in cells/ declares its own in a table ``CELLS``, by the operators' names. x and p are
tuples of tiles: inputs and parameters; so are dx and dp, their gradients. The maths, with its
sources, is in lrnn_kernels/cells/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class AffineFunctions(NamedTuple):
    """The jit functions of an affine cell, as a kernel gets them."""

    gate: Any
    pullback: Any


class StepFunctions(NamedTuple):
    """The jit functions of a step cell, as a kernel gets them."""

    step: Any
    save: Any
    pullback: Any


class AffineCell(NamedTuple):
    """h[t] = a[t] h[t-1] + b[t], of one element.

    gate(x, p, options, PLANES) -> (a, b)
    pullback(x, p, options, h_prev, g, PLANES) -> (dx, dp)

    options is (eps, width), g the total adjoint of h[t]. The engine itself forms conj(a) g, the
    adjoint handed to h[t-1].
    """

    gate: Any
    pullback: Any
    uses_state: bool = True  # whether the pullback reads h_prev: if not, nothing need be saved
    saves_bits: bool = False  # engines/latch.py runs it, with eps = 0
    forgets: bool = False  # whether an a of 0 drops the state, infinite or not

    @property
    def functions(self) -> AffineFunctions:
        return AffineFunctions(self.gate, self.pullback)


class StepCell(NamedTuple):
    """What one element computes in one step, where that is nonlinear in its states.

    step(x, p, o, before) -> (after, y)
    save(state, o) -> saved                 what the pullback reads of a state
    pullback(x, p, o, before, after, dy, adjoint, KIND) -> (adjoint, dx, dp)

    before, after and adjoint are tuples of states; o holds the cell's numbers. In the pullback,
    before and after are what was saved around the step, or y itself; adjoint comes as that of the
    states after the step and goes as that of those before.
    """

    step: Any
    pullback: Any
    save: Any
    states: int = 1
    saved: int = 1  # values per step that ``save`` gives
    saves_output: bool = False  # they are y
    reads_inputs: bool = True  # whether the pullback does
    #: The cell's numbers, and KIND, which the pullback is compiled for, of the operator's options.
    numbers: Callable[[list[float]], tuple[float, ...]] = lambda options: ()
    kind: Callable[[list[float]], int] = lambda options: 0

    @property
    def functions(self) -> StepFunctions:
        return StepFunctions(self.step, self.save, self.pullback)
