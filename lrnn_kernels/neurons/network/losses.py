"""What the network is trained to: DICs with the uncertainty of its own, class, and metrics."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .dicsnet import Outputs

#: Weights of the class's and the metrics' losses beside that of the DICs.
CLASS, METRIC = 5.4432, 9.1892


class Targets(NamedTuple):
    """What B trains come from."""

    dics: Tensor  # (B, 2): g_s, g_u
    spiking_or_bursting: Tensor  # (B,) int64: 0 or 1
    metrics: Tensor  # (B, 5): log(1 + value) of METRICS; NaN where it is not defined


class Losses(NamedTuple):
    """Parts of the loss, each a scalar."""

    total: Tensor
    dics: Tensor
    firing_class: Tensor
    metrics: Tensor


def dic_loss(dics: Tensor, log_sigma: Tensor, target: Tensor) -> Tensor:
    """Huber(dics - target) / (sigma^2 + 1e-6) + 2 log sigma with delta = 1 and log sigma in [-5,
    2], the mean over B of each, summed over g_s and g_u. All (B, 2); a scalar."""
    log_sigma = log_sigma.clamp(-5, 2)
    huber = F.huber_loss(dics, target, reduction="none")
    return (huber / (torch.exp(2 * log_sigma) + 1e-6) + 2 * log_sigma).mean(0).sum()


def training_loss(out: Outputs, target: Targets) -> Losses:
    """The loss is of the DICs, and a weighted cross-entropy and Huber loss of what helps."""
    dics = dic_loss(out.dics, out.log_sigma, target.dics)
    kind = F.cross_entropy(out.logits, target.spiking_or_bursting)
    known = target.metrics.isfinite()
    error = F.huber_loss(out.metrics, target.metrics.where(known, out.metrics), reduction="none")
    metrics = error.sum() / known.sum().clamp(min=1)
    return Losses(dics + CLASS * kind + METRIC * metrics, dics, kind, metrics)
