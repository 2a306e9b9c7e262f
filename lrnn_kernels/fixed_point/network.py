"""Stacks of integer neurons, and neurons driven by hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from . import arguments, library, reference
from .coding import Traces
from .quantization import Quantized


class Classification(NamedTuple):
    """What a network made of N images."""

    labels: np.ndarray  # (N,), int64: the first largest accumulator
    votes: np.ndarray  # (N, 10), int32: the accumulators at the end
    spikes: np.ndarray  # (N, layers), int64: how often the neurons of each layer spiked


@dataclass(frozen=True, eq=False)
class States:
    """What the neurons of a layer did: arrays (T, neurons), int16, spike bool.

    Row t holds I after the input of step t, X, z and u as step t computed them, and h, h_s and
    spike after it.
    """

    I: np.ndarray  # noqa: E741, the equations' name
    X: np.ndarray
    z: np.ndarray
    u: np.ndarray
    h: np.ndarray
    h_s: np.ndarray
    spike: np.ndarray


@dataclass(frozen=True, eq=False)
class NetworkStates:
    """What every layer did with one image, and votes (T, 10), int32: the accumulators after each
    step."""

    layers: tuple[States, ...]
    votes: np.ndarray


class Network:
    """A stack of layers of integer neurons, and the read-out of ten accumulators; equations in
    ``lrnn_kernels.fixed_point``.

    Args:
        layers: for each layer its weights: Quantized, or integers (neurons, inputs) within +-32767.
            Every layer but the first has as many inputs as the one before has neurons.
        accumulator_bits: width of an accumulator, sign included, 2 to 32. The paper's network, 100
            neurons and 220 steps, needs 12.

    Every call raises OverflowError if a current leaves +-30000 or an accumulator its width, naming
    the lowest image in which that happens and, of this image, the first step, layer and neuron;
    TypeError and ValueError for a bad argument; RuntimeError if the backend is "cpu" and nothing is
    or can be compiled.
    """

    def __init__(self, layers: list[Quantized | np.ndarray], *, accumulator_bits: int = 12) -> None:
        if not isinstance(layers, (list, tuple)):
            raise TypeError(f"layers must be a list of weights, got {type(layers).__name__}")
        if not layers:
            raise ValueError("layers must hold the weights of at least one layer, got none")
        self.weights: tuple[np.ndarray, ...] = ()
        for number, layer in enumerate(layers):
            weights = _weights(f"layers[{number}]", layer)
            if self.weights and weights.shape[1] != len(self.weights[-1]):
                expected = f"({weights.shape[0]}, {len(self.weights[-1])})"
                raise ValueError(
                    f"layers[{number}] must have shape {expected}, one input per neuron before, "
                    f"got {weights.shape}"
                )
            self.weights += (weights,)
        self.accumulator_bits = arguments.integer("accumulator_bits", accumulator_bits, 2, 32)

    @property
    def inputs(self) -> int:
        return self.weights[0].shape[1]

    def classify(
        self,
        images: np.ndarray,
        frames: int = 220,
        *,
        silent: int | None = None,
        seed: int = 0,
        first: int = 0,
        threads: int | None = None,
        backend: str = "cpu",
    ) -> Classification:
        """Classifies images (N, inputs), uint8 or floating point in [0, 1], over ``frames`` steps.

        The same as ``run(traces(...))`` with the same arguments, which ``traces`` explains, but
        without the traces in memory.
        """
        images = arguments.grey_levels(images)
        if images.shape[1] != self.inputs:
            raise ValueError(
                f"images must have shape (N, {self.inputs}), one pixel per input, got "
                f"{images.shape}"
            )
        frames, silent = arguments.schedule(frames, silent)
        seed, first = (
            arguments.integer("seed", seed, 0, 2**64 - 1),
            arguments.integer("first", first, 0, 2**63 - 1),
        )
        threads = arguments.threads(threads)
        if arguments.backend(backend) == "reference":
            spikes = reference.encode(images, frames, silent, seed, first)
            return self._classification(*reference.run(self.weights, spikes, *self._range))
        call = library.compiled().classify
        return self._classification(
            *call(
                self._compiled, images, frames, silent, seed, first, self.accumulator_bits, threads
            )
        )

    def run(
        self, traces: Traces, *, threads: int | None = None, backend: str = "cpu"
    ) -> Classification:
        """Classifies images whose input spikes are given."""
        self._check_traces(traces)
        threads = arguments.threads(threads)
        if arguments.backend(backend) == "reference":
            return self._classification(*reference.run(self.weights, traces.unpack(), *self._range))
        return self._classification(
            *library.compiled().run(self._compiled, traces.bits, self.accumulator_bits, threads)
        )

    def states(self, traces: Traces, image: int = 0, *, backend: str = "cpu") -> NetworkStates:
        """What every neuron did in every step, for one image of the traces: to compare with a
        simulator's waveforms."""
        self._check_traces(traces)
        image = (
            arguments.integer("image", image, 0, len(traces) - 1) if len(traces) else _no_image()
        )
        one = traces[image : image + 1]
        if arguments.backend(backend) == "reference":
            layers, votes, failure = reference.watch(self.weights, one.unpack(), *self._range)
        else:
            layers, votes, failure = library.compiled().watch(
                self._compiled, one.bits, self.accumulator_bits
            )
        self._raise(failure)
        return NetworkStates(tuple(States(*layer) for layer in layers), votes)

    def __repr__(self) -> str:
        sizes = "-".join(str(n) for n in (self.inputs, *map(len, self.weights)))
        return f"Network({sizes}, accumulator_bits={self.accumulator_bits})"

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        for weights in self.weights:
            weights.flags.writeable = False  # copies and pickles forget it

    @cached_property
    def _compiled(self):
        return library.compiled().Network(list(self.weights))

    @property
    def _range(self) -> tuple[int, int]:
        return -(2 ** (self.accumulator_bits - 1)), 2 ** (self.accumulator_bits - 1) - 1

    def _check_traces(self, traces: object) -> None:
        if not isinstance(traces, Traces):
            raise TypeError(f"traces must be Traces, got {type(traces).__name__}")
        if traces.inputs != self.inputs:
            raise ValueError(f"traces must have {self.inputs} inputs, got {traces.inputs}")

    def _classification(
        self, votes: np.ndarray, spikes: np.ndarray, failure: tuple | None
    ) -> Classification:
        self._raise(failure)
        return Classification(votes.argmax(1), votes, spikes)

    def _raise(self, failure: tuple | None) -> None:
        if failure is None:
            return
        image, step, layer, neuron, value = failure
        if layer >= 0:
            _raise_current(f"layer {layer}, neuron {neuron}, step {step}, image {image}", value)
        low, high = self._range
        raise OverflowError(
            f"accumulator of class {neuron}, step {step}, image {image}: {value} is outside "
            f"[{low}, {high}], {self.accumulator_bits} bits"
        )


