"""First-quadrant BMRUs (FQ-BMRU) in integers: stacks of bits that two thresholds switch.

x are unsigned integers of a stated width; weights, bias and thresholds of a layer are integers of
one scale. In every step, for every unit:

    u     = max(sum over inputs of W x + b, 0)
    state = 1 if u >= high, else 0 if u <= low, else as before

Both comparisons include equality, and ``high`` comes first where low = high: those of
``nn.FQBMRU``, whose states are 0 and alpha. What alpha is does not matter to a unit; it is a factor
of the weights that read its state. In a stack, states are the next layer's inputs in the same step.
Sums are 32 bits wide at most, by construction: nothing overflows, whatever x is. Source: the
first-quadrant form of the BMRU, that of its analog circuit (Liège).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import arguments

MOST_BITS = 32  # of a sum, its sign included: what integers of VHDL have for certain
_LARGEST = 2 ** (MOST_BITS - 1) - 1


@dataclass(frozen=True, eq=False)
class HysteresisLayer:
    """Units that read the same inputs.

    Attributes:
        weights: (units, inputs), integers; kept as int64, as all that follows.
        bias: (units,), integers.
        low, high: (units,), integers, 0 <= low <= high: the thresholds.
        initial: (units,), bool: states before the first step; all 0 by default.

    Raises TypeError and ValueError for anything else.
    """

    weights: np.ndarray
    bias: np.ndarray
    low: np.ndarray
    high: np.ndarray
    initial: np.ndarray | None = None

    def __post_init__(self) -> None:
        weights = _matrix("weights", self.weights)
        units = len(weights)
        initial = np.zeros(units, np.bool_) if self.initial is None else self.initial
        initial = arguments.array("initial", initial, 1, "(units,)").copy()
        if initial.dtype != np.bool_:
            raise TypeError(f"initial must be bool, got {initial.dtype}")
        kept = {
            "weights": weights,
            "bias": _vector("bias", self.bias, -_LARGEST),
            "low": _vector("low", self.low, 0),
            "high": _vector("high", self.high, 0),
            "initial": initial,
        }
        _keep(self, kept, units, "units")
        if (wrong := np.flatnonzero(self.high < self.low)).size:
            k = wrong[0]
            raise ValueError(
                f"high must be at least low in every unit, got low {self.low[k]} and high "
                f"{self.high[k]} in unit {k}"
            )


@dataclass(frozen=True, eq=False)
class ReadOut:
    """Sums over the states of the last layer: weights (classes, units) and bias (classes,),
    integers. The first largest sum is the class."""

    weights: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        weights = _matrix("weights", self.weights)
        kept = {"weights": weights, "bias": _vector("bias", self.bias, -_LARGEST)}
        _keep(self, kept, len(weights), "classes")


@dataclass(frozen=True, eq=False)
class UnitStates:
    """What the units of a layer did with one sequence: u (T, units), int64, and state (T, units),
    bool, after the input of each step."""

    u: np.ndarray
    state: np.ndarray


@dataclass(frozen=True, eq=False)
class HysteresisStates:
    """What every layer did with one sequence, and values (T, classes), int64: the sums of the
    read-out after each step; None where there is none."""

    layers: tuple[UnitStates, ...]
    values: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a network made of N sequences, after each of their T steps.

    Attributes:
        states: (N, T, units), bool, of the last layer.
        values: (N, T, classes), int64, the sums of the read-out; None where there is none.
    """

    states: np.ndarray
    values: np.ndarray | None

    @property
    def labels(self) -> np.ndarray:
        """(N, T), int64: the first largest of the values. Raises ValueError without a read-out."""
        if self.values is None:
            raise ValueError("the network has no read-out: its states have no labels")
        return self.values.argmax(2)


