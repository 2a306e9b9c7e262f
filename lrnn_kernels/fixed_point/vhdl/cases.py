"""Small networks and stimuli that reach the edges of the arithmetic, to verify circuits with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import reference
from ..check import random_network
from ..coding import Traces
from ..hysteresis import HysteresisNetwork
from ..network import Network


@dataclass(frozen=True)
class Case:
    """A network, what it is sent, and whether it overflows there."""

    name: str
    network: Network | HysteresisNetwork
    stimulus: Traces | np.ndarray
    overflows: bool = False


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        Case(
            "random",
            random_network(rng, (45, 13, 11), 200),
            Traces.pack(rng.random((3, 30, 45)) < 0.2),
        ),
        Case("a deep stack", random_network(rng, (20, 9, 40, 3), 900), _alternating(rng, 20)),
        Case("words of an encoder", random_network(rng, (97, 10), 60), _words(97)),
        Case("one input, one neuron", Network([np.array([[7]])]), _patterns(1)),
        Case("saturations", Network([np.array([[900], [-900], [40], [1]])]), _silence_and_noise()),
        Case("limits of a current", *_at_the_limit(0)),
        Case("negative shifts", *_negative_shifts()),
        Case("thresholds", *_near_thresholds()),
        Case("first frames", random_network(rng, (9, 12), 300), _short(rng, 9)),
        Case("accumulators at their limit", *_full_accumulators(0)),
        Case("a current overflows at once", *_at_the_limit(1), True),
        Case("a current overflows below", *_at_the_limit(-1), True),
        Case("a current overflows later", *_at_the_limit(1, later=True), True),
        Case("an accumulator overflows", *_full_accumulators(1), True),
        Case("a read-out slower than its layer", *_slow_read_out()),
        Case("a second layer overflows", *_deep_overflow(), True),
        Case("two layers overflow in a step", *_deep_overflow(burst=0), True),
        Case("a second layer overflows before a first", *_deep_overflow(burst=1), True),
        Case("a second layer before a next sequence", *_deep_overflow(cut=True), True),
        Case("an accumulator before a first layer", *_deep_overflow(votes=True, burst=1), True),
    ]


def _alternating(rng: np.random.Generator, inputs: int) -> Traces:
    """All or nothing, then noise."""
    spikes = rng.random((2, 40, inputs)) < 0.4
    spikes[0] = np.arange(40)[:, None] % 2 == 0
    return Traces.pack(spikes)


def _words(inputs: int) -> Traces:
    """Frames of one spike each, at the ends of words, full and empty ones between them."""
    ends = [0, 31, 32, 63, 64, inputs - 2, inputs - 1]
    spikes = np.zeros((1, 3 * len(ends), inputs), np.bool_)
    for step, end in enumerate(ends):
        spikes[0, 3 * step, end] = True
        spikes[0, 3 * step + 1] = step % 2
        spikes[0, 3 * step + 2, ends[: step + 1]] = True
    return Traces.pack(spikes)


def _patterns(inputs: int) -> Traces:
    return Traces.pack(np.arange(50).reshape(1, 50, 1) % 3 == np.zeros((1, 1, inputs)))


def _silence_and_noise() -> Traces:
    """h_s falls to its limit in silence, and h goes from end to end where it is driven."""
    spikes = np.zeros((1, 140, 1), np.bool_)
    spikes[0, 60:110] = True
    spikes[0, 110::3] = True
    return Traces.pack(spikes)


def _at_the_limit(beyond: int, *, later: bool = False) -> tuple[Network, Traces]:
    """Currents of 30000 and -30000, reached at once and held there: of 30000, 2812 leak away, and
    of -30000 it is 2813. Beyond that, one more, for the one or the other."""
    up, down = (beyond, 0) if beyond > 0 else (0, beyond)
    weights = np.array(
        [
            [30000 + (0 if later else up), 2812 + (up if later else 0), 0],
            [-30000 + (0 if later else down), -2813 + (down if later else 0), 0],
            [5, -5, 1],
        ]
    )
    spikes = np.zeros((1, 12, 3), np.bool_)
    spikes[0, 0, 0] = True
    spikes[0, 1:8, 1] = True
    spikes[0, 9:, 2] = True
    return Network([weights]), Traces.pack(spikes)


def _negative_shifts() -> tuple[Network, Traces]:
    """Currents around 0 and the powers of two at which I>>4 and I>>5 step, left to leak."""
    weights = np.array([-1, -2, -15, -16, -17, -31, -32, -33, -64, -513, 1, 16, 31, 33])
    spikes = np.zeros((2, 40, 1), np.bool_)
    spikes[0, 1] = True
    spikes[1, ::5] = True
    return Network([weights[:, None]]), Traces.pack(spikes)


def _near_thresholds() -> tuple[Network, Traces]:
    """Neurons that come as near as they can to where the equations turn: h to 500 and 512 from both
    sides, (3u)>>2 to its clips, h_s to its own. Found among many sequences of X, which weights to
    one input a step then make."""
    steps, tried = 60, 20000
    rng = np.random.default_rng(0)
    excited = rng.random((steps, tried)) < rng.random((1, tried))
    last = np.zeros((3, tried), np.int64)
    history = []
    for X in np.where(excited, 1023, -1024):
        step = reference.fire(last[0], last[1], last[2], X)
        new = last[1] + (((last[2] - last[1]) * step.z) >> 10)
        history.append([step.h, (3 * step.u) >> 2, new])
        last = np.stack([last[0], step.h, step.h_s])
    h, driven, recovered = np.moveaxis(np.array(history), 1, 0)  # (steps, tried) each
    chosen: list[int] = []
    clips = (driven, -1024), (driven, 1023), (recovered, -800)
    for values, threshold in ((h, 500), (h, 512), *clips):
        for side in (values - threshold, threshold - 1 - values):
            nearest = np.where(side >= 0, side, 2**20).min(0)
            chosen += np.argsort(nearest, kind="stable")[:2].tolist()
    current, weights = np.zeros(len(chosen), np.int64), []
    for target in np.where(excited[:, chosen], 100, -100):
        weights.append(target - reference.integrate(current, np.int64(0)))
        current = target
    return (
        Network([np.stack(weights, 1)], accumulator_bits=24),
        Traces.pack(np.eye(steps, dtype=np.bool_)[None]),
    )


def _short(rng: np.random.Generator, inputs: int) -> Traces:
    """Sequences of two steps, which must know nothing of each other."""
    return Traces.pack(rng.random((12, 2, inputs)) < 0.7)


def _full_accumulators(beyond: int) -> tuple[Network, Traces]:
    """All neurons of class 3 fire together, 23 of a hundred all in all: six bits hold 31 and -32,
    which sums within a frame leave and come back to, where ``beyond`` is 0."""
    weights = np.full((40, 1), -1)
    weights[[3, 13, 23]] = 60
    weights[[4, 14, 15, 26, 37]] = 60
    spikes = np.ones((1, 16, 1), np.bool_)
    network = Network([weights], accumulator_bits=24)
    votes = network.states(Traces.pack(spikes), backend="reference").votes
    bits = max((int(x) if x >= 0 else ~int(x)).bit_length() + 1 for x in (votes.min(), votes.max()))
    return Network([weights], accumulator_bits=bits - beyond), Traces.pack(spikes)


def _slow_read_out() -> tuple[Network, Traces]:
    """131 neurons of one input each: the read-out takes 15 clocks, the layer before it fewer."""
    weights = np.random.default_rng(0).integers(50, 100, (131, 1))
    return Network([weights]), Traces.pack(np.ones((1, 18, 1), np.bool_))


def _deep_overflow(
    *, burst: int | None = None, cut: bool = False, votes: bool = False
) -> tuple[Network, Traces]:
    """A stack whose second layer overflows in the step in which the first one's neurons, driven by
    input 0, first spike. That layer is slow: the first one is ahead of it by then.

    burst: how many steps later input 1 makes a neuron of the first layer overflow.
    cut: the sequence ends in that step, and the next one begins with such a burst.
    votes: an accumulator overflows in that step, and the second layer does not.
    """
    first = np.zeros((60, 2), np.int64)
    first[:, 0], first[7, 1] = 50, 30000
    drive = np.zeros((2, 24, 2), np.bool_)
    drive[:, :, 0] = True
    spiked = Network([first]).states(Traces.pack(drive), backend="reference").layers[0].spike
    step = int(spiked.any(1).argmax())
    if burst is not None:
        drive[0, step + burst, 1] = True
    if cut:
        drive = drive[:, : step + 1]
        drive[1, 0, 1] = True
    if votes:
        return Network([first], accumulator_bits=3), Traces.pack(drive)
    second = np.zeros((5, 60), np.int64)
    second[2] = 510
    return Network([first, second]), Traces.pack(drive)
