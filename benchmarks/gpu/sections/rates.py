"""Populations of neurons: neuron-steps a second beside what the GPU's special functions allow."""

from __future__ import annotations

import torch

from .. import neurons
from ..place import Limit, Place
from .machine import hertz

ROUNDS = 2
TYPES = ("float32", "float64")


def units(place: Place) -> list[tuple] | str:
    """(model, neurons, type), many neurons of float32 first."""
    if not place.engines:
        return "no backend simulates neurons here"
    models = place.pick(list(neurons.STEPS), list(neurons.STEPS)[-1:])
    return [
        (model, count, dtype)
        for count in place.pick(neurons.COUNTS, (3,))
        for dtype in place.pick(TYPES, TYPES[:1])
        for model in models
    ]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits the rate of each backend."""
    place.warm_up()
    model, count, dtype = unit
    g = neurons.conductances(model, count).to(place.device)
    clock = hertz(place)
    allowed = neurons.bound(model, _multiprocessors(place), clock)
    rounds, seconds = place.pick((ROUNDS, neurons.SECONDS), (1, 0.0))
    for backend in place.engines:
        rate = neurons.rate(backend, model, getattr(torch, dtype), g, rounds, seconds)
        row = {"model": model, "backend": backend, "neurons": count, "dtype": dtype, "rate": rate}
        text = f"{model}, {backend}, {dtype}, {count} neurons: {rate:.3g} neuron-steps/s"
        if dtype == "float32":
            row |= {"bound": allowed, "share": rate / allowed}
            text += f", {row['share']:.2f} of the bound at {clock / 1e6:.0f} MHz"
        emit(**row, text=text)


def _multiprocessors(place: Place) -> int:
    return 132 if place.stands_in else torch.cuda.get_device_properties(0).multi_processor_count
