"""How a scan is laid over a GPU: the choice is a pure function of lanes, steps and bytes in
flight."""

import ctypes

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu import model, predictions
from benchmarks.measure.traffic import OPS
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.backends.cuda import calls, matrix_calls, step_calls
from tests.backends.cuda.calls import Plan, Problem
from tests.backends.cuda.step_calls import StepPlan, StepProblem

#: What the model knows enough of.
MEASURED = {name: op for name, op in OPS.items() if model.is_measured(op)}
#: Step cells whose backward pass has the values of every step, and may be cut.
SAVE_EVERY_STEP = [
    name
    for name, op in MEASURED.items()
    if CELLS[op.cell].sequential and not isinstance(op.options.get("memory"), int)
]
#: What an H100 needs in flight; see csrc/cuda/plan.h.
IN_FLIGHT = 2 << 20


def make(
    lanes: int,
    T: int,
    steps: int = 4,
    bytes_loaded: int = 128,
    in_flight: int = IN_FLIGHT,
    multiprocessors: int = 0,
) -> Plan:
    plan = Plan()
    problem = Problem(lanes, T, steps, bytes_loaded)
    calls.load().library.lrnn_gpu_plan(
        ctypes.byref(problem),
        ctypes.c_int64(in_flight),
        ctypes.c_int64(multiprocessors),
        ctypes.byref(plan),
    )
    return plan


def is_valid(plan: Plan, T: int) -> bool:
    return calls.load().library.lrnn_gpu_plan_is_valid(ctypes.byref(plan), ctypes.c_int64(T))


def in_flight(plan: Plan, lanes: int, T: int, bytes_loaded: int = 128) -> int:
    return lanes * plan.groups * plan.chunks(T) * bytes_loaded


def test_many_lanes_are_one_pass():
    """64 sequences of 1,024 float32 channels: 16,384 lanes, whole time in every thread."""
    plan = make(64 * 256, 1000)
    assert (plan.lanes, plan.groups, plan.chunks(1000)) == (128, 1, 1)


def test_fewer_lanes_share_time_within_blocks():
    """[8, 4096, 256]: 512 lanes keep too little in flight by themselves, 32 times as many
    threads enough; no chunk is read twice."""
    plan = make(512, 4096)
    assert (plan.lanes, plan.groups, plan.chunks(4096)) == (8, 32, 1)
    assert in_flight(plan, 512, 4096) >= IN_FLIGHT


def test_few_lanes_cut_time():
    """[1, 65536, 64]: 16 lanes."""
    plan = make(16, 65536)
    assert plan.groups == 32
    assert plan.chunks(65536) >= 16
    assert in_flight(plan, 16, 65536) >= IN_FLIGHT / 2


def test_chunks_are_for_all_multiprocessors():
    """16 lanes are two blocks of 8, of which 16 chunks keep enough bytes in flight if every byte
    is used; 64 leave nobody idle."""
    assert make(16, 65536).chunks(65536) < 60
    assert make(16, 65536, multiprocessors=132).chunks(65536) == 64
    assert make(512, 4096, multiprocessors=132).chunks(4096) == 1


@pytest.mark.parametrize("T", [0, 1, 4])
def test_short_sequences_are_not_shared(T):
    plan = make(16, T)
    assert (plan.groups, plan.chunks(T)) == (1, 1)


def test_no_group_is_without_steps():
    assert make(16, 40).groups == 16  # 10 tiles of 4 steps