class HysteresisNetwork:
    """A stack of layers of FQ-BMRUs in integers, and a read-out; equations in
    ``lrnn_kernels.fixed_point.hysteresis``, and ``from_fq_bmru`` makes one of a trained layer.

    Args:
        layers: HysteresisLayer; every one but the first has as many inputs as the one before has
            units.
        read_out: of the last layer's states, or None.
        input_bits: width of the inputs x of the first layer, 0 ... 2^input_bits - 1; 1 to 16.

    Raises TypeError and ValueError for a bad argument, and where a sum could need more than 32
    bits; calls raise for x that are not as they say.
    """

    def __init__(
        self, layers: list[HysteresisLayer], read_out: ReadOut | None = None, *, input_bits: int
    ) -> None:
        if not isinstance(layers, (list, tuple)):
            raise TypeError(
                f"layers must be a list of HysteresisLayer, got {type(layers).__name__}"
            )
        if not layers:
            raise ValueError("layers must hold at least one layer, got none")
        self.input_bits = arguments.integer("input_bits", input_bits, 1, 16)
        self.layers, self.read_out = tuple(layers), read_out
        fed: HysteresisLayer | None = None
        for name, layer, kind in self._named():
            if not isinstance(layer, kind):
                raise TypeError(f"{name} must be {kind.__name__}, got {type(layer).__name__}")
            if fed is not None and layer.weights.shape[1] != len(fed.weights):
                raise ValueError(
                    f"{name}.weights must have shape ({len(layer.weights)}, {len(fed.weights)}), "
                    f"one input per unit before, got {layer.weights.shape}"
                )
            fed = layer
        for (name, _, _), bits in zip(self._named(), self.sum_bits, strict=True):
            if bits > MOST_BITS:
                raise ValueError(
                    f"{name} must have sums of {MOST_BITS} bits at most, got weights, bias and "
                    f"inputs that can take {bits}"
                )

    @property
    def inputs(self) -> int:
        return self.layers[0].weights.shape[1]

    @property
    def sum_bits(self) -> tuple[int, ...]:
        """Of each layer, and of the read-out, how many bits hold every sum that inputs can lead
        to, its sign included. A float holds them exactly where they are no more than its mantissa
        and its sign have: 25 in float32, 54 in float64."""
        return tuple(
            max(int(x if x >= 0 else ~x).bit_length() + 1 for x in _reach(layer, most))
            for layer, most in zip(self._all, self._most, strict=True)
        )

    def run(self, x: np.ndarray) -> Outcome:
        """The states, and values, after each step of sequences x (N, T, inputs): integers, or bool,
        as states of another network and unpacked ``traces`` are."""
        layers, values = self._run(self._checked(x))
        return Outcome(layers[-1].state, values)

    def states(self, x: np.ndarray, sequence: int = 0) -> HysteresisStates:
        """What every unit did in every step of one of the sequences x (N, T, inputs)."""
        x = self._checked(x)
        if not len(x):
            raise ValueError("x must hold at least one sequence, got none")
        sequence = arguments.integer("sequence", sequence, 0, len(x) - 1)
        layers, values = self._run(x[sequence : sequence + 1])
        layers = tuple(UnitStates(layer.u[0], layer.state[0]) for layer in layers)
        return HysteresisStates(layers, None if values is None else values[0])

    def parameters(self, dtype: type = np.float32) -> dict[str, np.ndarray]:
        """The ``state_dict`` of the ``nn.FQBMRU`` with these integers as its parameters, alpha = 1
        and x as they are, all layers of which have as many units: it does the same in floating
        point, without rounding where ``sum_bits`` says so."""
        found = {}
        for k, layer in enumerate(self.layers):
            numbers = (layer.weights, layer.bias, layer.low, layer.high - layer.low)
            names = ("weight_ih", "bias_ih", "p1", "p2")
            found |= {f"{n}_l{k}": x.astype(dtype) for n, x in zip(names, numbers, strict=True)}
            found[f"alpha_l{k}"] = np.ones(len(layer.bias), dtype)
            found[f"s0_l{k}"] = layer.initial.astype(dtype)
        return found

    def __repr__(self) -> str:
        sizes = "-".join(str(n) for n in (self.inputs, *(len(layer.bias) for layer in self._all)))
        return f"HysteresisNetwork({sizes}, input_bits={self.input_bits})"

    @property
    def _all(self) -> tuple[HysteresisLayer | ReadOut, ...]:
        return self.layers if self.read_out is None else (*self.layers, self.read_out)

    @property
    def _most(self) -> list[int]:
        """The largest input of each layer, and of the read-out."""
        return [2**self.input_bits - 1] + [1] * (len(self._all) - 1)

    def _named(self) -> list[tuple[str, HysteresisLayer | ReadOut, type]]:
        found = [(f"layers[{k}]", layer, HysteresisLayer) for k, layer in enumerate(self.layers)]
        return (
            [*found, ("read_out", self.read_out, ReadOut)] if self.read_out is not None else found
        )

    def _checked(self, x: object) -> np.ndarray:
        x = arguments.array("x", x, 3, f"(N, T, {self.inputs})")
        x = x.astype(np.uint8) if x.dtype == np.bool_ else x
        x = arguments.integers("x", x, 0, 2**self.input_bits - 1, np.int64)
        if x.shape[2] != self.inputs:
            raise ValueError(f"x must have shape (N, T, {self.inputs}), got {x.shape}")
        return x

    def _run(self, x: np.ndarray) -> tuple[list[UnitStates], np.ndarray | None]:
        """u and states of every layer, (N, T, units), and the values."""
        found = []
        for layer in self.layers:
            found.append(_layer(layer, x))
            x = found[-1].state
        return found, None if self.read_out is None else _sums(self.read_out, x)


