"""Infinity, NaN and other numbers at the edge in the CUDA kernels, under the executor: as in
test_edge_values.py, whose cases these are."""

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.backends.cuda import calls, step_calls
from tests.backends.cuda.calls import Plan
from tests.backends.cuda.step_calls import Shape
from tests.conftest import over
from tests.promises import edge_cases

VARIANTS = edge_cases.variants()
GRID = [(cell, options, dtype) for cell, options in VARIANTS for dtype in CELLS[cell].dtypes]

#: Of the 8 steps: one pass; groups of threads that compose maps; chunks. Where factors are
#: multiplied, a product of 0 drops what is infinite, so pairs, of which one may be the factor, take
#: one pass.
PLANS = {"one pass": (32, 1, 8), "groups": (8, 8, 8), "chunks": (32, 1, 3)}
SHAPES = {
    "one pass": Shape("wide", 32),
    "groups": Shape("narrow", 32),
    "chunks": Shape("narrow", 32, chunk=3),
}


def _run(plan: str, kernel: str | None = None):
    def run(call: testing.Call) -> dict[str, torch.Tensor]:
        if call.entry.sequential:
            return step_calls.run(call, shape=SHAPES[plan])
        result = calls.run(
            call, forward_plan=Plan(*PLANS[plan]), backward_plan=Plan(*PLANS[plan]), kernel=kernel
        )
        return {name: x for name, x in result.items() if name != "bits"}

    return run


@pytest.mark.parametrize("which", ["one pass", "groups", "chunks", "pairs"])
@over(("cell", "options", "dtype"), GRID)
def test_numbers_at_the_edge(cell, options, dtype, which):
    number = GRID.index((cell, options, dtype))
    calls.load().configure(resident=1 + number % 3, seed=number)
    features = {"reset": number % 2 == 0, "reverse": number % 3 == 0}
    case = edge_cases.planted(
        cell, options, dtype, "pairs" if which == "pairs" else "single", **features
    )
    plan = "one pass" if which == "pairs" else which
    found = edge_cases.differences(
        case, _run(plan), cut=plan != "one pass" and not CELLS[cell].sequential
    )
    assert not found, "\n".join(found)


@pytest.mark.parametrize("which", ["single", "pairs"])
def test_the_latch_at_the_edge(which):
    """The engine of bits; its chunks are whole bytes."""
    for dtype in CELLS["bmru"].dtypes:
        found = edge_cases.differences(
            edge_cases.planted("bmru", CELLS["bmru"].options, dtype, which),
            _run("one pass", "bmru"),
        )
        assert not found, "\n".join(found)


@pytest.mark.parametrize("plan", [(32, 1, 100), (4, 8, 400), (1, 64, 1500)], ids=str)
def test_factors_that_overflow_leave_zero_alone(plan):
    """The product of 1500 factors of 2 overflows; where no state is, none comes to be."""
    call = testing.random_call("linear_scan", 1, 1500, 4, h0=False)
    call.inputs[0][:] = 2.0
    call.inputs[0][:, 1300] = 0.0
    call.inputs[1][:, :1450] = 0.0
    call.dy[:, 60:] = 0.0
    call.dh_last[:] = 0.0
    whole, cut = (
        calls.run(call, forward_plan=p, backward_plan=p) for p in (Plan(32, 1, 1500), Plan(*plan))
    )
    for name, x in whole.items():
        assert x.isfinite().all()
        torch.testing.assert_close(cut[name], x)
