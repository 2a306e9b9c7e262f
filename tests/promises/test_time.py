"""Time may be cut anywhere: by the caller into pieces, by the kernels into chunks over threads,
or into single steps."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS, KERNELS
from tests.conftest import GRID, VARIANTS, assert_same, over

pytestmark = pytest.mark.usefixtures("poisoned")

#: What can be split in time.
AFFINE = [(cell, options) for cell, options in VARIANTS if not CELLS[cell].sequential]

LONG = {
    "B": 1,
    "T": 12800,
    "C": 16,
}  # one long thin sequence: split in time on three threads, however few cores there are


def _dtype(cell: str) -> torch.dtype:
    return torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64


def _assert_close(got: dict, expected: dict, call: testing.Call) -> None:
    """Within what each may be from the reference; in 16 bit both are rounded, which may part
    them by a whole step."""
    for error in testing.compare(call, got, expected):
        assert error.error <= error.allowed * (2 if call.dtype in testing.HALVES else 1), error


def _in_pieces(call: testing.Call, cuts: list[int], backend: str) -> dict[str, torch.Tensor]:
    """The call run piece by piece, h0 of each piece the h_last of the one before; gradients
    through all of it."""
    leaves = {name: x.detach().requires_grad_() for name, x in call.tensors().items()}
    names = ("packed",) if call.packed else call.entry.inputs
    T = call.dy.shape[1]
    bounds = list(zip([0, *cuts], [*cuts, T], strict=True))
    h, ys = leaves.get("h0"), []
    for start, stop in reversed(bounds) if call.reverse else bounds:
        part = {name: (x[:, start:stop] if name in names else x) for name, x in leaves.items()}
        piece = replace(call, reset=None if call.reset is None else call.reset[:, start:stop])
        y, h = piece.apply(backend, **(part | ({} if h is None else {"h0": h})))
        ys.append(y)
    y = torch.cat(ys[::-1] if call.reverse else ys, 1)
    grads = torch.autograd.grad(
        [y, h], list(leaves.values()), [call.dy, call.dh_last], materialize_grads=True
    )
    return {"y": y.detach(), "h_last": h.detach()} | {
        f"d_{name}": g for name, g in zip(leaves, grads, strict=True)
    }


@over(("cell", "options"), VARIANTS)
@given(data=st.data())
def test_pieces_equal_the_whole(cell, options, data):
    """h0 <- h_last: bit for bit, states, streams' gradients and all; sums over time only up to
    the rounding of their order."""
    B, T, C = (
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(0, 140)),
        data.draw(st.integers(1, 40)),
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, T), max_size=4)))
    features = {"reset": data.draw(st.booleans()), "reverse": data.draw(st.booleans())}
    features["h_reset"] = data.draw(st.sampled_from(["shared", "per_batch", None]))
    dtype = data.draw(st.sampled_from(CELLS[cell].dtypes))
    call = testing.random_call(cell, B, T, C, dtype=dtype, options=options, **features)
    # A parameter in 16-bit calls is float32, and so is the sum of its gradients over pieces.
    got, expected = _in_pieces(call, cuts, "auto"), testing.run(call)
    sums = {f"d_{name}" for name in (*call.entry.params, "h_reset")} & got.keys()
    assert_same(
        {k: v for k, v in got.items() if k not in sums},
        {k: v for k, v in expected.items() if k not in sums},
    )
    _assert_close(got, expected, call)


@over("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.complex128])
@pytest.mark.parametrize(
    "features",
    [{}, {"reset": True, "h_reset": "per_batch"}, {"reset": True, "reverse": True}],
    ids=["plain", "reset", "reverse"],
)
@over(("cell", "options"), AFFINE)
def test_time_split_over_threads(cell, options, features, dtype):
    """A sequence cut in chunks over three threads is the sequence run whole, up to one rounding of
    the carry per chunk.

    The whole, on one thread, is compared with the float64 reference elsewhere; a shorter split one
    is, below.
    """
    if dtype not in CELLS[cell].dtypes:
        dtype = torch.float64 if dtype.is_complex else torch.complex64
    long = LONG | {"T": LONG["T"] * 2 if dtype in testing.HALVES else LONG["T"]}
    call = testing.random_call(cell, **long, dtype=dtype, options=options, **features)
    with testing.threads(3):
        for backward in (False, True):
            plan = torch.ops.lrnn_kernels.plan(
                call.kernel.name, list(call.inputs), list(call.params), backward
            )
            assert plan[0] > 1
            assert plan[2] < call.dy.shape[1]
        got = testing.run(call)
        assert_same(testing.run(call), got)  # who takes which chunk changes nothing
    with testing.threads(1):
        expected = testing.run(call)
    _assert_close(got, expected, call)


@over(("cell", "options"), AFFINE)
def test_time_split_against_the_reference(cell, options):
    for number, features in enumerate(({"h0": False}, {"reset": True, "reverse": True})):
        call = testing.random_call(
            cell, 1, 385 + 5 * number, 512, dtype=_dtype(cell), options=options, **features
        )
        with testing.threads(3):
            plan = torch.ops.lrnn_kernels.plan(
                call.kernel.name, list(call.inputs), list(call.params), True
            )
            assert plan[2] < call.dy.shape[1]
            for error in testing.check_call(call, "cpu"):
                assert error.ok, error


@over(("cell", "options"), AFFINE)
def test_two_threads_do_not_split_time(cell, options):
    """Every input would be read twice: one thread is as fast, and rounds nothing between pieces."""
    call = testing.random_call(cell, **LONG, dtype=_dtype(cell), options=options)
    with testing.threads(2):
        for backward in (False, True):
            plan = torch.ops.lrnn_kernels.plan(
                call.kernel.name, list(call.inputs), list(call.params), backward
            )
            assert (plan[0], plan[2]) == (1, LONG["T"])


def test_time_split_of_split_and_packed_streams():
    """Two planes of a complex carry, and three streams in one buffer."""
    calls = [
        testing.random_call(
            "lru", **LONG, dtype=torch.float32, split=True, reset=True, reverse=reverse
        )
        for reverse in (False, True)
    ]
    calls += [testing.random_call("alpha_bmru", **LONG, packed=True, reset=True)]
    for call in calls:
        with testing.threads(3):
            got = testing.run(call)
        with testing.threads(1):
            expected = testing.run(call)
        _assert_close(got, expected, call)


@pytest.mark.parametrize(
    "shape", [(8, 128, 256), (1, 40, 8200), (3, 1000, 64), (2, 5, 37)], ids=str
)
@over(
    ("cell", "options"), [(cell, options) for cell, options in VARIANTS if not CELLS[cell].matrices]
)
def test_threads_over_batch_and_channels_change_nothing(cell, options, shape):
    """Bit for bit where a lane is one thread's own work; and the same bits every time."""
    call = testing.random_call(cell, *shape, dtype=_dtype(cell), options=options, reset=True)
    plan = torch.ops.lrnn_kernels.plan(call.kernel.name, list(call.inputs), list(call.params), True)
    assert plan[2] == shape[1]
    with testing.threads(1):
        one = testing.run(call)
    for _ in range(2):
        assert_same(testing.run(call), one)


