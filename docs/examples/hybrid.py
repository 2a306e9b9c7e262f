"""A hybrid on long sequences: an LRU that reads, and a BMRU that keeps.

    python docs/examples/hybrid.py

The first symbol of a sequence is to be said at its end. Trained on short sequences, the network is
run on ones a thousand times as long.
"""

from __future__ import annotations

import argparse

import torch
from torch.nn.functional import cross_entropy

from lrnn_kernels import nn, tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--steps", type=int, default=50, help="of a sequence of training")
    parser.add_argument("--longer", type=int, default=1000, help="times that, in the test")
    args = parser.parse_args()
    torch.manual_seed(0)
    task = tasks.copy_first_symbol
    generator = torch.Generator().manual_seed(0)
    batch = task.draw(batch_size=64, steps=args.steps, generator=generator)
    inputs, classes = batch.inputs.shape[-1], 8
    network = nn.Stack(
        nn.LRU(inputs, 32, batch_first=True, r_min=0.1, r_max=0.5),
        nn.BMRU(32, 64, batch_first=True, eps=1.0),
        output_size=classes,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    anneal = nn.EpsAnneal(network, hold=args.updates // 3, decay=args.updates // 3)
    for update in range(args.updates):
        batch = task.draw(batch_size=64, steps=args.steps, generator=generator)
        outputs, _ = network(batch.inputs)
        loss = cross_entropy(outputs[batch.mask], batch.answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        anneal.step()
        if update % 50 == 49:
            print(f"update {update + 1}: loss {loss.item():.3f}")
    for steps in (args.steps, args.longer * args.steps):
        batch = task.draw(batch_size=16, steps=steps, generator=generator)
        with torch.no_grad():
            outputs, _ = network(batch.inputs)
        print(f"{steps:,} steps: accuracy {task.metric(outputs, batch)['accuracy']:.2f}")


if __name__ == "__main__":
    main()
