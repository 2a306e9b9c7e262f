"""The CUDA kernels of matrix cells, whose matrices lie in the registers of one block or of several,
compute what the float64 reference computes."""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cell import REAL
from lrnn_kernels.cells import CELLS
from tests.backends.cuda import calls, matrix_calls
from tests.backends.cuda.matrix_calls import run
from tests.conftest import FEATURES, assert_same, over

CELLS_HERE = [name for name, row in CELLS.items() if row.matrices]
VARIANTS = [(cell, options) for cell in CELLS_HERE for options in testing.variants(cell)]
GRID = [(cell, options, dtype) for cell, options in VARIANTS for dtype in REAL]
#: On both sides of the kernels' widths, 32, 64, 128 and 256, and of what a block of several holds,
#: multiples of 16, 32 or 64; and far from any.
CHANNELS = (1, 5, 31, 32, 33, 64, 65, 100, 128, 129, 193, 256)
NAMES = ("h0", "reset", "h_reset", "reverse", "per_batch")


def check(call: testing.Call, library=None, **options) -> None:
    bad = calls.errors(call, run(call, library, **options))
    assert not bad, "\n".join(
        f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad
    )


def a_call(
    number: int, cell: str, options: dict, C: int, dtype: torch.dtype, T: int = 7, B: int = 2
) -> testing.Call:
    features = dict(zip(NAMES, FEATURES[number % len(FEATURES)], strict=True))
    return testing.random_call(
        cell,
        B,
        T,
        C,
        dtype=dtype,
        options=options or None,
        packed=number % 2 == 1,
        seed=number,
        **features,
    )


@pytest.fixture(autouse=True)
def interleaving(request):
    """Another order of threads, and another number of blocks at a time, for every test."""
    seed = sum(map(ord, request.node.name))
    calls.load().configure(resident=1 + seed % 5, seed=seed)


@over(("cell", "options", "dtype"), GRID)
@pytest.mark.parametrize("C", CHANNELS)
def test_values_and_gradients(C, cell, options, dtype):
    number = 5 * GRID.index((cell, options, dtype)) + CHANNELS.index(C)
    check(a_call(number, cell, options, C, dtype))


@over(("cell", "options"), VARIANTS)
def test_more_channels_than_there_are_kernels_for_are_refused(cell, options):
    with pytest.raises(RuntimeError):
        run(a_call(0, cell, options, 257, torch.float32, T=1, B=1))


@pytest.mark.parametrize("features", range(len(FEATURES)))
@over(("cell", "options"), VARIANTS)
def test_every_feature_and_tail_of_time(cell, options, features):
    for T in (0, 1, 2, 3, 4, 5, 8, 33):
        check(a_call(features, cell, options, 10, REAL[T % 4], T))


@pytest.mark.parametrize("multiprocessors", [5, 11, 132])
@over(("cell", "options"), VARIANTS)
def test_groups_take_batch_elements_in_turn(cell, options, multiprocessors):
    """Several at a time and then one, or three, or one for each group; and no two sequences'
    numbers are mixed up."""
    for number in range(3):
        # Five multiprocessors hold 150 channels of float in all cells, of double those of some.
        dtype = torch.float32 if multiprocessors == 5 else REAL[number]
        check(
            a_call(2 * number + 2, cell, options, 133, dtype, T=3, B=9),
            multiprocessors=multiprocessors,
        )


@pytest.mark.parametrize("T", [0, 1, 2, 3])
@over(("cell", "options", "dtype"), GRID)
def test_short_sequences_in_turn(cell, options, dtype, T):
    check(a_call(T, cell, options, 140, dtype, T=T, B=7), multiprocessors=11)


@over(("cell", "options"), VARIANTS)
def test_no_batch(cell, options):
    for C in (4, 200):
        result = run(a_call(2, cell, options, C, torch.float32, B=0))
        assert result["y"].shape == (0, 7, C)
        assert all(not x.isnan().any() for x in result.values())


