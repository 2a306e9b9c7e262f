"""At the end of memory, and of 64-bit sizes: the pool gives back what it keeps, and what fails
says so and leaves nothing behind."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from lrnn_kernels import memory
from lrnn_kernels.backends.build import environment
from lrnn_kernels.calls.run import run as run_cell
from lrnn_kernels.cells import CELLS
from tests.conftest import VARIANTS, over

#: In a process of little memory: how much it may take beyond what it has, and the cells called with
#: inputs that are one element, expanded.
LITTLE = """
import resource, torch
from lrnn_kernels import memory
from lrnn_kernels.calls.run import run as run_cell
from lrnn_kernels.cells import CELLS

MIB = 2**20
torch.set_num_threads(1)

def call(cell, B, T, C, options=None, gradients=False):
    entry = CELLS[cell]
    inputs = [torch.zeros(1, dtype=entry.dtypes[0]).expand(B, T, C) for _ in entry.inputs]
    params = [torch.zeros(shape, dtype=entry.dtypes[0]) for shape in entry.param_shapes(C)]
    if gradients:
        inputs = [x.requires_grad_() for x in inputs]
        params = [x.requires_grad_() for x in params]
    return run_cell(entry, inputs, params, {**entry.options, **(options or {})})[0]

for cell in CELLS:  # all that is loaded when it is first used is there
    y = call(cell, 2, 3, 4, gradients=True)
    y.backward(y)
small = call("min_gru", 2, 3, 4)

def leave(mebibytes):
    memory.empty_cache()
    have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = have + mebibytes * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))

