"""Layers whose time is split over three processes: outputs, states and gradients of one process;
alone, under DistributedDataParallel and FSDP2, with truncated windows."""

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch.nn.utils.rnn import pack_sequence

from lrnn_kernels import nn
from tests.layers import time_ranks
from tests.layers.cases import PLAIN, TOLERANCE
from tests.layers.time_ranks import AFFINE, CASES, T
from tests.promises.ranks import join


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("ranks"))
    torch.multiprocessing.spawn(time_ranks.run_cases, (folder, CASES), nprocs=time_ranks.RANKS)
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(time_ranks.RANKS)]


def name_of(case) -> str:
    name, training, both, reset, around = case
    said = [name, training, "both directions" * both, "resets" * reset, around]
    return "-".join(filter(None, said))


@pytest.mark.parametrize("number", range(len(CASES)), ids=map(name_of, CASES))
def test_ranks_have_what_one_process_has(number, found):
    expected = time_ranks.train(CASES[number], slice(0, T), None)
    for name, want in expected.items():
        of_ranks = [result[number][name] for result in found]
        got = torch.cat(of_ranks, 1) if name.startswith("out") else of_ranks[0]
        torch.testing.assert_close(got, want, **TOLERANCE)
        if not name.startswith("out"):
            for x in of_ranks[1:]:
                torch.testing.assert_close(x, got, **TOLERANCE)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A group of this process alone."""
    join(0, 1, str(tmp_path_factory.mktemp("alone")))
    yield dist.group.WORLD
    dist.destroy_process_group()


@pytest.mark.parametrize("name", AFFINE)
def test_a_group_of_one_is_one_process(name, alone):
    layer = time_ranks.build(name)
    x, reset, _ = time_ranks.sequence()
    expected = layer(x, None, reset)
    layer.process_group = alone
    assert "process_group=<1 ranks>" in repr(layer)
    for got, want in zip(layer(x, None, reset), expected, strict=True):
        torch.testing.assert_close(got, want, **TOLERANCE)
    assert copy.deepcopy(layer).process_group is alone
    with pytest.raises(TypeError, match="set its process_group to None"):
        pickle.dumps(layer)
    layer.process_group = None
    assert pickle.loads(pickle.dumps(layer)).process_group is None


@pytest.mark.parametrize("name", [name for name in PLAIN if PLAIN[name].cell.sequential])
def test_layers_that_cannot_be_split_say_so(name, alone):
    with pytest.raises(ValueError, match=r"process_group must be None for .* not linear in its st"):
        PLAIN[name](3, 4, process_group=alone)


def test_what_one_process_alone_can_do(alone):
    layer = nn.MinGRU(3, 4, process_group=alone)
    x = torch.randn(5, 2, 3)
    with pytest.raises(RuntimeError, match="step is for one process: set process_group of MinGRU"):
        layer.step(x[0])
    with pytest.raises(RuntimeError, match="return_sequence=False is for one process"):
        layer(x, return_sequence=False)
    with pytest.raises(RuntimeError, match="a PackedSequence is for one process"):
        layer(pack_sequence([x[:, 0], x[:3, 1]]))
    with pytest.raises(TypeError, match=r"process_group must be a torch.distributed.ProcessGroup"):
        nn.MinGRU(3, 4, process_group=3)
    with pytest.raises(ValueError, match="process_group must be None where the backend is 'refer"):
        nn.MinGRU(3, 4, process_group=alone, backend="reference")


def test_compositions_are_split_as_a_whole(alone):
    split = nn.Stack(*(nn.MinGRU(3, 3, process_group=alone) for _ in range(2)))
    assert split.process_group is alone
    split(torch.randn(5, 2, 3))
    for other in (nn.SRC(3, 3), torch.nn.GRU(3, 3), nn.LRU(3, 3)):
        mixed = nn.Parallel(nn.MinGRU(3, 3, process_group=alone), other)
        with pytest.raises(ValueError, match="layers must agree on process_group: layer 0 has one"):
            mixed(torch.randn(5, 2, 3))
