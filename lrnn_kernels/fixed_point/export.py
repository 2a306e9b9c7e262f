"""From a trained layer of spiking recurrent cells to the integers of the hardware."""

from __future__ import annotations

from typing import Any

import numpy as np

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


def from_src(layer: Any, levels: int, *, accumulator_bits: int = 12) -> Network:
    """The network of integers that stands for an ``nn.SRC``, layers quantized each by itself.

    What the hardware has in common with the layer are its weights; the neuron is another, in
    integers, so that networks are best trained further as they will run.

    Args:
        levels: B of ``quantize``.
        accumulator_bits: as of ``Network``.

    Raises TypeError for what is no SRC, ValueError for one that the hardware cannot be: with other
    constants, biases that are not all about -6 (``bias=False`` keeps them there), a learned initial
    state, or two directions.
    """
    options = getattr(layer, "options", None)
    if not isinstance(options, dict) or not options.keys() >= _CONSTANTS.keys():
        raise TypeError(f"layer must be an nn.SRC, got {type(layer).__name__}")
    for name, expected in _CONSTANTS.items():
        if options[name] != expected:
            raise ValueError(f"layer.{name} must be {expected:g}, got {options[name]:g}")
    if layer.bidirectional:
        raise ValueError("layer must have one direction, got bidirectional=True")
    if layer.initial_state != "zero":
        raise ValueError(f"layer must start at zero, got initial_state={layer.initial_state!r}")
    parameters = {name: p.detach().cpu().double().numpy() for name, p in layer.named_parameters()}
    weights = []
    for k in range(layer.num_layers):
        bias = parameters.get(f"bias_l{k}", np.array([BIAS]))
        farthest = bias[np.abs(bias - BIAS).argmax()]
        if not abs(farthest - BIAS) <= _TOLERANCE:
            raise ValueError(
                f"bias_l{k} must be {BIAS:g} in all neurons, within {_TOLERANCE:g}, got "
                f"{farthest:g}: train with bias=False"
            )
        weights.append(quantize(parameters[f"weight_ih_l{k}"], levels))
    return Network(weights, accumulator_bits=accumulator_bits)
