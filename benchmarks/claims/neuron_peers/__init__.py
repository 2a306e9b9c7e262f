"""Other programs that simulate the STG neuron, each written as one would who knows them well, and
each optional: ``pip install "lrnn-kernels[neuron-peers]"``. ``peer.py`` says what a peer is."""

from . import brian, jax_peers, numba_lanes, numba_natural, scipy_solvers
from .peer import Peer

#: By the name of their row.
PEERS: dict[str, Peer] = {
    peer.name: peer
    for module in (scipy_solvers, brian, numba_natural, numba_lanes, jax_peers)
    for peer in module.PEERS
}

__all__ = ["PEERS", "Peer"]
