"""Every CUDA kernel computes what the float64 reference computes, under the executor: all types,
features, tails and plans.

The public functions' own tests (test_values.py and others) state what is promised; these state that
each way to lay a call over a GPU keeps it. Cases are small: a thread of a block costs a
microsecond.
"""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.backends.cuda import calls
from tests.backends.cuda.calls import Plan
from tests.conftest import CHANNELS, FEATURES, assert_same, over

CELLS_HERE = [name for name, cell in CELLS.items() if not cell.sequential]
VARIANTS = [(cell, options) for cell in CELLS_HERE for options in testing.variants(cell)]
GRID = [(cell, options, dtype, False) for cell, options in VARIANTS for dtype in CELLS[cell].dtypes]
#: The LRU's streams in two planes, as a real GEMM makes them.
GRID += [
    ("lru", {}, dtype, True)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
]

#: Ways to lay 70 steps over a device: (lanes, groups, chunk). One pass; groups across warps, within
#: a warp, both; and chunks.
PLANS = {
    "one pass": (32, 1, 70),
    "groups are warps": (32, 4, 70),
    "groups within a warp": (4, 8, 70),
    "both": (8, 16, 70),
    "one lane": (1, 64, 70),
    "chunks": (32, 1, 24),
    "chunks of groups": (8, 8, 33),
    "many chunks": (16, 2, 2),
}


def check(call: testing.Call, **kwargs) -> None:
    bad = calls.errors(call, calls.run(call, **kwargs))
    assert not bad, "\n".join(
        f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad
    )


def plans(plan: tuple[int, int, int]) -> dict:
    return {"forward_plan": Plan(*plan), "backward_plan": Plan(*plan)}


