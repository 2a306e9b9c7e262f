"""Layers under DistributedDataParallel: two processes with half of the batch each have the gradients of the whole."""

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from nn_cases import LAYERS, TOLERANCE, make
from torch.nn.parallel import DistributedDataParallel

B, T, INPUT = 4, 9, 3


def build(name: str) -> torch.nn.Module:
    return make(name, INPUT, 8, 2, batch_first=True)


def batch() -> torch.Tensor:
    return torch.randn(B, T, INPUT, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def gradients(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    layer(x)[0].square().mean().backward()
    return [p.grad for p in layer.parameters()]


def one_of_two(rank: int, folder: str) -> None:
    """A process: writes for every layer the gradients of its half of the batch, averaged over both."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for name in LAYERS:
        layer = build(name)
        for p in layer.parameters():
            p.data += rank  # must not matter: the first process hands out its own
        found[name] = gradients(DistributedDataParallel(layer), batch()[rank * B // 2 : (rank + 1) * B // 2])
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("processes"))
    torch.multiprocessing.spawn(one_of_two, (folder,), nprocs=2)
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", LAYERS)
def test_halves_of_a_batch_have_the_gradients_of_the_whole(name, found):
    expected = gradients(build(name), batch())
    for process in found:
        for got, want in zip(process[name], expected, strict=True):
            torch.testing.assert_close(got, want, **TOLERANCE)
