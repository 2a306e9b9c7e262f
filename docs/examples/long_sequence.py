"""Trains on sequences of ten million steps, which no process holds as a whole.

    torchrun --nproc-per-node 4 docs/examples/long_sequence.py --steps 10000000

Each process makes and keeps its own piece of time. The first step holds a cue, +1 or -1 in two
inputs; all the others are noise; the network says at the end what the cue was. The loss is of the
state after the last step, which every process has.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lrnn_kernels import nn

INPUTS, NOISE, CUE = 4, 0.1, 4.0
#: Steps of a block of noise: a process makes those that it needs, whatever the others are.
BLOCK = 1 << 16


class Recall(torch.nn.Module):
    """A BMRU, whose time is split over the group, and a linear map of its last state."""

    def __init__(self, units: int, group: dist.ProcessGroup) -> None:
        super().__init__()
        self.rnn = nn.BMRU(INPUTS, units, batch_first=True, process_group=group)
        self.head = torch.nn.Linear(units, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, h_n = self.rnn(x)
        return self.head(h_n[-1])


def piece(cue: Tensor, start: int, stop: int, seed: int) -> Tensor:
    """Steps start to stop of sequences, (B,steps,INPUTS), that begin with cues (B,2)."""
    first, last = start // BLOCK, -(-stop // BLOCK)
    blocks = []
    for block in range(first, last):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + block)
        blocks.append(torch.rand(len(cue), BLOCK, INPUTS, generator=generator))
    x = torch.cat(blocks, 1)[:, start - first * BLOCK : stop - first * BLOCK]
    x = x.sub_(0.5).mul_(2 * NOISE)
    if start == 0 and stop > 0:
        x[:, 0, :2] = CUE * cue
    return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000_000, help="of a sequence")
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1, help="sequences of an update")
    parser.add_argument("--updates", type=int, default=24)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // ranks))

    torch.manual_seed(0)
    model = DistributedDataParallel(Recall(args.units, dist.group.WORLD))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    start, stop = (args.steps * place // ranks for place in (rank, rank + 1))
    if rank == 0:
        print(f"{ranks} processes, {stop - start:,} of {args.steps:,} steps in each")
    for update in range(args.updates):
        label = (update * args.batch + torch.arange(args.batch)) % 4
        cue = torch.stack([label % 2, label // 2], 1) * 2.0 - 1
        x = piece(cue, start, stop, update)
        began = time.perf_counter()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), cue / 2 + 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        took = time.perf_counter() - began
        if rank == 0:
            print(f"update {update}: loss {loss.item():.4f}, {took:.2f} s", flush=True)
    peak = torch.tensor([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20])
    dist.all_reduce(peak, dist.ReduceOp.MAX)
    if rank == 0:
        print(f"most memory of a process: {peak.item():.2f} GiB")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
