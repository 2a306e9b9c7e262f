"""Which circuit a network becomes."""

from __future__ import annotations

from types import ModuleType

from ..hysteresis import HysteresisNetwork
from ..network import Network
from . import hysteresis, spiking

#: For each kind of network the module that knows its circuit: CIRCUIT, checked, files,
#: write_vectors and readme.
KINDS: dict[type, ModuleType] = {Network: spiking, HysteresisNetwork: hysteresis}


def kind_of(network: object) -> ModuleType:
    for kind, module in KINDS.items():
        if isinstance(network, kind):
            return module
    names = " or a ".join(kind.__name__ for kind in KINDS)
    hint = ": give its network()" if hasattr(network, "network") else ""
    raise TypeError(f"network must be a {names}, got {type(network).__name__}{hint}")
