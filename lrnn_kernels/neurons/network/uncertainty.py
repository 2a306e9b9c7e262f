"""What the sigma that ``DICsNet`` is trained to state says of its errors.

Its loss is least where sigma^2 is the mean of Huber(error) with delta = 1, which is no variance:
for large errors it grows as their size, not as its square. Errors of a normal law with standard
deviation s have the mean

    h(s) = s^2/2 erf(a) + s phi(1/s) - erfc(a)/2,    a = 1 / (s sqrt(2)),

phi the normal density; so sigma stands for the s at which h(s) = sigma^2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Of Newton's method, which comes from above on a convex function: it needs 6.
_STEPS = 12


def mean_huber(s: Tensor) -> Tensor:
    """h(s), for s > 0."""
    a = 1 / (s * math.sqrt(2))
    density = torch.exp(-a * a) / math.sqrt(2 * math.pi)
    return 0.5 * s * s * torch.erf(a) + s * density - 0.5 * torch.erfc(a)


def deviation(log_sigma: Tensor) -> Tensor:
    """The standard deviation s with h(s) = sigma^2, in the dtype of log_sigma, which the loss
    clips to [-5, 2]."""
    sigma = log_sigma.double().clamp(-5, 2).exp()
    # h is below s^2/2, and below s sqrt(2 / pi): the larger of the two lies above where it is.
    s = torch.maximum(sigma * math.sqrt(2), (sigma * sigma + 0.5) * math.sqrt(math.pi / 2))
    for _ in range(_STEPS):
        s = s - (mean_huber(s) - sigma * sigma) / (s * torch.erf(1 / (s * math.sqrt(2))))
    return s.to(log_sigma.dtype)


def log_sigma(deviation: Tensor) -> Tensor:
    """The inverse of ``deviation``."""
    return mean_huber(deviation.double()).log() / 2
