"""Whole networks: the backbone of the BMRU's and CMRU's papers around the recurrent layers, nets
whose units are modulated, and autoencoders that are projections.

from lrnn_kernels import models

config = models.BackboneConfig(input_size=1, output_size=10, width=64, cell="BMRU", head="mean")
network = models.Backbone(config)
logits, states = network(x)                      # x (B,T,1); also network(x, states, reset)
logits, states = network.step(x_t, states)       # streaming, the same values
network.save("digits.safetensors")               # one file: config and parameters
network = models.load("digits.safetensors")

net = models.NMDNet(nn.GRU(3, 50, batch_first=True), 1, (1, 1), modulators=20, hidden=(10,))
(mean, log_variance), state = net(x, context)    # x (B,T,1), context (B,T,3)

manifold = models.NeuromodulatedAutoencoder((16, 16, 8, 3), context=2)
history = manifold.fit(x, c)                     # x (..., 16), c (..., 2), or lists
y = manifold.project(x, c)                       # projected again: y
states = manifold.simulate(f, x0, t, c)          # of the reduced model, (..., T, 16)
"""

from . import reduced
from .autoencoder import ConstrainedAutoencoder, NeuromodulatedAutoencoder
from .backbone import Backbone
from .config import BackboneConfig
from .fitting import History
from .layers import Layer, Stacked
from .nmd import NMDNet, RecurrentNet

#: ``Backbone.load``: a network from the file that its save wrote.
load = Backbone.load

__all__ = [
    "Backbone",
    "BackboneConfig",
    "ConstrainedAutoencoder",
    "History",
    "Layer",
    "NMDNet",
    "NeuromodulatedAutoencoder",
    "RecurrentNet",
    "Stacked",
    "load",
    "reduced",
]