@given(
    lanes=st.integers(0, 1 << 40),
    T=st.integers(0, 1 << 40),
    steps=st.sampled_from([1, 2, 4, 8]),
    accesses=st.integers(1, 10),
    needed=st.integers(1, 1 << 24),
)
def test_every_plan_can_be_run_and_cuts_only_for_want_of_bytes(lanes, T, steps, accesses, needed):
    loaded = steps * accesses * 16
    plan = make(lanes, T, steps, loaded, needed)
    assert is_valid(plan, T)
    tile = plan.groups * steps
    if plan.groups > 1:
        assert max(lanes, 1) * plan.groups // 2 * loaded < needed
    if plan.chunks(T) > 1:
        assert plan.chunk % tile == 0
        assert plan.chunk >= 4 * tile
        assert (
            in_flight(plan, max(lanes, 1), T, loaded)
            <= needed + max(lanes, 1) * plan.groups * loaded
        )


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ((32, 16, 100), "more threads than a block has"),
        ((8, 2, 100), "half a warp"),
        ((64, 2, 100), "lanes that are wider than a warp share time"),
        ((8, 4, 0), "chunks without steps"),
        ((8, 4, 1), "more chunks than a grid has"),
    ],
)
def test_plans_that_cannot_be_run(plan, why):
    assert not is_valid(Plan(*plan), 1 << 17), why


def step_is_valid(plan: StepPlan, problem: StepProblem) -> bool:
    return calls.load().library.lrnn_gpu_step_plan_is_valid(
        ctypes.byref(plan), ctypes.byref(problem)
    )


def test_step_cells_take_a_channel_per_thread_and_spread_over_the_device():
    """32 sequences of 256 channels: what limits them is the chain of a step, so nothing is
    gained by having several in a thread."""
    plan = step_calls.make_plan(StepProblem(32, 784, 256, 4, 0, False))
    assert (plan.channels, plan.threads, plan.blocks) == (1, 32, 256)


def test_step_cells_with_many_lanes_use_wide_ones():
    plan = step_calls.make_plan(StepProblem(512, 784, 1024, 4, 0, True))
    assert (plan.channels, plan.threads, plan.blocks, plan.chunks(784)) == (4, 128, 1024, 1)


def test_a_backward_pass_of_few_lanes_is_cut_in_time():
    """[8, 4096, 256]: 2,048 lanes are 64 warps, too few for 132 multiprocessors, and 16 times as
    many are two for each scheduler."""
    plan = step_calls.make_plan(StepProblem(8, 4096, 256, 4, 0, True))
    assert (plan.channels, plan.threads, plan.blocks, plan.chunk) == (1, 128, 16, 256)
    plan = step_calls.make_plan(StepProblem(1, 65536, 64, 4, 0, True))
    assert (plan.threads, plan.blocks, plan.chunk) == (64, 1, 256)


@pytest.mark.parametrize(
    ("shape", "may_cut"),
    [
        ((8, 4096, 256), False),  # a forward pass, or one from checkpoints
        (
            (32, 784, 256),
            True,
        ),  # four times as many threads would gain less than reading twice costs
        ((1, 800, 64), True),  # chunks would be short, or few
    ],
)
def test_others_are_not(shape, may_cut):
    assert step_calls.make_plan(StepProblem(*shape, 4, 0, may_cut)).chunks(shape[1]) == 1


def test_a_workspace_stays_in_cache():
    """Of 2^20 channels, 32 steps of 3 float32 values each would be 400 MB; only so many are in
    work that they take half the cache."""
    plan = step_calls.make_plan(StepProblem(1024, 1000, 1024, 4, 32 * 12, False))
    assert plan.blocks < 1024 * 1024 // (plan.threads * plan.channels)
    assert (
        plan.blocks * plan.threads * plan.channels * 32 * 12 <= 25 << 20
        or plan.blocks * plan.threads <= 132 * 256
    )


