"""Every cell computes what the float64 reference computes: values, and the gradients of
everything."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.cell import REAL
from lrnn_kernels.cells import CELLS
from tests.conftest import CHANNELS, FEATURES, GRID, VARIANTS, assert_same, check, over

pytestmark = pytest.mark.usefixtures("poisoned")

#: Empty, one step, and the edges of a word of saved bits (32) and of a flush of parameter sums
#: (64).
TIMES = (0, 1, 31, 32, 33, 64, 65)


@pytest.mark.parametrize("T", TIMES)
@over(("cell", "options", "dtype"), GRID)
def test_values_and_gradients(cell, options, dtype, T, backend):
    """For any T and C, with states, resets and direction as they come."""
    number = GRID.index((cell, options, dtype))
    turn = TIMES.index(
        T
    )  # each combination meets another part of the lists: all pairs appear, not the whole product
    h0, reset, h_reset, reverse, per_batch = FEATURES[(number + turn) % len(FEATURES)]
    C = CHANNELS[(3 * number + turn) % len(CHANNELS)]
    call = testing.random_call(
        cell,
        3,
        T,
        C,
        dtype=dtype,
        options=options,
        h0=h0,
        reset=reset,
        h_reset=h_reset,
        reverse=reverse,
        per_batch=per_batch,
        seed=number,
    )
    check(call, backend)


@over(("cell", "options"), VARIANTS)
def test_every_channel_count_and_feature(cell, options, backend):
    """Every tail with every combination of states and resets, in float32."""
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    for C in CHANNELS:
        for h0, reset, h_reset, reverse, per_batch in FEATURES:
            states = {
                "h0": h0,
                "reset": reset,
                "h_reset": h_reset,
                "reverse": reverse,
                "per_batch": per_batch,
            }
            check(
                testing.random_call(cell, 2, 3, C, dtype=dtype, options=options, seed=C, **states),
                backend,
            )


@over("dtype", [torch.float32, torch.bfloat16])
@over(("cell", "options"), VARIANTS)
def test_long_sequences(cell, options, dtype, backend):
    if dtype not in CELLS[cell].dtypes:
        dtype = torch.complex64
    check(
        testing.random_call(
            cell, 1, 1000, 5, dtype=dtype, options=options, reset=dtype != torch.float32
        ),
        backend,
    )


@pytest.mark.parametrize("cell", [name for name, row in CELLS.items() if not row.sequential])
def test_longer_than_any_block(cell, backend):
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    check(testing.random_call(cell, 1, 4097, 3, dtype=dtype), backend)


@over(("cell", "options"), VARIANTS)
def test_channels_beyond_one_row_buffer(cell, options, backend):
    """A task carries 4 KiB of state; more channels are several tasks."""
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    check(
        testing.random_call(
            cell, 2, 5, 1030, dtype=dtype, options=options, reset=True, h_reset="per_batch"
        ),
        backend,
    )


@over(("cell", "options"), VARIANTS)
def test_no_batch(cell, options, backend):
    """B = 0 gives empty outputs, and zero gradients of what is shared."""
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    for T in (0, 5):
        result = testing.run(
            testing.random_call(cell, 0, T, 4, dtype=dtype, options=options, reset=True), backend
        )
        assert result["y"].shape == (0, T, 4)
        for name in CELLS[cell].params:
            assert torch.equal(result["d_" + name], torch.zeros_like(result["d_" + name]))


@pytest.mark.parametrize("missing", ["dy", "dh_last"])
@over(("cell", "options"), VARIANTS)
def test_one_incoming_gradient(cell, options, missing, backend):
    """A loss on y alone, or on h_last alone."""
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    check(
        replace(testing.random_call(cell, dtype=dtype, options=options, T=35), **{missing: None}),
        backend,
    )


GOLDEN = {  # published with the equations: c, beta below, alpha = 1, h0 = -1
    0.0: (-1, 1, 1, -1, -1, 1, 1, 1),
    1.0: (-1, 0, 0, -1, -1, 0, 1, 1),
    0.5: (-1, 0.5, 0.5, -0.75, -0.75, 0.625, 1.3125, 1.3125),
}


@pytest.mark.parametrize("eps", GOLDEN)
@over("dtype", REAL)
def test_golden_vectors(eps, dtype, backend):
    """Exact in every type: the numbers need few bits."""
    device = testing.device_of(backend)
    c = torch.tensor(
        [0.2, 1.5, -0.3, -2.0, 0.9, 1.2, 1.2, -0.1], dtype=dtype, device=device
    ).reshape(1, 8, 1)
    beta = torch.tensor([1, 1, 1, 1, -1, 1, 1, 1], dtype=dtype, device=device).reshape(1, 8, 1)
    alpha = torch.ones(1, device=device)
    states = {"h0": torch.full((1, 1), -1.0, device=device), "backend": backend}
    expected = torch.tensor(GOLDEN[eps], dtype=dtype, device=device)
    results = [
        lrnn_kernels.bmru(c, beta, alpha, eps=eps, **states),
        lrnn_kernels.bmru(c, beta, torch.ones_like(c), eps=eps, **states),
    ]
    results += [lrnn_kernels.cmru(c, beta, alpha, **states)] if eps == 1.0 else []
    for y, h_last in results:
        assert torch.equal(y.flatten(), expected)
        assert h_last.item() == GOLDEN[eps][-1]


def _loss_of_the_end(eps: float, backend: str, B: int = 3, T: int = 70, C: int = 21):
    call = testing.random_call("bmru", B, T, C, options={"eps": eps, "width": 1.0}).to(
        testing.device_of(backend)
    )
    c, beta, h0 = (x.detach().requires_grad_() for x in (*call.inputs, call.h0))
    _, h_last = lrnn_kernels.bmru(c, beta, call.params[0], eps=eps, h0=h0, backend=backend)
    h_last.sum().backward()
    return c, beta, h0


def test_a_written_latch_blocks_gradients(backend):
    """eps = 0: nothing before a unit's last update gets a gradient through its state."""
    c, beta, h0 = _loss_of_the_end(0.0, backend)
    update = c.abs() >= beta.abs()
    updates_later = update.flip(1).cumsum(1).flip(1) - update.int()
    before = updates_later > 0
    assert before.any()
    assert not c.grad[before].any()
    assert not beta.grad[before].any()
    assert c.grad[~before].any()
    assert torch.equal(h0.grad, (~update.any(1)).to(h0.dtype))


