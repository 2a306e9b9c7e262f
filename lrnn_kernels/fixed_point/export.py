"""From trained layers to the integers of the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import arguments
from .hysteresis import HysteresisLayer, HysteresisNetwork, ReadOut
from .network import Network
from .quantization import quantize

#: The constants that the integers stand for.
_CONSTANTS = {
    "leak": 0.9,
    "rho": 3.0,
    "r": 2.0,
    "r_s": -7.0,
    "z": 0.0,
    "z_hyp": 0.9,
    "z_dep": 0.0,
    "slope": 10.0,
    "midpoint": 0.5,
}

#: All neurons of the hardware share one bias, 3000 / 512; how far another may be from it.
BIAS, _TOLERANCE = -6.0, 0.25

#: What h must exceed for a spike: 512 of 1024.
THRESHOLD = 0.5

#: What tells a layer of first-quadrant BMRUs.
_BISTABLE = ("weight_ih_l0", "p1_l0", "p2_l0", "alpha_l0", "quantize_initial_state", "eps")


def from_src(layer: Any, levels: int | Sequence[int], *, accumulator_bits: int = 12) -> Network:
    """The network of integers that stands for an ``nn.SRC``, layers quantized each by itself.

    What the hardware has in common with the layer are its weights; the neuron is another, in
    integers, so that most of what a layer has learned may be lost:
    ``nn.IntegerSRC.from_src(layer, levels)`` trains on from here, as the network will run.

    Args:
        levels: B of ``quantize``; one number, or one for each layer.
        accumulator_bits: as of ``Network``.

    Raises TypeError for what is no SRC, ValueError for one that the hardware cannot be: with other
    constants, a threshold that is neither 0.5 nor None, biases that are not all about -6
    (``bias=False`` keeps them there), a learned initial state, or two directions.
    """
    options = getattr(layer, "options", None)
    if not isinstance(options, dict) or not options.keys() >= _CONSTANTS.keys():
        raise TypeError(f"layer must be an nn.SRC, got {type(layer).__name__}")
    for name, expected in _CONSTANTS.items():
        if options[name] != expected:
            raise ValueError(f"layer.{name} must be {expected:g}, got {options[name]:g}")
    if options["threshold"] not in (None, THRESHOLD):
        raise ValueError(
            f"layer.threshold must be {THRESHOLD:g} or None, got {options['threshold']:g}"
        )
    if layer.bidirectional:
        raise ValueError("layer must have one direction, got bidirectional=True")
    if layer.initial_state != "zero":
        raise ValueError(f"layer must start at zero, got initial_state={layer.initial_state!r}")
    parameters = {name: p.detach().cpu().double().numpy() for name, p in layer.named_parameters()}
    weights = []
    for k, most in enumerate(arguments.levels(levels, layer.num_layers)):
        bias = parameters.get(f"bias_l{k}", np.array([BIAS]))
        farthest = bias[np.abs(bias - BIAS).argmax()]
        if not abs(farthest - BIAS) <= _TOLERANCE:
            raise ValueError(
                f"bias_l{k} must be {BIAS:g} in all neurons, within {_TOLERANCE:g}, got "
                f"{farthest:g}: train with bias=False"
            )
        weights.append(quantize(parameters[f"weight_ih_l{k}"], most))
    return Network(weights, accumulator_bits=accumulator_bits)


def from_fq_bmru(
    layer: Any,
    fraction_bits: int | Sequence[int],
    *,
    input_bits: int,
    input_step: float = 1.0,
    input_offset: float = 0.0,
    read_out: Any = None,
) -> HysteresisNetwork:
    """The network of integers that stands for an ``nn.FQBMRU``.

    An integer x stands for input_step x + input_offset. In each layer 2^fraction_bits is one: with
    W' = W input_step in the first layer, b' = b + input_offset times the sums of W there, and W' =
    W alpha of the layer before in the others, weights and biases are the integers nearest to W' and
    b' (halves to the even one), of float64. Thresholds lose nothing: an integer is at least
    beta_hi where it is at least ceil(beta_hi), and at most beta_lo where it is at most
    floor(beta_lo), in these units.

    So where no weight or bias needs rounding, the network's states are those of the layer, divided
    by alpha, for every x, as far as the layer's own arithmetic is exact; see ``sum_bits`` of
    ``HysteresisNetwork``. Alpha may have any sign; the last layer's is in the read-out's weights.

    Args:
        fraction_bits: 0 to 30; one number, or one for each layer and the read-out.
        input_bits: width of x, 1 to 16.
        read_out: a ``torch.nn.Linear`` on the layer's output, or None.

    Raises TypeError for what is no FQBMRU or Linear, ValueError for one that the hardware cannot
    be: with eps that is not 0, two directions, an initial state that is not 0 or alpha, numbers
    that are not finite or need sums of more than 32 bits, or weights all of which round to 0.
    """
    if not all(hasattr(layer, name) for name in _BISTABLE):
        raise TypeError(f"layer must be an nn.FQBMRU, got {type(layer).__name__}")
    if layer.bidirectional:
        raise ValueError("layer must have one direction, got bidirectional=True")
    if layer.eps != 0:
        raise ValueError(f"layer.eps must be 0, as training ends, got {layer.eps:g}")
    depth = layer.num_layers + (read_out is not None)
    units = _units(fraction_bits, depth)
    layers, step, offset = [], np.float64(input_step), float(input_offset)
    for name, x in (("input_step", step), ("input_offset", offset)):
        if not np.isfinite(x):
            raise ValueError(f"{name} must be finite, got {x}")
    if step == 0:
        raise ValueError("input_step must not be 0: every x would stand for the same number")
    for k in range(layer.num_layers):
        weights = _floats(layer, f"weight_ih_l{k}")
        bias = _floats(layer, f"bias_ih_l{k}") if layer.bias else np.zeros(len(weights))
        low, high = _thresholds(layer, k)
        layers.append(
            HysteresisLayer(
                _weights(f"weight_ih_l{k}", weights * step, units[k]),
                _rounded(f"bias_ih_l{k}", np.rint((bias + offset * weights.sum(1)) * units[k])),
                _rounded(f"beta_lo of layer {k}", np.floor(low * units[k])),
                _rounded(f"beta_hi of layer {k}", np.ceil(high * units[k])),
                _initial(layer, k),
            )
        )
        step, offset = _floats(layer, f"alpha_l{k}"), 0.0
    if read_out is None:
        return HysteresisNetwork(layers, input_bits=input_bits)
    if not hasattr(read_out, "weight") or not hasattr(read_out, "bias"):
        raise TypeError(f"read_out must be a torch.nn.Linear, got {type(read_out).__name__}")
    weights = _floats(read_out, "weight", "read_out.")
    bias = np.zeros(len(weights))
    if read_out.bias is not None:
        bias = _floats(read_out, "bias", "read_out.")
    if weights.shape[1] != layer.hidden_size:
        raise ValueError(
            f"read_out must have {layer.hidden_size} inputs, one for each unit, got "
            f"{weights.shape[1]}"
        )
    sums = ReadOut(
        _weights("read_out.weight", weights * step, units[-1]),
        _rounded("read_out.bias", np.rint(bias * units[-1])),
    )
    return HysteresisNetwork(layers, sums, input_bits=input_bits)


def _units(fraction_bits: object, depth: int) -> list[float]:
    """What one is, in each layer and the read-out."""
    bits = arguments.each("fraction_bits", fraction_bits, depth, "layer and the read-out", 0, 30)
    return [2.0**b for b in bits]


def _floats(owner: Any, name: str, of: str = "") -> np.ndarray:
    """A parameter, in float64."""
    x = getattr(owner, name).detach().cpu().double().numpy()
    if not np.isfinite(x).all():
        raise ValueError(f"{of}{name} must be finite, got {x[~np.isfinite(x)][0]}")
    return x


def _thresholds(layer: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """beta_lo and beta_hi, as the layer adds them up in its own dtype."""
    p1, p2 = (getattr(layer, f"{name}_l{k}").detach() for name in ("p1", "p2"))
    both = [x.cpu().double().numpy() for x in (p1.abs(), p1.abs() + p2.abs())]
    for x in both:
        if not np.isfinite(x).all():
            raise ValueError(f"|p1_l{k}| + |p2_l{k}| must be finite, got {x[~np.isfinite(x)][0]}")
    return both[0], both[1]


def _initial(layer: Any, k: int) -> np.ndarray | None:
    """States before the first step, 1 where they are alpha."""
    if layer.initial_state == "zero":
        return None
    s0 = _floats(layer, f"s0_l{k}")
    if not layer.quantize_initial_state and (wrong := s0[(s0 != 0) & (s0 != 1)]).size:
        raise ValueError(
            f"s0_l{k} must be 0 or 1 where quantize_initial_state is False, got {wrong[0]:g}"
        )
    return s0 >= 0.5


def _weights(name: str, x: np.ndarray, unit: float) -> np.ndarray:
    """Weights in units of 1/unit, of which some are left."""
    found = _rounded(name, np.rint(x * unit))
    if x.any() and not found.any():
        raise ValueError(
            f"fraction_bits must leave some of {name}, of {np.abs(x).max():.3g} at most: all are 0 "
            f"in units of {1 / unit:g}"
        )
    return found


def _rounded(name: str, x: np.ndarray) -> np.ndarray:
    """Whole numbers as integers, if they are of 32 bits."""
    if (wrong := x[np.abs(x) >= 2.0**31]).size:
        raise ValueError(
            f"{name} must be below 2^31 in units of 2^-fraction_bits, got {wrong[0]:g}"
        )
    return x.astype(np.int64)