@given(
    B=st.integers(0, 1 << 20),
    T=st.integers(0, 1 << 40),
    C=st.integers(1, 1 << 20),
    channels=st.sampled_from([2, 4]),
    workspace=st.sampled_from([0, 8, 12 * 32, 1 << 30]),
    multiprocessors=st.integers(1, 200),
    cache=st.integers(0, 1 << 27),
    may_cut=st.booleans(),
)
def test_every_step_plan_can_be_run(B, T, C, channels, workspace, multiprocessors, cache, may_cut):
    problem = StepProblem(B, T, C, channels, workspace, may_cut and workspace == 0)
    plan = step_calls.make_plan(problem, (multiprocessors, cache))
    assert step_is_valid(plan, problem)
    resident, chunks = plan.blocks * plan.threads, plan.chunks(T)
    if chunks > 1:  # only for want of threads, and not for little
        assert problem.may_cut
        assert 8 <= chunks <= 256
        assert plan.chunk >= 128
        assert max(1, B) * C * max(chunks, 16) <= 256 * multiprocessors
    assert (
        workspace == 0
        or resident * plan.channels * workspace <= cache // 2
        or resident < 256 * multiprocessors + plan.threads
    )


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ((3, 32, 99, 10), "a width of lanes that no kernel has"),
        ((1, 48, 99, 10), "half a warp"),
        ((1, 256, 99, 10), "larger blocks than the kernels are compiled for"),
        ((1, 32, 1, 10), "lanes without a thread"),
        ((4, 32, 0, 10), "no blocks"),
        ((1, 32, 99, 0), "chunks without steps"),
        ((4, 32, 99, 5), "chunks of wide lanes"),
    ],
)
def test_step_plans_that_cannot_be_run(plan, why):
    assert not step_is_valid(StepPlan(*plan), StepProblem(3, 10, 64, 4, 0, True)), why


def test_a_pass_that_may_not_be_cut_is_not():
    assert step_is_valid(StepPlan(1, 32, 99, 5), StepProblem(3, 10, 64, 4, 0, True))
    assert not step_is_valid(StepPlan(1, 32, 99, 5), StepProblem(3, 10, 64, 4, 0, False))


def test_the_model_knows_the_tiles_and_predicts_shares():
    """benchmarks/gpu/model.py asks the kernels' own rule, with streams that it counts itself;
    and names kernels as the table does."""
    for op in (op for op in OPS.values() if not CELLS[op.cell].sequential and not op.complex):
        runner = calls.Runner(testing.random_call(op.cell, 1, 1, 4), calls.load())
        tiles = [
            model.plans().lrnn_affine_tile(model.accesses(op, backward), 4)
            for backward in (False, True)
        ]
        assert tiles == runner.tiles[::2], op.name
    for op in MEASURED.values():
        for shape in predictions.SHAPES:
            for dtype in (torch.float32, torch.bfloat16):
                for backward in (False, True):
                    assert 0 < model.predict(op, shape, dtype, backward).share <= 1
    for name in model.MATRIX_KERNELS:
        row, options = model.MATRIX_KERNELS[name]
        call = testing.random_call(row.name, 1, 1, 4, options=dict(options) or None)
        runner = matrix_calls.Runner(call, calls.load())
        assert model.late_terms(name) == runner.late_terms()
        for shape in predictions.MATRIX_SHAPES:
            layout, seconds = model.predict_matrix(name, shape)
            runner.shape = shape
            assert bytes(layout) == bytes(runner.layout(model.H100.multiprocessors))
            assert layout.blocks == 1 or layout.blocks * layout.groups <= model.H100.multiprocessors
            assert seconds > shape[1] * 0.25e-6


@pytest.mark.parametrize("name", SAVE_EVERY_STEP)
@pytest.mark.parametrize("lanes", [1, 64, 500, 2000, 2112, 2113])
@pytest.mark.parametrize("T", [1024, 4096, 65536])
def test_time_is_cut_where_the_model_says_that_it_gains(name, lanes, T):
    """Predicted, as all of it."""
    for dtype in (torch.float32, torch.bfloat16):
        cut, whole = (
            model.predict(OPS[name], (1, T, lanes), dtype, True, may_cut)
            for may_cut in (True, False)
        )
        assert cut.seconds == whole.seconds or cut.seconds < 0.9 * whole.seconds


def test_long_scans_of_few_lanes_are_predicted_within_the_goal():
    """1.6 times the time of their bytes."""
    for op in (op for op in MEASURED.values() if not CELLS[op.cell].sequential):
        for backward in (False, True):
            share = model.predict(op, (1, 65536, 64), torch.float32, backward).share
            assert share >= 1 / 1.6, (op.name, backward)
