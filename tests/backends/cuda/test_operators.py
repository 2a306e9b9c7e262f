"""The operators of the CUDA backend for CPU tensors, on the executor: the public functions through
the very binding that a GPU runs.

What the binding alone decides is seen here: shapes, strides, packed inputs, partial sums,
workspaces, saved states, errors, and that no element of an output is left unwritten (new tensors
are NaN). What remains for a GPU is its device guard and stream.
"""

import ctypes
from dataclasses import replace

import pytest
import torch
from torch.func import grad, vmap

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.backends import cuda, operators
from lrnn_kernels.cells import CELLS
from tests.conftest import CHANNELS, FEATURES, GRID, VARIANTS, assert_same, check, over
from tests.maps import MAPPED, check_map

WITH_MATRICES = [(cell, options) for cell, options in VARIANTS if CELLS[cell].matrices]

pytestmark = pytest.mark.usefixtures("cuda_on_cpu")


def test_every_kernel_is_served():
    assert cuda.state.kernels == set(operators.KERNELS)


@over(("cell", "options", "dtype"), GRID)
def test_values_and_gradients(cell, options, dtype):
    number = GRID.index((cell, options, dtype))
    h0, reset, h_reset, reverse, per_batch = FEATURES[number % len(FEATURES)]
    features = {
        "h0": h0,
        "reset": reset,
        "h_reset": h_reset,
        "reverse": reverse,
        "per_batch": per_batch,
    }
    packed = number % 3 == 0 and len(CELLS[cell].inputs) > 1
    C = CHANNELS[(3 * number + number // 7) % len(CHANNELS)]
    check(
        testing.random_call(
            cell, 2, 37, C, dtype=dtype, options=options, packed=packed, seed=number, **features
        ),
        "cuda",
    )


@pytest.mark.parametrize("T", [0, 53])
@over(("cell", "options", "dtype"), MAPPED)
def test_maps(cell, options, dtype, T):
    """Of a sequence as a whole, in as many chunks as this test's plan cuts it."""
    number = MAPPED.index((cell, options, dtype))
    h0, reset, h_reset, reverse, per_batch = FEATURES[number % len(FEATURES)]
    states = {"h0": h0, "reset": reset, "h_reset": h_reset, "per_batch": per_batch}
    C = CHANNELS[number % len(CHANNELS)]
    call = testing.random_call(
        cell, 2, T, C, dtype=dtype, options=options, reverse=reverse, **states
    )
    check_map(call, "cuda")


@pytest.mark.parametrize("T", [0, 1, 53])
def test_maps_of_many_lanes(T, operators_on_executor):
    """Where a pass has blocks of more lanes than a warp."""
    library, _ = operators_on_executor
    library.library.lrnn_gpu_set_bytes_in_flight(ctypes.c_int64(1))
    call = testing.random_call("min_gru", 3, T, 130, dtype=torch.float64)
    lanes, *_ = torch.ops.lrnn_on_executor.plan("min_gru", list(call.inputs), [], False, [])
    assert lanes > 32
    check_map(call, "cuda")


@pytest.mark.parametrize("T", [0, 1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_short_sequences(cell, T):
    check(
        testing.random_call(
            cell, 2, T, 5, dtype=CELLS[cell].dtypes[0], h0=True, reset=True, h_reset="shared"
        ),
        "cuda",
    )


@over(
    ("cell", "options"),
    [(cell, options) for cell, options in VARIANTS if CELLS[cell].kernels[0].engine == "step"],
)
def test_backward_passes_that_are_cut_in_time(cell, options):
    """1,100 steps of 6 lanes are 9 chunks: each has a slot of partial sums."""
    for h_reset in ("shared", "per_batch"):
        features = {
            "h0": True,
            "reset": True,
            "h_reset": h_reset,
            "per_batch": h_reset == "per_batch",
        }
        check(
            testing.random_call(
                cell, 2, 1100, 3, dtype=torch.float64, options=options or None, **features
            ),
            "cuda",
        )


@pytest.mark.parametrize("cell", CELLS)
def test_no_batch(cell):
    result = testing.run(
        testing.random_call(cell, 0, 5, 4, dtype=CELLS[cell].dtypes[0], reset=True), "cuda"
    )
    assert result["y"].shape[0] == 0
    assert all(not x.isnan().any() for x in result.values())


@pytest.mark.parametrize("cell", CELLS)
def test_time_major_outputs(cell):
    """Outputs take the order of the first input, as on the CPU."""
    dtype = CELLS[cell].dtypes[0]
    call = testing.random_call(cell, 3, 6, 8, dtype=dtype)
    moved = tuple(x.transpose(0, 1).contiguous().transpose(0, 1) for x in call.inputs)
    got = testing.run(replace(call, inputs=moved), "cuda")
    assert got["y"].stride(0) < got["y"].stride(1)
    assert_same(got, testing.run(call, "cuda"))


@over(("cell", "options"), WITH_MATRICES)
def test_matrices_that_no_blocks_hold(cell, options):
    call = testing.random_call(cell, 1, 2, 257, options=options or None)
    with pytest.raises(NotImplementedError, match=r"holds up to 256 channels, got 257"):
        testing.run(call, "cuda")
    name = call.kernel.name
    with pytest.raises(
        RuntimeError, match=f"{name}: the CUDA kernel holds matrices of up to 256 channels, got 257"
    ):
        getattr(torch.ops.lrnn_on_executor, name)(
            list(call.inputs), list(call.params), [], None, None, None, False, True
        )


@over(("cell", "options"), WITH_MATRICES)
def test_matrices_that_several_blocks_hold(cell, options, operators_on_executor):
    """By a group that takes batch elements in turn; sums of elements have a row each."""
    set_multiprocessors = operators_on_executor[0].library.lrnn_gpu_set_multiprocessors
    features = {"h0": True, "reset": True, "per_batch": True}
    set_multiprocessors(ctypes.c_int64(8))
    try:
        for number, h_reset in enumerate(("shared", "per_batch")):
            call = testing.random_call(
                cell,
                5,
                4,
                200,
                options=options or None,
                h_reset=h_reset,
                packed=number == 1,
                **features,
            )
            check(call, "cuda")
    finally:
        set_multiprocessors(ctypes.c_int64(132))


@over(("cell", "options"), WITH_MATRICES)
def test_matrices_that_this_device_cannot_hold(cell, options, operators_on_executor):
    """A group's blocks wait for one another, so all of them must run."""
    set_multiprocessors = operators_on_executor[0].library.lrnn_gpu_set_multiprocessors
    call = testing.random_call(cell, 1, 2, 200, options=options or None)
    blocks = 4 if sum(call.kernel.blocks) <= 2 else 7  # of 64 channels, or of 32
    set_multiprocessors(ctypes.c_int64(blocks - 1))
    try:
        with pytest.raises(
            RuntimeError,
            match=f"{call.kernel.name}: the CUDA kernel holds 200 channels in {blocks} "
            f"multiprocessors, this device has {blocks - 1}",
        ):
            testing.run(call, "cuda")
    finally:
        set_multiprocessors(ctypes.c_int64(132))


def test_the_bmru_saves_bits():
    c, alpha = torch.randn(2, 40, 5), torch.rand(5)
    saved = torch.ops.lrnn_on_executor.bmru(
        [c, c], [alpha], [0.0, 1.0], None, None, None, False, True
    )[2]
    assert saved.shape == (2, 3, 5)
    assert "last write wins" in str(lrnn_kernels.explain("bmru", c, c, alpha, backend="cuda"))


def test_vmap_and_grad():
    k, v = torch.randn(3, 2, 7, 5), torch.randn(3, 2, 7, 5)

    def loss(k, v, backend):
        return lrnn_kernels.min_gru(k, v, backend=backend)[0].square().sum()

    got = vmap(grad(lambda k, v: loss(k, v, "cuda")))(k, v)
    expected = vmap(grad(lambda k, v: loss(k, v, "cpu")))(k, v)
    torch.testing.assert_close(got, expected)


def test_fakes_agree():
    """The operator's fake makes the shapes, strides and types that the operator makes."""
    k, v = (torch.randn(2, 7, 5, requires_grad=True) for _ in range(2))
    arguments = ([k, v], [], [], None, None, None, False, True)
    torch.library.opcheck(
        torch.ops.lrnn_on_executor.min_gru.default,
        arguments,
        test_utils=("test_schema", "test_faketensor"),
    )


def test_errors_name_the_cell():
    a, b = torch.rand(1, 2, 3), torch.rand(1, 2, 3)
    op = torch.ops.lrnn_on_executor.linear
    with pytest.raises(RuntimeError, match="linear: input 1 differs from input 0"):
        op([a, b[..., :2]], [], [], None, None, None, False, True)
    for name in operators.KERNELS:
        with pytest.raises(RuntimeError, match=f"{name}: got no inputs"):
            getattr(torch.ops.lrnn_on_executor, name)([], [a], [0.0], None, None, None, False, True)


def test_explain_shows_the_launch():
    a = torch.rand(4, 100, 64)
    text = str(lrnn_kernels.explain("linear_scan", a, a, backend="cuda"))
    assert "backend 'cuda', because asked for by name" in text
    assert "block(s) of" in text
    u, w = torch.rand(4, 10, 8), torch.rand(8, 8)
    assert "step by step" in str(
        lrnn_kernels.explain("src", u, torch.full((8,), -5.0), backend="cuda")
    )
    of_one = "4 group(s) of 1 block(s) that share the channels of 1 batch element(s) at a time"
    assert of_one in str(lrnn_kernels.explain("nbrc", u, u, u, w, w, backend="cuda"))
    u, w = torch.rand(70, 10, 200), torch.rand(200, 200)
    of_four = "24 group(s) of 4 block(s) that share the channels of 3 batch element(s) at a time"
    assert of_four in str(lrnn_kernels.explain("nbrc", u, u, u, w, w, backend="cuda"))
    w = torch.rand(800, 200)
    of_four = "18 group(s) of 7 block(s) that share the channels of 4 batch element(s) at a time"
    assert of_four in str(lrnn_kernels.explain("lstm", u, u, u, u, w, backend="cuda"))
