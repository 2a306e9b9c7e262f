"""Random numbers that are functions of what they are for: of a seed, an episode, a step. The same
for one environment as for that one among many, on any machine.

source   the finalizer of SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
         generators", 2014
"""

from __future__ import annotations

import torch
from torch import Tensor

# As int64, whose products torch takes modulo 2^64.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def bits(*keys: Tensor | int) -> Tensor:
    """63 random bits, int64 from 0 on, of keys that are tensors or integers, broadcast."""
    state: Tensor | int = 0
    for key in keys:
        state = _mixed(torch.as_tensor(state + key + 1) * _GOLDEN)
    return state & (2**63 - 1)


def below(high: Tensor | int, drawn: Tensor) -> Tensor:
    """Uniform over 0 ... high - 1, of ``bits``; high up to 2^31, bias below high / 2^31."""
    return ((drawn >> 32) * high) >> 31


def unit(drawn: Tensor) -> Tensor:
    """Uniform in [0, 1), float64, of ``bits``, of which it leaves the lowest ten."""
    return (drawn >> 10).double() * 2.0**-53


def _mixed(x: Tensor) -> Tensor:
    for shift, factor in ((30, _MIX[0]), (27, _MIX[1]), (31, None)):
        x ^= (x >> shift).bitwise_and_(2 ** (64 - shift) - 1)  # a shift of unsigned numbers
        if factor is not None:
            x *= factor
    return x
