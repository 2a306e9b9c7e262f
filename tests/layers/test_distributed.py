"""Layers under DistributedDataParallel: two processes with half of the batch each have the
gradients of the whole."""

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import pack_padded_sequence

from lrnn_kernels import nn
from tests.layers.cases import TOLERANCE, every_layer, make

B, T, INPUT = 4, 9, 3
COMPOSITIONS = {"Stack": nn.Stack, "Parallel": nn.Parallel}


def hybrid(kind: type[torch.nn.Module]) -> torch.nn.Module:
    """A composition of ours and torch's, of one width."""
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(INPUT, INPUT, batch_first=True, dtype=torch.float64)
    ours = [make(name, INPUT, INPUT, batch_first=True) for name in ("LRU", "BMRU", "GRU")]
    return kind(*ours, theirs)


def build(name: str, bidirectional: bool = False) -> torch.nn.Module:
    if name in COMPOSITIONS:
        return hybrid(COMPOSITIONS[name])
    return make(name, INPUT, 8, 2, batch_first=True, bidirectional=bidirectional)


def batch() -> Tensor:
    return torch.randn(B, T, INPUT, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def one_sequence(layer: torch.nn.Module, x: Tensor) -> None:
    layer(x)[0].square().mean().backward()


def windows(layer: torch.nn.Module, x: Tensor) -> None:
    """States carried from window to window, some with episodes that start in them: every window
    has a backward pass of its own."""
    state = None
    for number, part in enumerate(x.repeat(1, 3, 1).split(4, 1)):
        reset = torch.arange(part.shape[1]).expand(part.shape[:2]) == 2 if number % 3 == 1 else None
        out, state = layer(part, state, reset)
        out.square().mean().backward()
        state = detached(state)


def detached(state):
    return state.detach() if isinstance(state, Tensor) else tuple(map(detached, state))


def packed_windows(layer: torch.nn.Module, x: Tensor) -> None:
    """The same with sequences of several lengths, which the reverse direction starts within the
    window."""
    state = None
    for part in x.split(3, 1):
        out, state = layer(
            pack_padded_sequence(
                part, [3, 2] * (len(part) // 2), batch_first=True, enforce_sorted=False
            ),
            state,
        )
        out.data.square().mean().backward()
        state = detached(state)


#: What is trained, and whether in both directions.
TRAINING = {
    "one sequence": (one_sequence, False),
    "windows": (windows, False),
    "windows, both directions": (windows, True),
    "packed windows, both directions": (packed_windows, True),
}


def gradients(layer: torch.nn.Module, train, x: Tensor) -> list[Tensor]:
    train(layer, x)
    return [p.grad for p in layer.parameters()]


def one_of_two(rank: int, folder: str, cases: list[tuple[str, str]]) -> None:
    """A process: writes for every layer and training the gradients of its half of the batch,
    averaged over both."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    found = {}
    for name, training in cases:
        train, bidirectional = TRAINING[training]
        layer = build(name, bidirectional)
        for p in layer.parameters():
            p.data += rank  # must not matter: the first process hands out its own
        found[name, training] = gradients(
            DistributedDataParallel(layer), train, batch()[rank * B // 2 : (rank + 1) * B // 2]
        )
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory, request):
    """Of all cases that are to run, by two processes once."""
    folder = str(tmp_path_factory.mktemp("processes"))
    ours = [item.callspec.params for item in request.session.items if item.path == request.path]
    cases = [(case["name"], case["training"]) for case in ours]
    torch.multiprocessing.spawn(one_of_two, (folder, cases), nprocs=2)
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("training", ["one sequence", "windows"])
def test_halves_of_a_batch_of_a_composition(name, training, found):
    check(name, training, found)


@every_layer
@pytest.mark.parametrize("training", TRAINING)
def test_halves_of_a_batch_have_the_gradients_of_the_whole(name, training, found):
    check(name, training, found)


def check(name: str, training: str, found) -> None:
    train, bidirectional = TRAINING[training]
    expected = gradients(build(name, bidirectional), train, batch())
    for process in found:
        for got, want in zip(process[name, training], expected, strict=True):
            torch.testing.assert_close(got, want, **TOLERANCE)
