"""Fused kernels for recurrent cells that remember: quantized-hysteresis units, LRU, minGRU, SRC,
BRC, GRU, LSTM and MGU, with gradients.

y, h_last = lrnn_kernels.bmru(c, beta, alpha)         # operators: see lrnn_kernels.cells
layer = lrnn_kernels.nn.BMRU(28, 256)                 # layers with torch.nn.GRU's interface
network = lrnn_kernels.models.Backbone(config)        # whole networks around the layers
print(lrnn_kernels.explain("bmru", c, beta, alpha))   # which backend would run, and why
lrnn_kernels.tasks                                    # seeded sequences that ask for memory
lrnn_kernels.multistability                           # how many states a network can hold; warm-up
lrnn_kernels.agents                                   # recurrent PPO, DRQN, actor-critic
lrnn_kernels.neurons                                  # conductance-based neurons, and their DICs
network = lrnn_kernels.fixed_point.Network(weights)   # the SRC as hardware computes it; no torch
"""

from typing import TYPE_CHECKING

from . import fixed_point
from .version import __version__

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise

    if not TYPE_CHECKING:  # a checker would take any name for one of these

        def __getattr__(name: str):
            if name in __all__:
                raise ImportError(f"lrnn_kernels.{name} needs torch: pip install torch")
            raise AttributeError(f"module 'lrnn_kernels' has no attribute {name!r}")
else:
    from . import agents, memory, models, multistability, neurons, nn, tasks
    from .cells import Explanation, explain
    from .cells.brc import brc, brc_step
    from .cells.fq_bmru import fq_bmru, fq_bmru_step
    from .cells.gru import gru, gru_step
    from .cells.hysteresis import bmru, bmru_step, cmru, cmru_step
    from .cells.linear import linear_scan, linear_scan_step
    from .cells.lru import lru, lru_step
    from .cells.lstm import lstm, lstm_step
    from .cells.mgu import mgu, mgu_step
    from .cells.min_gru import min_gru, min_gru_step
    from .cells.nbrc import nbrc, nbrc_step
    from .cells.src import src, src_step

__all__ = [
    "Explanation",
    "__version__",
    "agents",
    "bmru",
    "bmru_step",
    "brc",
    "brc_step",
    "cmru",
    "cmru_step",
    "explain",
    "fixed_point",
    "fq_bmru",
    "fq_bmru_step",
    "gru",
    "gru_step",
    "linear_scan",
    "linear_scan_step",
    "lru",
    "lru_step",
    "lstm",
    "lstm_step",
    "memory",
    "mgu",
    "mgu_step",
    "min_gru",
    "min_gru_step",
    "models",
    "multistability",
    "nbrc",
    "nbrc_step",
    "neurons",
    "nn",
    "src",
    "src_step",
    "tasks",
]
