"""Every CUDA kernel of a step cell computes what the float64 reference computes, under the
executor: types, features, tails, widths.

As test_kernels.py, whose helpers it uses. A thread walks all of the time of a lane or a chunk
of it, so orders of threads matter little; what can go wrong is what a lane reads, keeps and writes.
"""

import math
from dataclasses import replace

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from lrnn_kernels.testing.check import long_calls
from tests.backends.cuda import calls, step_calls
from tests.backends.cuda.step_calls import Shape
from tests.backends.cuda.test_kernels import a_call, one_per_kernel
from tests.conftest import CHANNELS, FEATURES, assert_same, over

CELLS_HERE = [name for name, row in CELLS.items() if row.sequential and not row.matrices]
VARIANTS = [(cell, options) for cell in CELLS_HERE for options in testing.variants(cell)]
GRID = [(cell, options, dtype, False) for cell, options in VARIANTS for dtype in CELLS[cell].dtypes]

#: Where blocks are given they are too few, so that each takes several lanes.
SHAPES = {
    "narrow": Shape("narrow", 32, 2),
    "wide": Shape("wide", 64),
    "few wide": Shape("wide", 32, 1),
    "chunks": Shape("narrow", 32, 3, 5),
    "many chunks": Shape("narrow", 64, 1, 1),
}


def check(call: testing.Call, shape=None, library=None) -> None:
    bad = calls.errors(call, step_calls.run(call, library, shape))
    assert not bad, "\n".join(
        f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad
    )


@pytest.fixture(autouse=True)
def interleaving(request):
    """Another order of threads, and another number of blocks at a time, for every test."""
    seed = sum(map(ord, request.node.name))
    calls.load().configure(resident=1 + seed % 5, seed=seed)


@pytest.mark.parametrize("shape", SHAPES)
@over(("cell", "options", "dtype", "split"), GRID)
def test_values_and_gradients(cell, options, dtype, split, shape):
    number = 5 * GRID.index((cell, options, dtype, split)) + list(SHAPES).index(shape)
    check(a_call(number, cell, options, dtype, split), SHAPES[shape])


@pytest.mark.parametrize("T", [0, 1, 2, 31, 32, 33, 65])
@over(("cell", "options"), VARIANTS)
def test_tails_of_time(cell, options, T):
    number = 11 * VARIANTS.index((cell, options)) + T
    dtype = CELLS[cell].dtypes[number % len(CELLS[cell].dtypes)]
    for shape in SHAPES.values():
        check(a_call(number, cell, options, dtype, False, T=T), shape)


@over("features", FEATURES)
@pytest.mark.parametrize("C", CHANNELS)
def test_every_channel_count_and_feature(C, features):
    names = ("h0", "reset", "h_reset", "reverse", "per_batch")
    cell, options = VARIANTS[(FEATURES.index(features) + C) % len(VARIANTS)]
    call = testing.random_call(
        cell,
        2,
        9,
        C,
        options=options or None,
        seed=100 + C,
        **dict(zip(names, features, strict=True)),
    )
    for shape in SHAPES.values():
        check(call, shape)


@over(("cell", "options"), VARIANTS)
def test_plans_as_they_are_made(cell, options):
    check(testing.random_call(cell, 2, 40, 150, options=options or None, reset=True))


@pytest.mark.parametrize("cell", CELLS_HERE)
def test_the_check_of_a_gpu_cuts_every_kernel(cell):
    """On small and large GPUs: a pass that python -m lrnn_kernels check does not take would be
    trusted unseen."""
    long = {call.kernel.name: call for call in long_calls(cell)}
    assert set(long) == {kernel.name for kernel in CELLS[cell].kernels}
    for call in long.values():
        runner = step_calls.Runner(call, calls.load())
        problem = runner.problem(runner.arguments(), True)
        for multiprocessors in (40, 108, 132, 148):
            plan = step_calls.make_plan(problem, (multiprocessors, 50 << 20))
            assert plan.chunks(problem.T) > 1, (call.kernel.name, multiprocessors)
        check(call)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("memory", [1, 7, 32, 1000])
@pytest.mark.parametrize(
    "features",
    [{}, {"reset": True, "h_reset": "per_batch"}, {"reset": True, "reverse": True}],
    ids=str,
)
def test_checkpoints_give_the_same_bits(memory, features, shape):
    """Saved states or states computed again: the same numbers, so the same gradients."""
    for gradient, threshold in (("detached", None), ("full", 0.5)):
        options = {**testing.variants("src")[0], "gradient": gradient, "threshold": threshold}
        call = testing.random_call("src", 2, 67, 37, options=options, **features)
        expected = step_calls.run(call, shape=SHAPES["wide"])
        call.options["memory"] = memory
        assert_same(step_calls.run(call, shape=SHAPES[shape]), expected)


