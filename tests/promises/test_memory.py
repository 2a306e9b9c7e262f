"""The output pool: large outputs are reused, given back on request, and outlive everything that
could free them early."""

import gc
import os
import resource
import subprocess
import sys

import pytest
import torch

import lrnn_kernels
from lrnn_kernels import memory

SHAPE = (4, 1024, 256)  # 4 MiB in float32


def _train_step(alpha: torch.Tensor, c: torch.Tensor, beta: torch.Tensor) -> None:
    y, _ = lrnn_kernels.bmru(c, beta, alpha)
    y.backward(y)
    c.grad = beta.grad = alpha.grad = None


def _leaves() -> list[torch.Tensor]:
    return [
        torch.ones(256).requires_grad_(),
        torch.randn(SHAPE).requires_grad_(),
        torch.ones(SHAPE).requires_grad_(),
    ]


@pytest.fixture(autouse=True)
def _clean_pool():
    """Each test starts with an empty cache and leaves the limit as it was."""
    gc.collect()
    memory.empty_cache()
    limit = memory.stats().limit
    yield
    memory.set_limit(limit)


def test_a_train_step_maps_nothing_new():
    leaves = _leaves()
    for _ in range(2):
        _train_step(*leaves)
    before = memory.stats()
    for _ in range(5):
        _train_step(*leaves)
    assert memory.stats() == before
    assert before.cached >= 3 * 2**22


def test_a_train_step_faults_no_pages():
    """A page fault per 4 KiB of fresh outputs would be 3,000 per step, and most of its time."""
    leaves = _leaves()
    for _ in range(3):
        _train_step(*leaves)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        _train_step(*leaves)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10 < 50


def test_what_was_freed_last_is_handed_out_first():
    """Of several free blocks of one size: the others have left the caches. In turn, they would
    all pass through them."""
    c, beta, alpha = torch.randn(SHAPE), torch.ones(SHAPE), torch.ones(256)
    held = [lrnn_kernels.bmru(c, beta, alpha)[0] for _ in range(4)]
    places = [y.data_ptr() for y in held]
    for i in (2, 0, 3, 1):
        held[i] = None
    again = [lrnn_kernels.bmru(c, beta, alpha)[0] for _ in range(4)]
    assert [y.data_ptr() for y in again] == [places[i] for i in (1, 3, 0, 2)]


def test_empty_cache_spares_living_tensors():
    x = torch.randn(SHAPE)
    y, _ = lrnn_kernels.linear_scan(torch.full((256,), 0.5), x)
    kept = y.clone()
    memory.empty_cache()
    assert memory.stats().cached == 0
    assert memory.stats().in_use >= 2**22
    others = [lrnn_kernels.linear_scan(torch.full((256,), 0.5), x)[0] for _ in range(3)]
    assert torch.equal(y, kept)
    in_use = memory.stats().in_use
    del y, others
    assert memory.stats().in_use <= in_use - 4 * 2**22


def test_views_and_storages_keep_their_block():
    """A view of an output, or its storage, holds the block after the output is gone."""
    x = torch.randn(SHAPE)
    y, _ = lrnn_kernels.linear_scan(torch.zeros(256), x)
    view = y[:, 5]
    del y
    for _ in range(3):
        lrnn_kernels.linear_scan(torch.zeros(256), x + 1)
    assert torch.equal(view, x[:, 5])


def test_the_off_switch():
    memory.set_limit(0)
    x = torch.randn(SHAPE)
    before = memory.stats()
    y, _ = lrnn_kernels.linear_scan(torch.zeros(256), x)
    assert memory.stats() == before
    assert torch.equal(y, x)


def test_the_limit_is_kept():
    """Blocks beyond the limit go back to the system; one that is in use when the limit falls
    goes back when released."""
    memory.set_limit(6 * 2**20)
    x = torch.randn(SHAPE)
    outputs = [lrnn_kernels.linear_scan(torch.zeros(256), x)[0] for _ in range(4)]
    del outputs
    assert 0 < memory.stats().cached <= 6 * 2**20
    y, _ = lrnn_kernels.linear_scan(torch.zeros(256), x)
    memory.set_limit(0)
    del y
    assert memory.stats().cached == 0


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="num_bytes must be at least 0, got -1"):
        memory.set_limit(-1)


def test_outputs_do_not_overlap():
    """Twenty living outputs of growing size, each still holding its own values."""
    outputs = [
        (k, lrnn_kernels.linear_scan(torch.zeros(64), torch.full((1, 4096 * k, 64), float(k)))[0])
        for k in range(1, 21)
    ]
    assert all((y == k).all() for k, y in outputs)


def test_outputs_keep_their_place_in_a_page_from_what_is_read_with_them():
    """Loads are held up by stores to the same place in another page: an output begins far from
    every stream beside it."""
    a, b, dy = (torch.rand(SHAPE) for _ in range(3))
    shifted = torch.empty(b.numel() + 1024)[500 : 500 + b.numel()].view(SHAPE)  # wherever it lies
    shifted.copy_(b)
    for inputs in ((a, b), (a, shifted), (b, a)):
        leaves = [x.requires_grad_() for x in inputs]
        y, _ = lrnn_kernels.linear_scan(*leaves)
        gradients = torch.autograd.grad(y, leaves, dy)
        for outputs, beside in (([y], leaves), (gradients, [*leaves, y, dy])):
            apart = [(x.data_ptr() - other.data_ptr()) % 4096 for x in outputs for other in beside]
            assert (
                min(min(d, 4096 - d) for d in apart) >= 448
            )  # four streams at the worst: 512, less half of 128
            assert all(x.data_ptr() % 128 == 0 for x in outputs)


def test_a_forked_child_allocates():
    """A data loader's worker may run operators: the pool's lock is not inherited locked. The
    child uses one thread, as torch asks of it."""
    x = torch.randn(SHAPE)
    lrnn_kernels.linear_scan(torch.zeros(256), x)
    code = """
import os, torch, lrnn_kernels
torch.set_num_threads(1)
x = torch.randn(4, 1024, 256)
held = lrnn_kernels.linear_scan(torch.zeros(256), x)[0]
child = os.fork()
if child == 0:
    again = lrnn_kernels.linear_scan(torch.zeros(256), x + 1)[0]
    ok = torch.equal(held, x) and torch.equal(again, x + 1)
    lrnn_kernels.memory.empty_cache()
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
assert torch.equal(held, x)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_the_environment_sets_the_limit():
    code = "from lrnn_kernels import memory; print(memory.stats().limit)"
    for value, limit in (("7", 7 * 2**20), ("0", 0)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "LRNN_POOL_MB": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == limit
