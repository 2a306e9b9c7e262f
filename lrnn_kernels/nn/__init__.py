"""Recurrent layers with torch.nn.GRU's interface.

rnn = lrnn_kernels.nn.BMRU(28, 256, num_layers=2, batch_first=True)
out, h_n = rnn(x)               # also rnn(x, h_0, reset)
y, state = rnn.step(x_t, state)  # streaming, the same values

What all of them share is said once, in ``lrnn_kernels.nn.base.Recurrent``.
"""

from .anneal import EpsAnneal
from .base import Recurrent
from .brc import BRC, NBRC
from .containers import Parallel, Stack
from .fq_bmru import FQBMRU
from .gru import GRU
from .hysteresis import BMRU, CMRU, AlphaCMRU
from .integer_src import IntegerSRC
from .invertible import Biorthogonal, Hyperbolic
from .lru import LRU
from .lstm import LSTM
from .mgu import MGU
from .min_gru import MinGRU
from .modulated import ModulatedLinear
from .src import SRC
from .states import detach

__all__ = [
    "BMRU",
    "BRC",
    "CMRU",
    "FQBMRU",
    "GRU",
    "LRU",
    "LSTM",
    "MGU",
    "NBRC",
    "SRC",
    "AlphaCMRU",
    "Biorthogonal",
    "EpsAnneal",
    "Hyperbolic",
    "IntegerSRC",
    "MinGRU",
    "ModulatedLinear",
    "Parallel",
    "Recurrent",
    "Stack",
    "detach",
]
