"""How far a network is off, as it is published."""

from __future__ import annotations

import torch

from ..metrics import FiringClass
from .dicsnet import METRICS, DICsNet
from .examples import Examples
from .losses import dic_loss
from .uncertainty import log_sigma


def evaluate(net: DICsNet, examples: Examples) -> dict[str, float]:
    """Mean absolute errors over neurons: of g_s and g_u over all, bursting and spiking ones, of
    each metric over those whose class has it; the share of classes that are right, and of DICs that
    are within one stated deviation; and the loss of the DICs. Of whole trains, without
    augmentation."""
    found = net.predict(examples.spikes)
    target = examples.targets
    kind = found.firing_class - int(FiringClass.SPIKING)
    dics = torch.stack((found.g_s, found.g_u), 1)
    error = (dics - target.dics).abs().double()
    groups = {
        "": torch.ones_like(kind, dtype=torch.bool),
        " of bursting": target.spiking_or_bursting == 1,
        " of spiking": target.spiking_or_bursting == 0,
    }
    said = {
        f"{name}{group}": error[rows, column].mean().item()
        for group, rows in groups.items()
        for column, name in enumerate(("g_s", "g_u"))
    }
    said["within one deviation"] = (error <= found.uncertainty).double().mean().item()
    said["class accuracy"] = (kind == target.spiking_or_bursting).double().mean().item()
    for column, name in enumerate(METRICS):
        rows = groups[" of spiking" if column == 0 else " of bursting"]
        off = found.metrics[:, column] - target.metrics[:, column].expm1()
        off = off[rows & off.isfinite()]
        said[name] = off.abs().double().mean().item()
    said["loss"] = dic_loss(dics, log_sigma(found.uncertainty), target.dics).item()
    return said
