"""One file a model of a neuron, under the names of csrc/neurons/; each declares its NEURON."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ..neuron import Neuron

#: Every neuron by the name of its model.
NEURONS: dict[str, Neuron] = {
    file.name: import_module(f"{__name__}.{file.name}").NEURON for file in iter_modules(__path__)
}