@over(
    ("cell", "options", "dtype"),
    [
        (cell, options, dtype)
        for cell, options in VARIANTS
        if CELLS[cell].matrices
        for dtype in CELLS[cell].dtypes
    ],
)
@pytest.mark.parametrize("shape", [(1, 9, 300), (3, 40, 150), (5, 200, 96), (70, 9, 33)], ids=str)
def test_threads_over_the_batch_of_matrix_products(shape, cell, options, dtype):
    """A batch element's values and gradients are the same on any thread; those of parameters are
    sums of each thread's, the same every time."""
    call = testing.random_call(cell, *shape, dtype=dtype, options=options, reset=True)
    with testing.threads(1):
        one = testing.run(call)
    two = testing.run(call)
    _assert_close(two, one, call)
    sums = {f"d_{name}" for name in (*CELLS[cell].params, "h_reset")}
    for name in one.keys() - sums:
        assert testing.bits_equal(one[name], two[name]), name
    assert_same(testing.run(call), two)


@over(("cell", "options", "dtype"), GRID)
def test_steps_equal_the_scan(cell, options, dtype, backend):
    """Streaming: one step at a time, the state handed on, gives the values and gradients of the
    scan."""
    call = testing.random_call(cell, 3, 6, 19, dtype=dtype, options=options, reset=True).to(
        testing.device_of(backend)
    )
    leaves = {name: x.detach().requires_grad_() for name, x in call.tensors().items()}
    step = testing.public(cell, "_step")
    h, ys = leaves["h0"], []
    for t in range(6):
        given = {
            name: (x[:, t] if name in call.entry.inputs else x)
            for name, x in leaves.items()
            if name not in ("h0", "h_reset")
        }
        y, h = step(
            **given,
            **testing.accepted(cell, options),
            h=h,
            reset=call.reset[:, t],
            h_reset=leaves["h_reset"],
            backend=backend,
        )
        assert y.shape == (3, 19)
        assert h.shape == leaves["h0"].shape
        ys.append(y)
    grads = torch.autograd.grad(
        [torch.stack(ys, 1), h], list(leaves.values()), [call.dy, call.dh_last]
    )
    got = {"y": torch.stack(ys, 1), "h_last": h} | {
        f"d_{name}": g for name, g in zip(leaves, grads, strict=True)
    }
    expected = testing.run(call, backend)
    _assert_close(got, expected, call)
    assert_same(
        {"y": got["y"], "h_last": got["h_last"]}, {"y": expected["y"], "h_last": expected["h_last"]}
    )