def neurons(
    *, X: np.ndarray | None = None, total: np.ndarray | None = None, backend: str = "cpu"
) -> States:
    """Runs neurons driven by hand, without weights: with X held, or with what their inputs would
    add up to.

    Args:
        X: (T, neurons), integers in [-1024, 1023]; the current plays no part then and stays 0.
            ``numpy.full((220, 1), 1023)`` is one neuron driven hard.
        total: (T, neurons), 32-bit integers: what the weights of the inputs that spike add up to in
            each step.
        backend: "cpu" or "reference".

    Exactly one of X and total is given. Raises as ``Network`` does.
    """
    if (X is None) == (total is None):
        raise ValueError(
            f"exactly one of X and total must be given, got {'none' if X is None else 'both'}"
        )
    if X is not None:
        X = arguments.integers(
            "X", arguments.array("X", X, 2, "(T, neurons)"), -1024, 1023, np.int16
        )
    else:
        total = arguments.integers(
            "total",
            arguments.array("total", total, 2, "(T, neurons)"),
            -(2**31),
            2**31 - 1,
            np.int32,
        )
    shape = (total if X is None else X).shape
    if not 1 <= shape[1] <= 65535:
        raise ValueError(
            f"{'total' if X is None else 'X'} must have 1 to 65535 neurons, got shape {shape}"
        )
    use = reference.drive if arguments.backend(backend) == "reference" else library.compiled().drive
    states, failure = use(X, total)
    if failure is not None:
        _raise_current(f"layer 0, neuron {failure[3]}, step {failure[1]}", failure[4])
    return States(*states)


def _weights(name: str, layer: object) -> np.ndarray:
    if isinstance(layer, Quantized):
        layer = layer.weights
    weights = arguments.array(name, layer, 2, "(neurons, inputs)")
    if not (1 <= weights.shape[0] <= 65535 and 1 <= weights.shape[1] <= 65535):
        raise ValueError(
            f"{name} must have 1 to 65535 neurons and inputs, got shape {weights.shape}"
        )
    weights = arguments.integers(name, weights, -32767, 32767, np.int16)
    weights.flags.writeable = False  # the compiled copy would not follow
    return weights


def _no_image() -> int:
    raise ValueError("traces must hold at least one image, got none")


def _raise_current(where: str, value: int) -> None:
    raise OverflowError(f"{where}: I = {value} is beyond +-{reference.MOST_CURRENT}")
