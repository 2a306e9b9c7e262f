"""The network as a circuit: VHDL, its test bench, and the proof that both compute the same.

Entities are in ``sources``, as they are written out; what differs from network to network is made
by ``generated``.
"""

from .simulate import Mismatch, Simulation
from .verify import verify_vhdl
from .writer import write_vhdl

__all__ = ["Mismatch", "Simulation", "verify_vhdl", "write_vhdl"]