def a_call(
    number: int,
    cell: str,
    options: dict,
    dtype: torch.dtype,
    split: bool,
    T: int = 70,
    B: int = 3,
    channels=CHANNELS,
) -> testing.Call:
    """Features and channels as they come: over all numbers, every pair appears."""
    h0, reset, h_reset, reverse, per_batch = FEATURES[number % len(FEATURES)]
    C = channels[(3 * number + number // 7) % len(channels)]
    features = {
        "h0": h0,
        "reset": reset,
        "h_reset": h_reset,
        "reverse": reverse,
        "per_batch": per_batch,
        "split": split,
    }
    packed = number % 3 == 0 and len(CELLS[cell].inputs) > 1
    return testing.random_call(
        cell, B, T, C, dtype=dtype, options=options or None, packed=packed, seed=number, **features
    )


@pytest.fixture(autouse=True)
def interleaving(request):
    """Another order of threads, and another number of blocks at a time, for every test."""
    seed = sum(map(ord, request.node.name))
    calls.load().configure(resident=1 + seed % 5, seed=seed)


@pytest.mark.parametrize("plan", PLANS)
@over(("cell", "options", "dtype", "split"), GRID)
def test_values_and_gradients(cell, options, dtype, split, plan):
    number = 5 * GRID.index((cell, options, dtype, split)) + list(PLANS).index(plan)
    check(a_call(number, cell, options, dtype, split), **plans(PLANS[plan]))


@pytest.mark.parametrize("T", [0, 1, 2, 31, 32, 33, 65])
@over(("cell", "options"), VARIANTS)
def test_tails_of_time(cell, options, T):
    number = 11 * VARIANTS.index((cell, options)) + T
    dtype = CELLS[cell].dtypes[number % len(CELLS[cell].dtypes)]
    for plan in ((32, 1, max(T, 1)), (8, 8, max(T, 1)), (4, 16, 17)):
        check(a_call(number, cell, options, dtype, False, T=T), **plans(plan))


@over("features", FEATURES)
@pytest.mark.parametrize("C", CHANNELS)
def test_every_channel_count_and_feature(C, features):
    names = ("h0", "reset", "h_reset", "reverse", "per_batch")
    cell = CELLS_HERE[(FEATURES.index(features) + CHANNELS.index(C)) % len(CELLS_HERE)]
    call = testing.random_call(
        cell,
        2,
        9,
        C,
        dtype=CELLS[cell].dtypes[0],
        seed=C,
        **dict(zip(names, features, strict=True)),
    )
    for plan in ((32, 1, 9), (8, 4, 9), (4, 8, 5)):
        check(call, **plans(plan))


@pytest.mark.parametrize("bytes_in_flight", [1, 1 << 14, 1 << 18])
@pytest.mark.parametrize("cell", CELLS_HERE)
def test_plans_as_they_are_made(cell, bytes_in_flight):
    check(
        testing.random_call(cell, 2, 700, 5, dtype=CELLS[cell].dtypes[0], reset=True),
        bytes_in_flight=bytes_in_flight,
    )


@pytest.mark.parametrize("cell", CELLS_HERE)
def test_no_batch(cell):
    dtype = CELLS[cell].dtypes[0]
    result = calls.run(testing.random_call(cell, 0, 5, 4, dtype=dtype, reset=True))
    assert result["y"].shape == (0, 5, 4)


@pytest.mark.parametrize("cell", CELLS_HERE)
def test_any_strides(cell):
    """Time-major memory, every other row of a larger buffer, rows off a 16-byte boundary, one
    row for all steps: as it lies."""
    dtype = CELLS[cell].dtypes[0]
    call = testing.random_call(cell, 3, 20, 12, dtype=dtype)
    expected = calls.run(call, **plans((8, 4, 20)))
    layouts = {
        "time-major": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        "every other row": lambda x: torch.stack([x, x + 1], 2)[:, :, 0],
        "off by one": lambda x: torch.cat([x[..., :1], x], -1)[..., 1:],
    }
    for change in layouts.values():
        moved = replace(call, inputs=tuple(map(change, call.inputs)), dy=change(call.dy))
        assert_same(calls.run(moved, **plans((8, 4, 20))), expected)
    wide = replace(call, dy=call.dy[:, :1].expand(-1, 20, -1))
    assert_same(
        calls.run(wide, **plans((8, 4, 20))),
        calls.run(replace(wide, dy=wide.dy.contiguous()), **plans((8, 4, 20))),
    )


def test_offsets_beyond_32_bits():
    """A reversed view of two rows 2^31 elements apart, of memory that is reserved and hardly
    touched."""
    size = (1 << 31) + 8
    a, b = torch.empty(size), torch.empty(size)
    call = testing.random_call("linear_scan", 1, 2, 4)
    views = []
    for memory, x in zip((a, b), call.inputs, strict=True):
        view = memory.as_strided((1, 2, 4), (size, 1 << 31, 1))
        views.append(view.copy_(x))
    assert_same(calls.run(replace(call, inputs=tuple(views))), calls.run(call))


@over(("cell", "options"), VARIANTS)
def test_the_same_bits_in_any_interleaving(cell, options):
    """Parameters' gradients too: partial sums have an owner each, and are added in a fixed
    order."""
    dtype = CELLS[cell].dtypes[0]
    call = testing.random_call(cell, 3, 70, 9, dtype=dtype, options=options, reset=True)
    results = []
    for resident, seed in ((1, 0), (2, 1), (7, 2)):
        calls.load().configure(resident=resident, seed=seed)
        results.append(calls.run(call, **plans((8, 8, 33))))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@over(
    ("cell", "options"),
    [(cell, options) for cell, options in VARIANTS if options.get("eps") == 0],
)
@pytest.mark.parametrize("plan", PLANS)
def test_last_write_wins_bit_for_bit(cell, options, plan):
    """eps = 0: a unit copies, however the time is cut."""
    call = testing.random_call(cell, 3, 70, 21, options=options)
    result = calls.run(call, **plans(PLANS[plan]))
    assert_same(
        {name: result[name] for name in ("y", "h_last")},
        testing.run(call, "reference", gradients=False),
    )


@pytest.mark.parametrize("plan", PLANS)
def test_a_reset_stops_infinity(plan):
    """0 times infinity is not computed, whether a reset lies within a group's steps, between
    groups, or between chunks."""
    call = testing.random_call("linear_scan", 2, 70, 9, reset=True)
    call.reset[:] = False
    call.reset[:, 3::9] = True
    call.inputs[1][:, ::7] = float("inf")
    check(
        replace(call, dy=torch.where(torch.arange(70)[:, None] % 9 == 1, float("inf"), call.dy)),
        **plans(PLANS[plan]),
    )


def one_per_kernel(grid) -> list:
    """Of cases that one kernel serves, the first."""
    chosen = {}
    for cell, options, dtype, split in grid:
        kernel = CELLS[cell].kernel({**CELLS[cell].options, **options}, True)
        chosen.setdefault(
            (kernel, dtype, split, options.get("memory") == 5), (cell, options, dtype, split)
        )
    return list(chosen.values())


def run_every_kernel(library, number: int, layouts) -> None:
    """For the sanitizers: a case per kernel, small and with tails."""
    for case, (cell, options, dtype, split) in enumerate(one_per_kernel(GRID)):
        library.configure(resident=3, seed=number + case)
        for layout in layouts:
            call = a_call(case, cell, options, dtype, split, T=13, B=2, channels=(1, 5, 8, 17))
            check(call, library=library, **plans(layout))
