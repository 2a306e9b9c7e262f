"""The network that reads dynamic input conductances off spike times."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...options import integer
from ..metrics import FEWEST_SPIKES, FiringClass
from ..model import Model
from ..spikes import Holder, Spikes, held
from . import adapters, blocks, files
from .features import MOST_SPIKES, Features, of_spikes
from .uncertainty import deviation

#: What the metrics of a train are called, in the order of its head: see ``neurons.Metrics``.
METRICS = (
    "spiking_rate",
    "intra_burst_rate",
    "inter_burst_rate",
    "burst_duration",
    "spikes_per_burst",
)
#: Of the features over the published data set: by these they are standardised.
_MEAN, _STD = (3.53826, 7.263e-5), (0.448764, 0.699856)
_DROPOUT = 0.03407


class Outputs(NamedTuple):
    """What the network says of B trains."""

    dics: Tensor  # (B, 2): g_s, g_u, by the leak
    log_sigma: Tensor  # (B, 2): of both, natural logarithm
    logits: Tensor  # (B, 2): spiking, bursting
    metrics: Tensor  # (B, 5): log(1 + value) of METRICS, 0 for those of the other class


class Prediction(NamedTuple):
    """What is predicted of B neurons; NaN where a train has fewer than 3 spikes: it is silent."""

    g_s: Tensor  # (B,): slow DIC at the threshold voltage, by the leak
    g_u: Tensor  # (B,): ultraslow DIC, at least 0
    uncertainty: Tensor  # (B, 2): standard deviations of both, as the network states them
    firing_class: Tensor  # (B,) int64: see FiringClass
    metrics: Tensor  # (B, 5) of METRICS: Hz, Hz, Hz, ms and a number


class DICsNet(torch.nn.Module):
    """From spike times to g_s and g_u: ``net.predict(spikes)``.

    An encoder of 4 blocks of attention over intervals, a pool with a learned query to 16 numbers,
    and a decoder with branches for the firing class and the metrics, which the main path is
    corrected by: 115,563 parameters. Source: Brandoit, Ernst, Drion and Fyon, PLoS Comput. Biol.
    (2026). There, attention has dropout too.

    ``DICsNet.pretrained("stg")`` has weights that come with this package; ``lora()`` makes it ready
    to be adapted to another neuron with few parameters.

    Args:
        dropout: at training.

    The call, for training, takes ``Features`` of trains with at least one interval each and returns
    ``Outputs``; everything is differentiable. ``save`` and ``load`` use safetensors.
    """

    def __init__(self, dropout: float = _DROPOUT) -> None:
        super().__init__()
        width, latent = blocks.WIDTH, blocks.LATENT
        #: What a file says of the weights: see ``save``.
        self.provenance: dict = {}
        self.register_buffer("mean", torch.tensor(_MEAN))
        self.register_buffer("std", torch.tensor(_STD))
        self.dropout = torch.nn.Dropout(dropout)
        self.input = torch.nn.Linear(2, width)
        self.encoders = torch.nn.ModuleList(
            blocks.Encoder(width, blocks.HEADS, dropout) for _ in range(4)
        )
        self.encoded = torch.nn.Linear(width, width)
        self.encoded_norm = torch.nn.LayerNorm(width)
        self.pool = blocks.Pool(width)
        self.pool_norm = torch.nn.LayerNorm(width)
        self.latent = torch.nn.Linear(width, latent)

        def path() -> torch.nn.Sequential:
            return torch.nn.Sequential(*(blocks.Residual(latent, dropout) for _ in range(2)))

        self.class_path, self.metric_path = path(), path()
        self.class_weight = torch.nn.Parameter(torch.randn(latent))
        self.metric_weight = torch.nn.Parameter(torch.randn(latent))
        self.main_path, self.sigma_path = path(), path()
        self.class_head = torch.nn.Linear(latent, 2)
        self.metric_head = torch.nn.Linear(latent, len(METRICS))
        self.main_head = torch.nn.Linear(latent, 2)
        self.sigma_head = torch.nn.Linear(latent, 2)
        with torch.no_grad():
            self.sigma_head.weight.mul_(0.01)

    def forward(self, features: Features) -> Outputs:
        """What is predicted of B trains, for training: ``Outputs`` of (B,...) for ``Features`` of
        trains with at least one interval each."""
        x = (features.x - self.mean) / self.std
        x = self.input(x) + blocks.positions(x.shape[1], blocks.WIDTH, x)
        x = self.dropout(x) * features.mask[..., None]
        bias = x.new_zeros(features.mask.shape).masked_fill(~features.mask, -torch.inf)
        for encoder in self.encoders:
            x = encoder(x, bias[:, None, None])
        x = F.gelu(self.dropout(self.encoded_norm(self.encoded(x))))
        x = self.pool_norm(self.pool(x, features.mask))
        latent = F.gelu(self.dropout(self.latent(x)))
        kind, measured = self.class_path(latent), self.metric_path(latent)
        main = latent + self.class_weight * kind + self.metric_weight * measured
        main = self.main_path(main)
        return Outputs(
            self.main_head(main),
            self.sigma_head(self.sigma_path(main)),
            self.class_head(kind),
            self.metric_head(measured),
        )

    @torch.no_grad()
    def predict(self, spikes: Spikes | Holder, *, batch: int = 16384) -> Prediction:
        """Predicts the DICs of neurons from their spike times, of which the first 250 are used.

        Args:
            spikes: of B neurons, as of ``simulate``, ``recordings`` or ``Spikes.from_lists``.
            batch: how many intervals are looked at together; results depend on it by rounding.

        Runs in evaluation mode, whatever the mode.
        """
        spikes = held(spikes)
        batch = integer("batch", batch)
        like, was_training = self.mean, self.training
        self.eval()
        try:
            length = spikes.offsets.diff().clamp(max=MOST_SPIKES)
            found = like.new_full((len(spikes), 4 + len(METRICS)), torch.nan)
            kind = torch.full_like(length, int(FiringClass.SILENT)).to(like.device)
            order = length.argsort(stable=True)
            order = order[length[order] >= FEWEST_SPIKES]
            for rows in _batches(order, length, batch):
                x, mask = of_spikes(spikes[rows], like.dtype)
                out = self(Features(x.to(like.device), mask.to(like.device)))
                rows = rows.to(like.device)
                values = out.metrics.expm1().clamp(min=0)
                found[rows] = torch.cat((out.dics, deviation(out.log_sigma), values), 1)
                kind[rows] = out.logits.argmax(1) + int(FiringClass.SPIKING)
        finally:
            self.train(was_training)
        g_u = found[:, 1].clamp(min=0)
        return Prediction(found[:, 0], g_u, found[:, 2:4], kind, found[:, 4:])

    def lora(self, rank: int = 32) -> DICsNet:
        """Puts adapters of this rank around 20 parts, 39,840 parameters for 32, and freezes all
        else; returns itself. Source: as of the class; both factors are standard-normal."""
        adapters.adapt(self, integer("rank", rank))
        return self

    def save(self, path: str | PathLike) -> None:
        """Writes parameters and ``provenance``, plain data, into one safetensors file."""
        files.save(self, path)

    @classmethod
    def load(cls, path: str | PathLike, device: torch.device | str = "cpu") -> DICsNet:
        """Reads what ``save`` wrote. Raises ValueError where it is another file."""
        return files.load(cls, path, device)

    @classmethod
    def pretrained(cls, model: Model | str = "stg", device: torch.device | str = "cpu") -> DICsNet:
        """A network with the weights that come with this package for a model, or its name;
        ``provenance`` says how they were trained. Raises ValueError where there are none."""
        return files.pretrained(cls, model, device)


def _batches(order: Tensor, held: Tensor, most: int) -> Iterator[Tensor]:
    """Rows, by length, cut so that trains padded to the longest of them have ``most`` intervals."""
    first = 0
    for last, length in enumerate(held[order].tolist()):
        if last > first and (last + 1 - first) * length > most:
            yield order[first:last]
            first = last
    if first < len(order):
        yield order[first:]