def fill(mebibytes):
    '''As many are cached, in blocks of 20 MiB.'''
    held = [call("fq_bmru", 20, 1024, 256) for _ in range(mebibytes // 20)]
    del held
    assert memory.stats().cached >= mebibytes * MIB

def message(what):
    try:
        what()
    except RuntimeError as error:
        return str(error)
    raise AssertionError("it did not fail")

"""


def run_in_little_memory(code: str) -> None:
    environment = {**os.environ, "LRNN_POOL_MB": "100000", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LITTLE + code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


GIVEN_BACK = {
    # what does not fit beside 300 MiB of cached blocks in 400, and why it is not one of them
    "a larger block": 'call("linear_scan", 300, 1024, 256)',
    "outputs of a backward pass": (
        'y = call("min_gru", 90, 1024, 256, gradients=True); y.backward(y)'
    ),
    "what is saved": 'call("src", 60, 1024, 256, gradients=True)',
    "a small output": 'call("linear_scan", 2**26, 0, 1)',  # h_last, where the pool is switched off
    "sums of parameters' gradients": (
        'y = call("bmru", 40000, 1, 200, gradients=True); y.backward(y)'
    ),
    "a copy of inputs": (
        "x = torch.zeros(1024).expand(50, 1024, 1024).transpose(1, 2)\n"  # one copy is 200 MiB
        'run_cell(CELLS["linear_scan_per_channel"], [x], [torch.zeros(1024)], {})'
    ),
    "steps between checkpoints": (
        'y = call("src", 1, 2**20, 8, {"memory": 2**19}, gradients=True); y.backward(y)'
    ),
}


@pytest.mark.parametrize("what", GIVEN_BACK)
def test_what_is_cached_is_given_back_before_a_call_fails(what):
    run_in_little_memory(f"leave(420)\nfill(300)\n{GIVEN_BACK[what]}\n")


def test_a_call_that_fails_says_what_it_wanted_and_leaves_nothing():
    """Every cell, forward and backward: torch's type and words, the operator, the bytes; then
    all is as before."""
    run_in_little_memory(
        """
leave(300)

def exhaust(held):
    while True:
        held.append(call("fq_bmru", 1, 1024, 256))

def check(said, name, size):
    refused = "DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    for words in (f"{name}: {refused} {size} bytes", "MiB in use and 0 MiB cached"):
        assert words in said, (name, said)

for cell in CELLS:
    kernel = CELLS[cell].kernel({**CELLS[cell].options}, False).name
    itemsize = CELLS[cell].dtypes[0].itemsize
    fill(100)
    check(message(lambda: call(cell, 1024, 1024, 256)), kernel, itemsize * 2**28)
    assert memory.stats().in_use == memory.stats().cached == 0, (cell, memory.stats())
    assert torch.equal(call("min_gru", 2, 3, 4), small)
    y, held = call(cell, 4, 1024, 256, gradients=True), []
    check(message(lambda: exhaust(held)), "fq_bmru", 2**20)
    check(message(lambda: y.backward(y)), kernel + "_backward", itemsize * 2**20)
    del y, held
    assert memory.stats().in_use == 0, (cell, memory.stats())
"""
    )


def test_torch_fails_in_the_same_words():
    with pytest.raises(
        RuntimeError, match="DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ):
        torch.empty(2**60, dtype=torch.uint8)


#: Sizes of which something is 2^63 bytes or more: y, what is saved, states without steps, a product
#: of two alone.
BEYOND = [
    (2**40, 2**20, 4),
    (2**61, 1, 1),
    (1, 2**61, 1),
    (2**30, 2**30, 2),
    (2**62, 0, 1),
    (1, 0, 2**62),
    (2**31, 2**31, 1),
]


@over("cell,options", VARIANTS)
def test_sizes_beyond_64_bits_are_refused(cell, options):
    entry = CELLS[cell]
    for B, T, C in BEYOND:
        if entry.matrices and C > 4:
            continue  # no matrix of that size can be made
        dtype = entry.dtypes[0]
        inputs = [torch.zeros(1, dtype=dtype).expand(B, T, C) for _ in entry.inputs]
        params = [torch.zeros(1, dtype=dtype).expand(shape) for shape in entry.param_shapes(C)]
        before = memory.stats()
        with pytest.raises(
            RuntimeError, match=r"inputs of shape \(\d+, \d+, \d+\) are too large|2\^63"
        ):
            run_cell(entry, inputs, params, options)
        assert memory.stats() == before


def test_one_element_may_have_any_stride():
    """A dimension of one element is never walked, and torch allows it any stride."""
    b = torch.randn(5, 4)
    expected = run_cell(CELLS["linear_scan_per_channel"], [b[None]], [torch.full((4,), 0.5)], {})[0]
    for sizes, strides in (
        ((1, 5, 4), (2**62, 4, 1)),
        ((5, 1, 4), (4, 2**62, 1)),
        ((1, 1, 4), (2**62, 2**61, 1)),
    ):
        x = b.as_strided(sizes, strides)
        y, _ = run_cell(CELLS["linear_scan_per_channel"], [x], [torch.full((4,), 0.5)], {})
        same = expected if sizes[1] == 5 else b[: sizes[0], None]
        torch.testing.assert_close(y, same[:, : sizes[1]])


REFUSED = [
    (-1, ValueError, "num_bytes must be at least 0, got -1"),
    (2**63, ValueError, f"num_bytes must be at most {2**63 - 1}, got {2**63}"),
    (2**200, ValueError, f"num_bytes must be at most {2**63 - 1}, got"),
    (1.0, TypeError, "num_bytes must be an integer, got float"),
    (True, TypeError, "num_bytes must be an integer, got bool"),
    ("1", TypeError, "num_bytes must be an integer, got str"),
    (None, TypeError, "num_bytes must be an integer, got NoneType"),
    (np.float32(1), TypeError, "num_bytes must be an integer, got float32"),
    (torch.tensor(1.5), TypeError, "num_bytes must be an integer, got Tensor"),
]


@pytest.mark.parametrize(("limit", "error", "words"), REFUSED, ids=lambda x: str(x)[:12])
def test_a_limit_that_is_none_is_refused(limit, error, words):
    before = memory.stats()
    with pytest.raises(error) as raised:
        memory.set_limit(limit)
    assert words in str(raised.value)
    assert memory.stats() == before


def test_the_largest_limit_is_kept():
    before = memory.stats().limit
    for limit in (2**63 - 1, np.int64(7)):
        memory.set_limit(limit)
        assert memory.stats().limit == limit
    memory.set_limit(before)


@pytest.mark.parametrize(
    "value",
    ["-1", "1.5", "1e3", "lots", "8796093022208", "9" * 30, " 7", "7 MiB", "0x10", "+7", "٣"],
)
def test_an_environment_without_a_limit_is_refused(value, monkeypatch):
    monkeypatch.setenv("LRNN_POOL_MB", value)
    with pytest.raises(ValueError, match="LRNN_POOL_MB") as raised:
        environment.pool_megabytes()
    assert repr(value) in str(raised.value)
    assert str(2**43 - 1) in str(raised.value)


@pytest.mark.parametrize(
    ("value", "limit"),
    [(None, None), ("", None), ("0", 0), ("007", 7), (str(2**43 - 1), 2**43 - 1)],
)
def test_the_environment_names_a_limit(value, limit, monkeypatch):
    monkeypatch.delenv("LRNN_POOL_MB", raising=False)
    if value is not None:
        monkeypatch.setenv("LRNN_POOL_MB", value)
    assert environment.pool_megabytes() == limit


def test_the_import_refuses_it_too():
    code = "import lrnn_kernels"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LRNN_POOL_MB": "-3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "LRNN_POOL_MB must be" in done.stderr
    assert "'-3'" in done.stderr
