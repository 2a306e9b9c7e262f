"""From digits to a circuit: spiking neurons trained in integers, proved, and written as VHDL.

    pip install "lrnn-kernels[sklearn]"
    python docs/examples/digits_to_vhdl.py

The circuit is simulated where ghdl is installed (apt-get install ghdl); docs/fpga.md is the guide.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from lrnn_kernels import fixed_point, nn

TRAINED, CLASSES = 1500, 10  # digits to train on, of 1797


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Grey levels (N,784), uint8, at the size of MNIST's, and labels (N,)."""
    found = load_digits()
    images = found.images.repeat(3, 1).repeat(3, 2) / found.images.max()
    images = np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(-1, 784)
    return torch.from_numpy(np.rint(255 * images).astype(np.uint8)), torch.from_numpy(found.target)


def train(
    layer: nn.IntegerSRC, pixels: torch.Tensor, labels: torch.Tensor, frames: int, steps: int
) -> None:
    """A neuron's spikes are votes for its class and, a tenth, against the others."""
    votes = 1.1 * torch.eye(CLASSES).repeat(1, layer.hidden_size // CLASSES) - 0.1
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for step in range(1, steps + 1):
        batch = torch.randint(len(pixels), (64,))
        spikes = fixed_point.traces(pixels[batch].numpy(), frames, seed=step).unpack()
        counts = layer(torch.from_numpy(spikes).transpose(0, 1)).sum(0)
        loss = torch.nn.functional.cross_entropy(0.3 * counts @ votes.T, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("circuit"), help="for the VHDL")
    parser.add_argument("--neurons", type=int, default=100, help="a multiple of 10")
    parser.add_argument("--levels", type=int, default=8, help="the largest weight")
    parser.add_argument("--frames", type=int, default=44, help="time steps of a digit")
    parser.add_argument("--steps", type=int, default=120, help="of training")
    args = parser.parse_args()
    if args.neurons < CLASSES or args.neurons % CLASSES:
        parser.error(f"--neurons must be a multiple of {CLASSES}, got {args.neurons}")

    torch.manual_seed(0)
    pixels, labels = digits()
    layer = nn.IntegerSRC(784, args.neurons, args.levels)
    train(layer, pixels[:TRAINED], labels[:TRAINED], args.frames, args.steps)

    network = layer.network(accumulator_bits=16)
    found = network.classify(pixels[TRAINED:].numpy(), args.frames)
    right = (found.labels == labels[TRAINED:].numpy()).mean()
    print(f"{network}: {right:.1%} of {len(found.labels)} other digits")

    stimulus = fixed_point.traces(pixels[TRAINED : TRAINED + 2].numpy(), args.frames)
    fixed_point.write_vhdl(args.folder, network, style="events", stimulus=stimulus)
    print(f"written: {args.folder}/src_network.vhd and what belongs to it")
    if shutil.which("ghdl") is None:
        print("not simulated: ghdl is not installed")
    else:
        print(fixed_point.verify_vhdl(args.folder))


if __name__ == "__main__":
    main()
