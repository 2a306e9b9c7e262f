"""pytest benchmarks: each operator forward and in a training step, for pytest-benchmark's
comparisons between two versions."""

import pytest
import torch

from ..measure.traffic import OPS
from .bank import Bank

SHAPE = (8, 1024, 256)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank(2 * SHAPE[0] * SHAPE[1] * SHAPE[2])


@pytest.mark.parametrize("what", ["forward", "train"])
@pytest.mark.parametrize("name", OPS)
def test_speed(benchmark, bank, name, what):
    op = OPS[name]
    call = getattr(bank.calls(op, SHAPE, torch.float32), what)
    sides = (False, True) if what == "train" else (False,)
    bytes_moved = (
        sum(op.bytes_per_element(torch.float32, side) for side in sides)
        * SHAPE[0]
        * SHAPE[1]
        * SHAPE[2]
    )
    benchmark.pedantic(call, warmup_rounds=2, rounds=20)
    if benchmark.stats:
        benchmark.extra_info["GB/s"] = round(bytes_moved / benchmark.stats.stats.median / 1e9, 1)
