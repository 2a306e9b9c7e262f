"""Small backbones over every layer and composition."""

import pytest
import torch
from torch import Tensor

from lrnn_kernels import nn
from lrnn_kernels.models import Backbone, BackboneConfig, Layer, Stacked
from tests.layers.cases import LAYERS

IN, OUT, WIDTH, STATES = 3, 2, 4, 5

#: Every layer in each of its forms, and compositions.
CELLS = {
    name: Layer(name.split("-")[0], STATES, **options) for name, (_, options) in LAYERS.items()
} | {
    "layers of layers": Layer("MinGRU", STATES, num_layers=2),
    "hybrid": ("LRU", Layer("BMRU", STATES, eps=0.5), "LSTM"),
    "stack": Stacked("LRU", Layer("BMRU", STATES)),
    "hybrid of a stack": (Stacked("LRU", "BRC"), "CMRU"),
    "factory": lambda size: nn.Stack(
        nn.LRU(size, 4, batch_first=True), torch.nn.GRU(4, 3, batch_first=True), output_size=6
    ),
}
#: Those that a config can write down.
WRITTEN = [name for name in CELLS if name != "factory"]

every_cell = pytest.mark.parametrize("cell", CELLS)
every_head = pytest.mark.parametrize("head", ["last", "mean", "steps", "tokens"])


def make(cell: str, **options) -> Backbone:
    """A float64 network without dropout, whose vectors (biases, offsets, skips) are all random, so
    that none of them can be missed."""
    torch.manual_seed(0)
    given = {"width": WIDTH, "positions": 6, "conv": 3, "expansion": 2, "dropout": 0.0, **options}
    network = Backbone(
        BackboneConfig(input_size=IN, output_size=OUT, cell=CELLS[cell], **given),
        dtype=torch.float64,
    )
    with torch.no_grad():
        for p in network.parameters():
            if p.dim() == 1:
                p.add_(0.3 * torch.randn_like(p))
        for layer in network.modules():
            if isinstance(layer, nn.SRC):  # on both sides of where neurons spike within few steps
                layer.bias_l0.add_(6.0)
    return network


def sequence(network: Backbone, B: int, T: int) -> Tensor:
    torch.manual_seed(T)
    if network.config.head == "tokens":
        return torch.randint(IN, (B, T))
    return torch.randn(B, T, IN, dtype=torch.float64)


def resets(B: int, T: int) -> Tensor:
    torch.manual_seed(B)
    return torch.rand(B, T) < 0.25