def test_a_staircase_passes_gradients_whole(backend):
    """eps = 1: dh_last/dh0 = 1, exactly."""
    _, _, h0 = _loss_of_the_end(1.0, backend)
    assert torch.equal(h0.grad, torch.ones_like(h0))


@over(
    ("cell", "options", "dtype"),
    [
        (cell, options, dtype)
        for cell, options, dtype in GRID
        if CELLS[cell].exact(options, in_one_piece=True)
    ],
)
def test_forward_equals_the_loop_bit_for_bit(cell, options, dtype, backend):
    """eps 0 and 1: a unit copies and adds, in the loop's order."""
    for T, C in ((1, 1), (33, 5), (129, 37), (40, 1030)):
        for reset, reverse in ((False, False), (False, True), (True, False)):
            call = testing.random_call(
                cell, 2, T, C, dtype=dtype, options=options, reset=reset, reverse=reverse, seed=T
            ).to(testing.device_of(backend))
            assert_same(
                testing.run(call, backend, gradients=False),
                testing.run(call, "reference", gradients=False),
            )


def _engines(call: testing.Call) -> tuple[dict, dict]:
    """The last-write-wins engine and the generic engine on one call, called as operators."""
    results = []
    for kernel in ("bmru", "hysteresis"):
        forward, backward = (
            getattr(torch.ops.lrnn_kernels, kernel + suffix) for suffix in ("", "_backward")
        )
        arguments = (
            list(call.inputs),
            list(call.params),
            [0.0, call.options["width"]],
            call.h0,
            None,
            None,
            call.reverse,
        )
        y, h_last, saved = forward(*arguments, True)
        states = saved if kernel == "bmru" else y
        dc, dbeta, dalpha, dh0, _ = backward(*arguments, states, call.dy, call.dh_last)
        results.append(
            {"y": y, "h_last": h_last, "d_c": dc, "d_beta": dbeta, "d_alpha": dalpha, "d_h0": dh0}
        )
    return results[0], results[1]


@over("dtype", REAL)
@pytest.mark.parametrize(
    "shape", [(3, 1, 5), (2, 31, 16), (2, 97, 37), (1, 64, 8), (1, 700, 512)], ids=str
)
def test_the_latch_engine_is_the_generic_engine(shape, dtype):
    """Bit for bit where both read the same numbers: forward always, backward in float32 and
    float64, whose saved states are not rounded.

    h0 is no multiple of alpha, a third of the channels is never written, and the last shape is
    split in time.
    """
    B, T, C = shape
    for reverse in (False, True):
        call = testing.random_call("bmru", B, T, C, dtype=dtype, reverse=reverse)
        call.inputs[1][..., ::3] = 100.0
        with testing.threads(3):
            latch, generic = _engines(call)
        if dtype in (torch.float32, torch.float64) and T < 700:
            assert_same(latch, generic)
        assert_same(latch, {name: generic[name] for name in ("y", "h_last")})
        for error in testing.compare(call, latch, generic):
            assert error.ok, error


