"""Time split over two, three and four processes, in uneven pieces: the values of one process, and
its gradients."""

import pytest
import torch
import torch.multiprocessing

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.promises import ranks


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the ranks of each number of them found, case by case."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    torch.multiprocessing.spawn(ranks.run_cases, (folder,), nprocs=4)
    return {
        count: [torch.load(f"{folder}/{count}-{rank}.pt") for rank in range(count)]
        for count in ranks.CUTS
    }


def name_of(case) -> str:
    cell, options, number, dtype = case
    return "-".join([cell, *map(str, options.values()), f"{number}", str(dtype)[6:]])


@pytest.mark.parametrize("count", ranks.CUTS)
@pytest.mark.parametrize("number", range(len(ranks.CASES)), ids=map(name_of, ranks.CASES))
def test_ranks_have_what_one_process_has(number, count, found):
    call = ranks.call_of(ranks.CASES[number])
    of_ranks = [result[number] for result in found[count]]
    for result in of_ranks[1:]:
        assert torch.equal(result["h_last"], of_ranks[0]["h_last"])
    streams = ("packed",) if call.packed else call.entry.inputs
    pieces = {"y", *(f"d_{name}" for name in streams)}
    got = {
        name: torch.cat([result[name] for result in of_ranks], 1) if name in pieces else x
        for name, x in of_ranks[0].items()
    }
    bad = [
        e for e in testing.compare(call, got, testing.run(call.double(), "reference")) if not e.ok
    ]
    assert not bad, bad
    if CELLS[call.cell].exact(call.options, True):
        with testing.threads(1):
            whole = testing.run(call, "cpu", gradients=False)
        for name, x in whole.items():
            assert testing.bits_equal(got[name], x), name


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What ranks 0 and 2 of three were told of what went wrong."""
    folder = str(tmp_path_factory.mktemp("faults"))
    torch.multiprocessing.spawn(ranks.run_faults, (folder,), nprocs=3)
    return [torch.load(f"{folder}/{rank}.pt") for rank in (0, 2)]


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_is_told_what_does_not_fit(told, rank):
    first, second = (
        f"rank {rank}: min_gru, states (2, {C}) of torch.float32" for rank, C in ((0, 5), (1, 6))
    )
    assert (
        "ValueError: the ranks of process_group make calls that do not fit" in told[rank]["shape"]
    )
    assert first in told[rank]["shape"]
    assert second in told[rank]["shape"]
    assert "rank 1: linear_scan, states (2, 5)" in told[rank]["operator"]
    assert "nothing" not in told[rank]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_missing_rank_is_an_error_and_no_hang(told, rank):
    who = f"rank {2 * rank} of 3 could not meet the others of process_group"
    for name in ("late", "ended"):
        assert "RuntimeError: min_gru, states (2, 5)" in told[rank][name]
        assert who in told[rank][name]


def test_operators_that_cannot_be_split_say_so(tmp_path):
    ranks.join(0, 1, str(tmp_path))
    try:
        for cell, row in CELLS.items():
            call = testing.random_call(cell, 1, 3, 2, dtype=row.dtypes[0])
            if not row.sequential:
                call.apply("cpu", process_group=torch.distributed.group.WORLD)
                continue
            with pytest.raises(ValueError, match=f"process_group must be None for {cell}, which"):
                call.apply("cpu", process_group=torch.distributed.group.WORLD)
        x = torch.rand(1, 3, 2)
        for group, error in ((3, TypeError), ("gloo", TypeError)):
            with pytest.raises(error, match=r"process_group must be a torch\.distributed\.Process"):
                lrnn_kernels.min_gru(x, x, process_group=group)
        with pytest.raises(NotImplementedError, match=r"process_group must be None under torch\.f"):
            torch.func.vmap(
                lambda x: lrnn_kernels.min_gru(x, x, process_group=torch.distributed.group.WORLD)
            )(x[None])
        shown = lrnn_kernels.explain("min_gru", x, x, process_group=torch.distributed.group.WORLD)
        assert shown.backend == "cpu"
    finally:
        torch.distributed.destroy_process_group()