@pytest.mark.parametrize("C", [37, 150])
@over(("cell", "options"), VARIANTS)
def test_the_same_bits_in_any_interleaving_and_layout(cell, options, C):
    results = []
    for resident, seed, multiprocessors in ((1, 0, 5), (2, 1, 8), (7, 2, 132)):
        calls.load().configure(resident=resident, seed=seed)
        results.append(
            run(
                a_call(2, cell, options, C, torch.float32, T=4, B=6),
                multiprocessors=multiprocessors,
            )
        )
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@over(("cell", "options"), VARIANTS)
def test_any_strides(cell, options):
    """Time-major memory, every other row of a larger buffer, one row for all steps: as it lies."""
    call = testing.random_call(cell, 3, 9, 12, options=options or None)
    expected = run(call)
    layouts = {
        "time-major": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        "every other row": lambda x: torch.stack([x, x + 1], 2)[:, :, 0],
        "off by one": lambda x: torch.cat([x[..., :1], x], -1)[..., 1:],
    }
    for change in layouts.values():
        moved = replace(call, inputs=tuple(map(change, call.inputs)), dy=change(call.dy))
        assert_same(run(moved), expected)
    one_row = replace(call, dy=call.dy[:, :1].expand(-1, 9, -1))
    assert_same(run(one_row), run(replace(one_row, dy=one_row.dy.contiguous())))


@over(("cell", "options"), VARIANTS)
def test_a_parameter_of_the_last_term_is_a_sum_over_all_elements(cell, options):
    """Of many elements and steps, by a group that takes them in turn."""
    check(a_call(2, cell, options, 66, torch.float32, T=40, B=5), multiprocessors=3)


#: Channels that one block of a kernel holds, and of those that several hold the slices, by the
#: number of matrices: 128 KiB of them, and of double 32 at most.
HELD = {
    "f32": {
        1: (128, {256: 64}),
        2: (128, {256: 64}),
        3: (64, {128: 64, 256: 32}),
        4: (64, {128: 64, 256: 32}),
    },
    "f64": {
        1: (128, {256: 32}),
        2: (64, {128: 32, 256: 32}),
        3: (64, {128: 32, 256: 16}),
        4: (64, {128: 32, 256: 16}),
    },
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@over(("cell", "options"), VARIANTS)
def test_layouts(cell, options, dtype):
    """All blocks of all groups run at a time, no group is idle, and a group takes another
    element only where there is no other group."""
    storage = "f64" if dtype == torch.float64 else "f32"
    runner = matrix_calls.Runner(a_call(0, cell, options, 1, dtype, T=1, B=1), calls.load())
    block, slices = HELD[storage][runner.terms]
    vectors = runner.terms - runner.late_terms()
    at_a_time = 2 if storage == "f64" and vectors == 4 else 4

    def layout_of(B: int, C: int, multiprocessors: int) -> matrix_calls.Layout:
        runner.shape = B, 1, C
        return runner.layout(multiprocessors)

    for B in (0, 1, 2, 31, 33, 34, 66, 132, 133, 1000):
        for C in (1, block):
            layout = layout_of(B, C, 4)
            assert (layout.blocks, layout.groups, layout.elements) == (1, B, 1)
        for C in (C for C in (65, 128, 129, 192, 193, 256) if block < C):
            slice = slices[128 if C <= 128 and 128 in slices else 256]
            for multiprocessors in (1, 4, 8, 14, 108, 132, 148):
                layout = layout_of(B, C, multiprocessors)
                most = multiprocessors // layout.blocks
                assert layout.blocks == -(-C // slice)
                assert layout.groups <= most
                assert 1 <= layout.elements <= at_a_time
                assert layout.groups > 0 or most == 0 or B == 0
                assert (layout.groups - 1) * layout.elements < max(B, 1)
                assert (
                    layout.groups * layout.elements >= B
                    or (layout.groups, layout.elements) == (most, at_a_time)
                    or most == 0
                )
                assert layout.elements == 1 or (layout.elements - 1) * most < B


@over(("cell", "options"), VARIANTS)
def test_nothing_need_be_saved(cell, options):
    call = a_call(2, cell, options, 12, torch.float32)
    expected = run(call)
    assert_same(run(call, save=False), {name: expected[name] for name in ("y", "h_last")})


def run_every_kernel(library, number: int) -> None:
    """For the sanitizers: a case for every cell and width, of one type after another, small and
    with tails. Wide ones have groups of several blocks, and turns."""
    cases = [(C, *variant) for C in (17, 33, 65, 130) for variant in VARIANTS]
    for case, (C, cell, options) in enumerate(cases):
        dtype = REAL[(case + case // len(VARIANTS)) % len(REAL)]
        library.configure(resident=2, seed=number + case)
        if C < 65:
            check(a_call(case, cell, options, C, dtype, 5), library)
        else:
            check(a_call(case, cell, options, C, dtype, 2, B=5), library, multiprocessors=9)