@over(("cell", "options"), VARIANTS)
def test_nothing_need_be_saved(cell, options):
    call = testing.random_call(cell, 2, 20, 9, options=options or None, reset=True)
    expected = step_calls.run(call)
    assert_same(
        step_calls.run(call, save=False), {name: expected[name] for name in ("y", "h_last")}
    )


@pytest.mark.parametrize("cell", CELLS_HERE)
def test_no_batch(cell):
    assert step_calls.run(testing.random_call(cell, 0, 5, 4, reset=True))["y"].shape == (
        0,
        5,
        4,
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", CELLS_HERE)
def test_any_strides(cell, shape):
    """Time-major memory, every other row of a larger buffer, rows off a 16-byte boundary, one
    row for all steps: as it lies."""
    call = testing.random_call(cell, 3, 20, 12, options=testing.variants(cell)[0] or None)
    expected = step_calls.run(call, shape=SHAPES[shape])
    layouts = {
        "time-major": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        "every other row": lambda x: torch.stack([x, x + 1], 2)[:, :, 0],
        "off by one": lambda x: torch.cat([x[..., :1], x], -1)[..., 1:],
    }
    for change in layouts.values():
        moved = replace(call, inputs=tuple(map(change, call.inputs)), dy=change(call.dy))
        assert_same(step_calls.run(moved, shape=SHAPES[shape]), expected)
    one_row = replace(call, dy=call.dy[:, :1].expand(-1, 20, -1))
    same = replace(one_row, dy=one_row.dy.contiguous())
    assert_same(
        step_calls.run(one_row, shape=SHAPES[shape]),
        step_calls.run(same, shape=SHAPES[shape]),
    )


@over(("cell", "options"), VARIANTS)
def test_the_same_bits_in_any_interleaving_and_width(cell, options):
    call = testing.random_call(cell, 3, 70, 9, options=options or None, reset=True)
    results = []
    for resident, seed, shape in ((1, 0, "wide"), (2, 1, "narrow"), (7, 2, "few wide")):
        calls.load().configure(resident=resident, seed=seed)
        results.append(step_calls.run(call, shape=SHAPES[shape]))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@pytest.mark.parametrize("chunk", [1, 7, 64, 129])
@pytest.mark.parametrize(
    "features", [{}, {"reset": True, "h_reset": "per_batch", "reverse": True}], ids=str
)
@over(
    ("cell", "options"),
    [(cell, options) for cell, options in VARIANTS if options.get("memory") != 5],
)
def test_chunks_give_the_gradients_of_the_whole(cell, options, features, chunk):
    """Up to rounding, which in float64 is far below any mistake: the adjoints' maps are what the
    pullback itself does."""
    call = testing.random_call(
        cell, 2, 130, 5, dtype=torch.float64, options=options or None, h0=True, **features
    )
    whole, cut = (
        step_calls.run(call, shape=Shape("narrow", 32, chunk=steps)) for steps in (None, chunk)
    )
    for name, x in whole.items():
        torch.testing.assert_close(
            cut[name], x, rtol=1e-9, atol=1e-9 * x.abs().max().item(), msg=name
        )


def test_an_adjoint_of_zero_stays_zero_though_a_map_overflows():
    """A BRC at rest on its unstable point, h = 0 with a > 1: a step multiplies adjoints by 1.25, a
    chunk of 500 by more than float32 holds. Where nothing enters a chunk, nothing leaves it, as
    without chunks."""
    inputs = tuple(torch.full((1, 1500, 4), x) for x in (math.atanh(0.5), 0.0, 0.0))
    params = (torch.ones(4), torch.ones(4))
    dy = torch.zeros(1, 1500, 4)
    dy[:, :3] = 1
    call = replace(
        testing.random_call("brc", 1, 1500, 4),
        inputs=inputs,
        params=params,
        h0=None,
        dy=dy,
        dh_last=None,
    )
    whole, cut = (
        step_calls.run(call, shape=Shape("narrow", 32, chunk=steps)) for steps in (None, 500)
    )
    assert all(x.isfinite().all() for x in cut.values())
    torch.testing.assert_close(cut, whole)


def run_every_kernel(library, number: int, names) -> None:
    """For the sanitizers: a case per kernel, small and with tails."""
    for case, (cell, options, dtype, split) in enumerate(one_per_kernel(GRID)):
        library.configure(resident=3, seed=number + case)
        for name in names:
            check(
                a_call(case, cell, options, dtype, split, T=13, B=2, channels=(1, 5, 8, 17)),
                SHAPES[name],
                library,
            )