@over(("cell", "options"), VARIANTS)
def test_a_step_from_nothing(cell, options, backend):
    """h is zero by default, and reset has the shape (B,)."""
    call = testing.random_call(cell, 2, 1, 5, dtype=_dtype(cell), options=options, h0=False).to(
        testing.device_of(backend)
    )
    given = {
        name: (x[:, 0] if name in call.entry.inputs else x) for name, x in call.tensors().items()
    }
    y, _ = testing.public(cell, "_step")(
        **given, **testing.accepted(cell, options), backend=backend
    )
    assert torch.equal(y, testing.run(call, backend)["y"][:, 0])


@pytest.mark.parametrize(
    "kernel", sorted(name for name, kernel in KERNELS.items() if kernel.engine != "matrix")
)
@given(data=st.data())
def test_plans(kernel, data):
    """What every plan keeps: bounded rows, chunks of whole words and flushes, no second thread
    for little work."""
    B, T, C = (
        data.draw(st.integers(0, 9)),
        data.draw(st.integers(0, 50000)),
        data.draw(st.integers(1, 5000)),
    )
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    backward = data.draw(st.booleans())
    x = torch.empty(1, 1, C, dtype=dtype).expand(B, T, C)  # a plan reads shapes only
    carry = torch.float32 if dtype == torch.bfloat16 else dtype
    row = KERNELS[kernel]
    number = next(len(cell.params) for cell in CELLS.values() if row in cell.kernels)
    used, block, chunk, nontemporal = torch.ops.lrnn_kernels.plan(
        kernel, [x] * row.streams, [torch.empty(C, dtype=carry)] * number, backward
    )
    assert 1 <= used <= torch.get_num_threads()
    assert 1 <= block <= min(C, 4096 // carry.itemsize)
    assert block in (C, 4096 // carry.itemsize) or block % 64 == 0
    assert chunk % 64 == 0 or chunk == max(T, 1)
    # Streams read and written, those of saved states among them; a step cell's arithmetic takes as
    # long as 20 bytes.
    streams = row.streams * (2 if backward else 1) + 2
    element = max(dtype.itemsize * streams + 4 * row.saved, 20)
    if B * T * C * element < 2**20:
        assert used == 1
        assert chunk == max(T, 1)
        assert not nontemporal
    if nontemporal:
        assert C * dtype.itemsize % 64 == 0


@over(
    ("cell", "dtype"),
    [
        ("linear_scan", torch.float32),
        ("linear_scan", torch.complex64),
        ("bmru", torch.float32),
        ("bmru", torch.bfloat16),
        ("min_gru", torch.float16),
    ],
)
def test_stores_past_the_caches(cell, dtype):
    """An operator larger than the last-level cache streams its outputs; its pieces do not. The
    same bits, per engine and storage."""
    options = CELLS[cell].options
    B, T = 2, 2048
    C = 64 // dtype.itemsize * 16
    one = testing.random_call(cell, 1, 64, C, dtype=dtype, options=options)

    def large(x: torch.Tensor, times: int) -> torch.Tensor:
        return x.repeat(1, times, 1)

    per_step = C * dtype.itemsize * (len(one.inputs) + 1)
    plan, times = [0, 0, 0, 0], T // 64
    while not plan[3]:
        times *= 2
        assert times * 64 * per_step < 2**32, "no size switched to streamed stores"
        x = [x[:, :1].expand(B, times * 64, C) for x in one.inputs]
        plan = torch.ops.lrnn_kernels.plan(one.kernel.name, x, list(one.params), False)
    whole = replace(
        one,
        inputs=tuple(large(x, times).repeat(B, 1, 1) for x in one.inputs),
        h0=one.h0.repeat(B, 1),
    )
    whole = replace(
        whole, dy=large(one.dy, times).repeat(B, 1, 1), dh_last=one.dh_last.repeat(B, 1)
    )
    assert torch.ops.lrnn_kernels.plan(one.kernel.name, list(whole.inputs), list(one.params), True)[
        3
    ]
    got = testing.run(whole)
    with testing.threads(1):
        part = replace(
            one, inputs=tuple(large(x, times) for x in one.inputs), dy=large(one.dy, times)
        )
        parts = _in_pieces(part, [times * 64 * k // 8 for k in range(1, 8)], "cpu")
    for name, x in got.items():
        if x.dim() == 3:
            assert torch.equal(x[0], parts[name][0]), name
            assert torch.equal(x[1], parts[name][0]), name
