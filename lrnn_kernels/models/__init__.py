"""Whole networks: the backbone of the BMRU's and CMRU's papers around the recurrent layers, and
autoencoders that are projections.

from lrnn_kernels import models

config = models.BackboneConfig(input_size=1, output_size=10, width=64, cell="BMRU", head="mean")
network = models.Backbone(config)
logits, states = network(x)                      # x (B,T,1); also network(x, states, reset)
logits, states = network.step(x_t, states)       # streaming, the same values
network.save("digits.safetensors")               # one file: config and parameters
network = models.load("digits.safetensors")

manifold = models.NeuromodulatedAutoencoder((16, 16, 8, 3), context=2)
y = manifold.project(x, c)                       # x (..., 16), c (..., 2); projected again: y
"""

from .autoencoder import ConstrainedAutoencoder, NeuromodulatedAutoencoder
from .backbone import Backbone
from .config import BackboneConfig
from .layers import Layer, Stacked

#: ``Backbone.load``: a network from the file that its save wrote.
load = Backbone.load

__all__ = [
    "Backbone",
    "BackboneConfig",
    "ConstrainedAutoencoder",
    "Layer",
    "NeuromodulatedAutoencoder",
    "Stacked",
    "load",
]
