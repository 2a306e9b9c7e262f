"""What the processes of tests/layers/test_time_split.py run: layers whose time is split over them.

Each training takes a layer and a sequence, (B,T,I), and gives tensors by name: "out" and what else
is a piece of time, the same on all ranks ("h_n"), or gradients, which the ranks' sum makes whole.
"""

from __future__ import annotations

import copy

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from tests.layers.cases import LAYERS, PLAIN, make
from tests.promises.ranks import join

RANKS, B, INPUT = 3, 2, 3
#: Where the ranks' pieces of a window begin and end.
CUTS = (0, 5, 6, 17)
T = CUTS[-1]

AFFINE = [name for name in LAYERS if not PLAIN[name.split("-")[0]].cell.sequential]


def sequence(windows: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """x, a mask of resets, and the adjoints of the outputs (of 8 channels at most, two
    directions)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(B, windows * T, INPUT, dtype=torch.float64, generator=generator)
    reset = torch.rand(B, windows * T, generator=generator) < 0.1
    reset[0, CUTS[1]] = reset[1, CUTS[2]] = True  # where pieces meet
    return x, reset, torch.randn(B, windows * T, 16, dtype=torch.float64, generator=generator)


def build(name: str, bidirectional: bool = False) -> nn.Module:
    return make(name, INPUT, 4, 2, batch_first=True, bidirectional=bidirectional)


def sizes_of(dy: Tensor, out: Tensor) -> Tensor:
    return dy[..., : out.shape[-1]]


def one_sequence(layer, part: slice, whole: bool, reset: bool) -> dict[str, Tensor]:
    x, mask, dy = sequence()
    out, h_n = layer(x[:, part], None, mask[:, part] if reset else None)
    share = 1 if whole else RANKS
    loss = (out * sizes_of(dy, out)[:, part]).sum() + h_n.abs().square().sum() / share
    loss.backward()
    return {"out": out.detach(), "h_n": h_n.detach()}


def windows(layer, part: slice, whole: bool, reset: bool) -> dict[str, Tensor]:
    """Truncated: the state goes on from window to window, on all ranks, and gradients do not."""
    xs, masks, dys = (x.split(T, 1) for x in sequence(3))
    state, outs = None, []
    for x, mask, dy in zip(xs, masks, dys, strict=True):
        out, state = layer(x[:, part], state, mask[:, part] if reset else None)
        (out * sizes_of(dy, out)[:, part]).sum().backward()
        state = state.detach()
        outs.append(out.detach())
    return {f"out{i}": out for i, out in enumerate(outs)} | {"h_n": state}


TRAININGS = {"one sequence": one_sequence, "windows": windows}
#: (layer, training, both directions, resets, what is around the layer)
CASES = [
    *((name, "one sequence", both, reset, "") for name in AFFINE for both in (False, True)
      for reset in (False, True)),
    *((name, "windows", False, True, "ddp") for name in AFFINE),
    ("MinGRU", "one sequence", True, True, "ddp"),
    ("LRU", "one sequence", False, True, "fsdp"),
    ("BMRU", "one sequence", False, False, "fsdp"),
    ("MinGRU", "one sequence", False, True, "compile"),
    ("CMRU", "one sequence", False, True, "copy"),
]  # fmt: skip


def train(case, part: slice, group) -> dict[str, Tensor]:
    """A case, on one process where there is no group."""
    name, training, both, reset, around = case
    layer = build(name, both)
    layer.process_group = group
    module = layer
    if group is not None:
        if around == "ddp":
            module = DistributedDataParallel(layer)
        elif around == "fsdp":
            module = fully_shard(layer, mesh=init_device_mesh("cpu", (RANKS,)))
        elif around == "compile":
            module = torch.compile(layer, backend="aot_eager")
        elif around == "copy":
            module = layer = copy.deepcopy(layer)
    found = TRAININGS[training](module, part, group is None, reset)
    for key, p in layer.named_parameters():
        grad = p.grad
        if group is not None:
            if around == "fsdp":
                grad = grad.full_tensor() * RANKS
            elif around == "ddp":
                grad = grad * RANKS
            else:
                dist.all_reduce(grad)
        found[f"d_{key}"] = grad
    return found


def run_cases(rank: int, folder: str, cases: list) -> None:
    join(rank, RANKS, folder)
    part = slice(CUTS[rank], CUTS[rank + 1])
    found = [train(case, part, dist.group.WORLD) for case in cases]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
