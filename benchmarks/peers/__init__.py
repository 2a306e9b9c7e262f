"""Everybody else's recurrences beside ours on the CPU: ``python -m benchmarks peers``.

``problems.py`` says what is computed, ``peer.py`` what a peer is, ``measure.py`` holds each to the
reference before it times it; the other files are the peers, one for a package or a kind of them.
Their packages are optional: ``pip install "lrnn-kernels[peers]"``.
"""

from . import (
    cell_layers,
    jax_scans,
    numba_loops,
    spiking,
    torch_compiled,
    torch_layers,
    torch_scans,
    torchlpc_recurrence,
)
from .peer import Peer

PEERS: tuple[Peer, ...] = tuple(
    peer
    for module in (
        numba_loops,
        torchlpc_recurrence,
        jax_scans,
        torch_compiled,
        torch_scans,
        cell_layers,
        torch_layers,
        spiking,
    )
    for peer in module.PEERS
)

__all__ = ["PEERS", "Peer"]