def test_a_latch_without_gradients_saves_nothing():
    """One bit per element and the first writes are kept for a backward pass; nothing where none
    will follow."""
    call = testing.random_call("bmru", 2, 65, 8)
    for save, shape in ((True, (2, 4, 8)), (False, (0,))):
        saved = torch.ops.lrnn_kernels.bmru(
            list(call.inputs), list(call.params), [0.0, 1.0], None, None, None, False, save
        )[2]
        assert saved.shape == shape


@pytest.mark.parametrize("cell", ["bmru", "cmru", "alpha_bmru", "alpha_cmru"])
def test_a_nan_candidate_holds_the_state(cell, backend):
    """NaN is not at least any threshold: the comparison is false, the state stays, as in the
    reference."""
    call = testing.random_call(cell, 2, 40, 19).to(testing.device_of(backend))
    call.inputs[0][:, 3::5] = float("nan")
    call.inputs[1][:, 4::5] = float("nan")
    result = testing.run(call, backend, gradients=False)
    assert_same(result, testing.run(call, "reference", gradients=False))
    assert result["y"].isfinite().all()
    assert torch.equal(result["y"][:, 3::5], result["y"][:, 2:-1:5])


@over(("cell", "options"), VARIANTS)
def test_a_reset_stops_infinity(cell, options, backend):
    """0 times infinity is not computed: what happened before a reset does not leak, forward or
    backward."""
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    call = testing.random_call(cell, 2, 9, 19, dtype=dtype, options=options, reset=True).to(
        testing.device_of(backend)
    )
    call.reset[:] = False
    call.reset[:, 4] = True
    clean = testing.run(call, backend)
    call.h0[:] = float("inf")
    dirty = testing.run(call, backend)
    assert torch.equal(clean["y"][:, 4:], dirty["y"][:, 4:])
    assert torch.equal(clean["h_last"], dirty["h_last"])
    for name in call.entry.inputs:
        assert torch.equal(clean["d_" + name][:, 4:], dirty["d_" + name][:, 4:])
    call.h0[:] = 0.0  # a nonlinear cell is NaN until the reset otherwise
    call.dy[:, 5] = float("inf")
    assert testing.run(call, backend)["d_h0"].isfinite().all()


@over(("dtype", "ulps", "least"), [(torch.float32, 3, 1.2e-38), (torch.float64, 4, 2.3e-308)])
def test_the_sigmoid_is_within_a_few_ulp(dtype, ulps, least, backend):
    """One minGRU step from 0 with v = 1 is the sigmoid itself: down to the smallest normal
    number, in registers and in tails of rows."""
    low = torch.tensor(least, dtype=torch.float64).log().item()
    for k in (torch.linspace(low, -low, 4099), torch.linspace(-8, 8, 4099)):
        k = k.to(dtype)[None, None]
        y, _ = lrnn_kernels.min_gru(
            k.to(testing.device_of(backend)),
            torch.ones_like(k).to(testing.device_of(backend)),
            backend=backend,
        )
        exact = 1 / (1 + np.exp(-k.numpy().astype(np.longdouble)))
        ulp = np.spacing(exact.astype(y.cpu().numpy().dtype)).astype(np.longdouble)
        assert (np.abs(y.cpu().numpy().astype(np.longdouble) - exact) / ulp).max() <= ulps


@over("dtype", [torch.float32, torch.float64])
def test_the_sigmoid_at_its_ends(dtype, backend):
    far = 100.0 if dtype == torch.float32 else 750.0
    k = torch.tensor(
        [float("inf"), 1e30, far, -far, -1e30, -float("inf"), float("nan")], dtype=dtype
    ).repeat(9)[None, None]
    y, _ = lrnn_kernels.min_gru(
        k.to(testing.device_of(backend)),
        torch.ones_like(k).to(testing.device_of(backend)),
        backend=backend,
    )
    one, zero, nan = y.cpu().view(9, 7)[:, :3], y.cpu().view(9, 7)[:, 3:6], y.cpu().view(9, 7)[:, 6]
    assert (one == 1).all()
    assert (zero == 0).all()
    assert nan.isnan().all()


@over(("cell", "options"), VARIANTS)
def test_a_call_without_gradients_is_the_same(cell, options):
    """At the second of its kind, too, which is run without its checks; and errors are the same."""
    call = testing.random_call(
        cell, 2, 9, 5, dtype=CELLS[cell].dtypes[0], options=options or None, reset=True
    )
    expected = call.apply("cpu")
    with torch.no_grad():
        for _ in range(3):
            assert all(map(torch.equal, call.apply("cpu"), expected))
        other = replace(call, inputs=tuple(x + 1 for x in call.inputs))
        assert not all(map(torch.equal, other.apply("cpu"), expected))
        with pytest.raises(ValueError, match="must have shape"):
            call.apply("cpu", h0=call.h0[:, 1:])
