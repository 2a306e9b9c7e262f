"""784 pixels, 100 spiking recurrent cells and a fixed vote: in floating point, and in the
integers of the FPGA form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import lrnn_kernels
from lrnn_kernels import fixed_point
from lrnn_kernels.nn.integer_src import fire
from lrnn_kernels.tasks.mnist import PIXELS

from .spikes import Spikes, drive, encode

NEURONS, CLASSES = 100, 10
LEAK_READOUT = 0.99
BIAS, HIGHEST_BIAS = -6.0, -4.0


def votes(neurons: int = NEURONS, classes: int = CLASSES) -> Tensor:
    """(classes, neurons): a spike of neuron j counts 1 for class j mod 10 and -0.1 for the
    others."""
    own = torch.arange(neurons) % classes == torch.arange(classes)[:, None]
    return torch.where(own, 1.0, -0.1)


class Network(nn.Module):
    """What both forms share: the weights, the coding of a batch, and logits, which are
    ``sharpness`` times the evidence.

    Forward: grey levels (B,784), uint8 -> logits (B,10). A forward pass draws new spikes, from
    ``seed`` on.
    """

    hardware = False

    def __init__(self, frames: int, *, sharpness: float, seed: int):
        super().__init__()
        self.frames, self.silent, self.sharpness = frames, frames // 11, sharpness
        self.weight = nn.Parameter(torch.empty(NEURONS, PIXELS))
        self.register_buffer("votes", votes())
        self.reseed(seed)
        nn.init.normal_(
            self.weight, std=0.034
        )  # currents, the sum of about 25 spikes a step and 10 steps, then start at 0.5

    def reseed(self, seed: int) -> None:
        """Spikes are drawn from this seed on."""
        self.rng = np.random.Generator(np.random.SFC64(seed))

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            self.constrain()  # in evaluation too: the optimizer has moved since
        spikes = encode(images.numpy(), self.frames, self.silent, self.rng, hardware=self.hardware)
        return self.sharpness * self.activity(spikes) @ self.votes.t()

    def constrain(self) -> None:
        """Brings parameters back to where they may be, before they are used."""

    def activity(self, spikes: Spikes) -> Tensor:
        """What each neuron has to say at the end, (B, neurons)."""
        raise NotImplementedError


class FloatNetwork(Network):
    """The cell as ``lrnn_kernels.src`` computes it, trained by the detached rule.

    The vote and the leaky integrator R = 0.99 R + votes out are linear: neurons are integrated, and
    vote once.
    """

    def __init__(self, frames: int, *, sharpness: float, seed: int):
        super().__init__(frames, sharpness=sharpness, seed=seed)
        self.bias = nn.Parameter(torch.full((NEURONS,), BIAS))
        self.register_buffer("decay", LEAK_READOUT ** torch.arange(frames - 1, -1, -1.0))

    def constrain(self) -> None:
        self.bias.clamp_(max=HIGHEST_BIAS)

    def activity(self, spikes: Spikes) -> Tensor:
        u = drive(self.weight, spikes).transpose(0, 1)  # [B, T, C]
        y, _ = lrnn_kernels.src(u, self.bias, gradient="detached")
        return torch.einsum("btc,t->bc", y, self.decay)


class IntegerNetwork(Network):
    """Trained as it will run: the forward pass is the hardware's, bit for bit, with weights rounded
    by ``fixed_point.quantize``.

    Starts from the weights of a trained FloatNetwork, brought to [-1, 1]; its biases have no place
    here, where all neurons share one. Backward passes go to the weights before rounding, by the
    detached rule: through the current alone. X, the sign of the current, is differentiated as if it
    were tanh(I / softness), and the clip of the state as the tanh it stands for.
    """

    hardware = True
    # In units of the weights before rounding, whose currents start with a standard deviation of
    # about 2.
    softness = 0.8

    def __init__(self, frames: int, levels: int, weight: Tensor, *, sharpness: float, seed: int):
        super().__init__(frames, sharpness=sharpness, seed=seed)
        self.levels = levels
        self.weight.data = (weight / weight.abs().max()).detach().clone()

    def constrain(self) -> None:
        """The largest weight sets the scale of all: one that grew would leave fewer levels to
        the others."""
        self.weight.clamp_(-1, 1)

    def quantized(self) -> fixed_point.Quantized:
        return fixed_point.quantize(self.weight.detach().numpy(), self.levels)

    def activity(self, spikes: Spikes) -> Tensor:
        quantized = self.quantized()
        width = quantized.scale * self.softness
        # Exactly zero, so that integers stay integers; its gradient is that of X by the current in
        # units of the width, as the recipe's learning rate has it.
        straight = (self.weight - self.weight.detach()) * width
        rounded = torch.from_numpy(quantized.weights.astype(np.float32)) + straight
        return fire(drive(rounded, spikes), width).sum(0)