def _layer(layer: HysteresisLayer, x: np.ndarray) -> UnitStates:
    u = np.maximum(_sums(layer, x), 0)
    state = np.empty(u.shape, np.bool_)
    before = np.broadcast_to(layer.initial, u[:, 0].shape) if u.shape[1] else None
    for t in range(u.shape[1]):
        held = np.where(u[:, t] <= layer.low, False, before)
        before = state[:, t] = np.where(u[:, t] >= layer.high, True, held)
    return UnitStates(u, state)


def _sums(layer: HysteresisLayer | ReadOut, x: np.ndarray) -> np.ndarray:
    """W x + b: exact, since whatever is added up has 32 bits at most, and float64 holds 53."""
    product = x.astype(np.float64) @ layer.weights.T.astype(np.float64)
    return product.astype(np.int64) + layer.bias


def _reach(layer: HysteresisLayer | ReadOut, most: int) -> tuple[int, int]:
    """The least and the largest that any of the terms of a sum add up to, with the bias and
    without; of inputs 0 ... most."""
    low, high = (most * side(layer.weights, 0).sum(1) for side in (np.minimum, np.maximum))
    lows, highs = np.minimum(low, low + layer.bias), np.maximum(high, high + layer.bias)
    return int(lows.min()), int(highs.max())


def _matrix(name: str, x: object) -> np.ndarray:
    x = arguments.array(name, x, 2, "(units, inputs)")
    if not (1 <= x.shape[0] <= 65535 and 1 <= x.shape[1] <= 65535):
        raise ValueError(f"{name} must have 1 to 65535 units and inputs, got shape {x.shape}")
    return arguments.integers(name, x, -_LARGEST, _LARGEST, np.int64)


def _vector(name: str, x: object, least: int) -> np.ndarray:
    x = arguments.array(name, x, 1, "(units,)")
    return arguments.integers(name, x, least, _LARGEST, np.int64)


def _keep(owner: object, kept: dict[str, np.ndarray], units: int, what: str) -> None:
    """Sets the fields of a frozen dataclass, if each is of that many units."""
    for name, x in kept.items():
        if len(x) != units:
            raise ValueError(f"{name} must have shape ({units},), one of the {what}, got {x.shape}")
        x.flags.writeable = False
        object.__setattr__(owner, name, x)
