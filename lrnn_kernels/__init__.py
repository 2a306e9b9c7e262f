"""Fused kernels for recurrent cells that remember: quantized-hysteresis units, LRU and minGRU, with gradients.

y, h_last = lrnn_kernels.bmru(c, beta, alpha)         # operators: see lrnn_kernels.affine
layer = lrnn_kernels.nn.BMRU(28, 256)                 # layers with torch.nn.GRU's interface
print(lrnn_kernels.explain("bmru", c, beta, alpha))   # which backend would run, and why
"""

from . import memory, nn
from .affine import (
    bmru,
    bmru_step,
    cmru,
    cmru_step,
    fq_bmru,
    fq_bmru_step,
    linear_scan,
    linear_scan_step,
    lru,
    lru_step,
    min_gru,
    min_gru_step,
)
from .explain import Explanation, explain
from .version import __version__

__all__ = [
    "Explanation",
    "__version__",
    "bmru",
    "bmru_step",
    "cmru",
    "cmru_step",
    "explain",
    "fq_bmru",
    "fq_bmru_step",
    "linear_scan",
    "linear_scan_step",
    "lru",
    "lru_step",
    "memory",
    "min_gru",
    "min_gru_step",
    "nn",
]
