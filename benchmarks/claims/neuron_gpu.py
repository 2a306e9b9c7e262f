"""What the equations of neurons cost on a GPU, by arithmetic: a prediction, not a measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU, by what a multiprocessor does in a clock.

    Args:
        multiprocessors: how many.
        clock: Hz, sustained.
        special: results of its special-function units (2^x, 1/x).
        lanes: instructions that it issues, times 32.
        reached: share of the bound that kernels of this kind come to.
    """

    multiprocessors: int
    clock: float
    special: int
    lanes: int
    reached: float


#: One die in both: what differs is memory, which neurons in registers do not touch.
HOPPER = Gpu(multiprocessors=132, clock=1.75e9, special=16, lanes=128, reached=0.75)


@dataclass(frozen=True)
class Step:
    """What a step of a neuron takes: ``csrc/neurons``, by the default scheme without tables.

    Args:
        exponentials, reciprocals: each one result of a special-function unit, in its own precision.
        others: additions, multiplications and the like, about.
    """

    exponentials: int
    reciprocals: int
    others: int


STEPS = {"stg": Step(26, 12, 235), "da": Step(19, 8, 165)}


def rate(gpu: Gpu, step: Step) -> float:
    """Neuron-steps a second: what the special-function units, or issuing, allow; the share that is
    reached."""
    special = step.exponentials + step.reciprocals
    clocks = max(special / gpu.special, (special + step.others) / gpu.lanes)
    return gpu.reached * gpu.multiprocessors * gpu.clock / clocks


def assumes(gpu: Gpu, step: Step) -> str:
    """In words."""
    return (
        f"{gpu.multiprocessors} multiprocessors at {gpu.clock / 1e9:g} GHz, {step.exponentials} "
        f"2^x and {step.reciprocals} 1/x a step at {gpu.special} a clock, about {step.others} "
        f"other instructions at {gpu.lanes} a clock; states in registers, 135,000 neurons at "
        f"least, spike times alone stored; {gpu.reached:.0%} of the bound"
    )
