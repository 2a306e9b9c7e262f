"""The CUDA-on-CPU executor: it runs kernels as a device does, and finds what is wrong with wrong
ones."""

import ctypes

import numpy as np
import pytest
import torch

from tests.backends.cuda import executor

SAMPLES = [executor.source("samples.cu")]
SEEDS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def samples() -> executor.Executor:
    return executor.Executor(executor.compile_library(SAMPLES))


def at(x: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.ctypes.data)


def block_sums(samples: executor.Executor, barrier: bool) -> bool:
    """Whether the sums are right."""
    x = np.arange(1000, dtype=np.int32)
    out = np.full(11, -1, np.int32)
    assert samples.library.sample_block_sum(barrier, at(x), x.size, at(out)) == 0
    return np.array_equal(out, [x[i * 96 : (i + 1) * 96].sum() for i in range(11)])


@pytest.mark.parametrize("resident", [1, 3, 64])
@pytest.mark.parametrize("seed", SEEDS)
def test_barriers_and_shared_memory(samples, resident, seed):
    samples.configure(resident=resident, seed=seed)
    assert block_sums(samples, barrier=True)


def test_a_missing_barrier_gives_wrong_results(samples):
    """In order, too: a thread runs until it waits, so the first one adds what the others have
    not written yet."""
    for seed in SEEDS:
        samples.configure(resident=4, seed=seed)
        assert not block_sums(samples, barrier=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_warp_operations(samples, seed):
    samples.configure(resident=1, seed=seed)
    out = np.full((96, 8), -1, np.int32)
    assert samples.library.sample_warp_operations(at(out)) == 0
    lane = np.arange(96) % 32
    expected = [
        np.where(lane >= 3, lane - 3, lane),
        np.where(lane % 8 < 5, lane + 3, lane),
        lane ^ 5,
        np.full(96, 7),
        np.full(96, sum(1 << i for i in range(0, 32, 3))),
        np.full(96, 3),
        np.where(lane < 16, lane ^ 1, np.where(lane == 16, 16, lane - 1)),
        np.full(96, 1),
    ]
    assert np.array_equal(out, np.stack(expected, 1))


@pytest.mark.parametrize("resident", [1, 2, 8])
def test_blocks_see_what_others_released(samples, resident):
    samples.configure(resident=resident, seed=5)
    value, ready = np.full(40, -1, np.int32), np.zeros(40, np.int32)
    assert samples.library.sample_running_sum(True, 40, at(value), at(ready)) == 0
    assert np.array_equal(value, np.arange(40).cumsum())


def test_resident_blocks_run_at_a_time_and_no_others_do(samples):
    arrived = np.zeros(1, np.int32)
    samples.configure(resident=6, seed=0)
    assert samples.library.sample_meet(6, at(arrived)) == 0
    arrived[:] = 0
    samples.configure(resident=5, seed=0)
    assert samples.library.sample_meet(6, at(arrived)) != 0
    assert "waiting without end" in samples.message
    assert arrived[0] == 5


def test_a_deadlock_is_reported(samples):
    assert samples.library.sample_part_ways() != 0
    assert samples.message == (
        "deadlock in block 0: of 64 threads 32 wait at __syncthreads, 32 in a warp operation, 0 "
        "have returned"
    )
    assert block_sums(samples, barrier=True)  # and the next launch runs
    assert samples.message == ""


def test_a_launch_that_no_device_would_accept(samples):
    assert samples.library.sample_meet(0, at(np.zeros(1, np.int32))) != 0
    assert "0 blocks of 32 threads" in samples.message


def test_16_bit_numbers_are_rounded_as_torch_does(samples):
    x = torch.cat(
        [
            torch.randn(3000) * 10.0 ** torch.arange(-8, 7).repeat(200),
            torch.tensor([0.0, -0.0, float("inf"), 65520.0, 1e-8, 3.4e38]),
        ]
    )
    bf16, half = torch.empty_like(x), torch.empty_like(x)
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (x, bf16, half)]
    assert samples.library.sample_round_trip(*pointers, x.numel()) == 0
    assert torch.equal(bf16, x.bfloat16().float())
    assert torch.equal(half, x.half().float())


SCRIPT = """
import ctypes, sys
from tests.backends.cuda import executor, test_executor
samples = executor.Executor(sys.argv[1])
samples.configure(resident=4, seed=3)
{}
print("finished", flush=True)
{}
"""

BLOCK_SUMS = "test_executor.block_sums(samples, {})"
RUNNING_SUM = (
    "x = (ctypes.c_int * 40)(); samples.library.sample_running_sum({}, 20, x, ctypes.byref(x, 80))"
)
BETWEEN = (
    "x = (ctypes.c_int * 96)(); samples.library.sample_write_between({}, {}, ctypes.byref(x)); "
    "assert sum(x) in (1, 96)"
)
FILL = (
    "x = ctypes.CDLL(None).malloc; x.restype = ctypes.c_void_p; p = x(4000); "
    "samples.library.sample_fill(ctypes.c_void_p(p), 1000, {})"
)


@pytest.mark.parametrize(
    ("sanitizer", "right", "wrong", "words"),
    [
        ("thread", BLOCK_SUMS.format(True), BLOCK_SUMS.format(False), "data race"),
        ("thread", RUNNING_SUM.format(True), RUNNING_SUM.format(False), "data race"),
        ("thread", BETWEEN.format(True, False), BETWEEN.format(False, False), "data race"),
        ("thread", BETWEEN.format(True, True), BETWEEN.format(False, True), "data race"),
        ("address", FILL.format(False), FILL.format(True), "heap-buffer-overflow"),
    ],
    ids=[
        "a missing barrier",
        "a plain store for a release",
        "one word between two barriers",
        "one word between two warp barriers",
        "an index off by one",
    ],
)
def test_sanitizers_find_the_wrong_kernel_and_pass_the_right_one(sanitizer, right, wrong, words):
    """In one process, whose start takes longer than the kernels do: it ends in the wrong one."""
    library = executor.compile_library(SAMPLES, sanitizer)
    done = executor.sanitized(sanitizer, SCRIPT.format(right, wrong), library)
    assert "finished" in done.stdout, done.stderr
    assert done.returncode != 0
    assert words in done.stderr, done.stderr
