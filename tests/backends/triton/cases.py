"""What the Triton kernels promise, in cases small enough for Triton's interpreter, which takes
about 10 ms a step.

test_triton.py runs this file in a process of its own with TRITON_INTERPRET=1; on a GPU it runs
there as it is. The interpreter truncates where hardware rounds to bfloat16: such values may be off
by twice as much there.
"""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.backends import choose
from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.cell import REAL
from lrnn_kernels.cells import CELLS
from lrnn_kernels.cells.src import OPTIONS as SRC_OPTIONS
from tests.backends.triton.wrong_cells import WRONG
from tests.conftest import FEATURES, GRID, VARIANTS, assert_same, over

DEVICE = testing.device_of("triton")
SERVED = [(cell, options) for cell, options in VARIANTS if cell != "nbrc"]
AFFINE = [(cell, options) for cell, options in SERVED if not CELLS[cell].sequential]
TYPES = [(cell, options, dtype) for cell, options, dtype in GRID if (cell, options) in SERVED]
#: The SRC has ten option sets, which differ in a formula: of the step cells one for each way of
#: saving takes every feature, the others one each.
STEPS = [
    next(
        (cell, options)
        for cell, options in SERVED
        if cell == name and options.get("memory") == memory
    )
    for name, memory in (("src", "states"), ("src", 5), ("brc", None))
]
ALL_CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)
#: The largest error of Triton's tanh, in units of the last place; see elementary.py.
TANH_ULPS = {torch.float32: 6, torch.float64: 3}

#: Empty, one step, and the edges of a group of steps (4 and 8).
TIMES = (0, 1, 3, 4, 5, 8, 9, 17)
#: With and without tails.
CHANNELS = (1, 3, 8, 17, 33)


@pytest.fixture(autouse=True)
def poisoned():
    """Every output buffer starts as NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def _features(number: int) -> dict:
    return dict(
        zip(
            ("h0", "reset", "h_reset", "reverse", "per_batch"),
            FEATURES[number % len(FEATURES)],
            strict=True,
        )
    )


def _dtype(cell: str) -> torch.dtype:
    return torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64


def _allowed(error: testing.Error, call: testing.Call) -> float:
    return error.allowed * (
        2 if call.dtype == torch.bfloat16 and triton_backend.interpreted() else 1
    )


def _check(call: testing.Call) -> None:
    """Values and all gradients are those of the float64 reference, and of the CPU kernels."""
    call = call.to(DEVICE)
    got = testing.run(call, "triton")
    expected = testing.run(call.to("cpu").double(), "reference")
    for error in testing.compare(call, got, expected):
        assert error.error <= _allowed(error, call), error
    for error in testing.compare(call, got, testing.run(call.to("cpu"), "cpu")):
        assert error.error <= _allowed(error, call) + error.allowed, error


@over(("cell", "options", "dtype"), TYPES)
def test_values_and_gradients(cell, options, dtype):
    """Lengths, widths, states, resets and direction in turn, not the whole product: a variant's
    own features are the next test."""
    number = TYPES.index((cell, options, dtype))
    T, C = TIMES[number % len(TIMES)], CHANNELS[3 * number % len(CHANNELS)]
    _check(
        testing.random_call(
            cell, 2, T, C, dtype=dtype, options=options, seed=number, **_features(number)
        )
    )


@over("dtype", [torch.float32, torch.float64, torch.complex128])
def test_more_channels_than_a_tile_has(dtype):
    """128 channels in single, 64 in double precision, 32 complex ones in double: a whole tile
    and a tail."""
    _check(testing.random_call("linear_scan_per_channel", 2, 5, 130, dtype=dtype, reset=True))


@pytest.mark.parametrize("number", range(len(FEATURES)))
@over(("cell", "options"), [*AFFINE, *STEPS])
def test_every_feature(cell, options, number):
    _check(
        testing.random_call(
            cell, 2, 9, 5, dtype=_dtype(cell), options=options, seed=number, **_features(number)
        )
    )


@over("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", [0, 6])
def test_split_storage(dtype, number):
    _check(testing.random_call("lru", 2, 11, 6, dtype=dtype, split=True, **_features(number)))


@pytest.mark.parametrize("cell", ["linear_scan", "bmru", "alpha_bmru", "min_gru", "brc"])
def test_packed_streams(cell):
    """One tensor in, one gradient out."""
    _check(testing.random_call(cell, 2, 9, 6, packed=True, reset=True))


@pytest.mark.parametrize("missing", ["dy", "dh_last"])
@over(("cell", "options"), [*AFFINE, *STEPS])
def test_one_incoming_gradient(cell, options, missing):
    _check(
        replace(
            testing.random_call(cell, 2, 9, 5, dtype=_dtype(cell), options=options, reset=True),
            **{missing: None},
        )
    )


@over("dtype", REAL)
@pytest.mark.parametrize("cell", ["bmru", "cmru", "alpha_bmru", "alpha_cmru"])
def test_forward_equals_the_loop_bit_for_bit(cell, dtype):
    """eps 0 and 1: a unit copies and adds, in the loop's order."""
    if dtype == torch.bfloat16 and triton_backend.interpreted():
        dtype = torch.float32  # see the module
    for reset, reverse in ((False, False), (False, True), (True, False)):
        call = testing.random_call(cell, 2, 19, 5, dtype=dtype, reset=reset, reverse=reverse).to(
            DEVICE
        )
        assert_same(
            testing.run(call, "triton", gradients=False),
            testing.run(call, "reference", gradients=False),
        )


@pytest.mark.parametrize("cell", ["bmru", "alpha_cmru"])
def test_a_nan_candidate_holds_the_state(cell):
    call = testing.random_call(cell, 2, 12, 7).to(DEVICE)
    call.inputs[0][:, 3::5] = float("nan")
    call.inputs[1][:, 4::5] = float("nan")
    assert_same(
        testing.run(call, "triton", gradients=False),
        testing.run(call, "reference", gradients=False),
    )


@over(("cell", "options"), [*AFFINE, *STEPS])
def test_a_reset_stops_infinity(cell, options):
    call = testing.random_call(cell, 2, 9, 5, dtype=_dtype(cell), options=options, reset=True).to(
        DEVICE
    )
    call.reset[:] = False
    call.reset[:, 4] = True
    clean = testing.run(call, "triton")
    call.h0[:] = float("inf")
    dirty = testing.run(call, "triton")
    assert torch.equal(clean["y"][:, 4:], dirty["y"][:, 4:])
    assert torch.equal(clean["h_last"], dirty["h_last"])


@over(("cell", "options"), [*AFFINE, *STEPS])
def test_pieces_equal_the_whole(cell, options):
    """h0 <- h_last: the same bits, and gradients through the seam."""
    cut, reverse = ((5, False), (8, True))[SERVED.index((cell, options)) % 2]
    call = testing.random_call(
        cell, 2, 11, 3, dtype=_dtype(cell), options=options, reset=True, reverse=reverse
    ).to(DEVICE)
    whole = testing.run(call, "triton")
    leaves = {name: x.detach().requires_grad_() for name, x in call.tensors().items()}
    h, ys = leaves["h0"], []
    for part in (slice(cut, None), slice(0, cut)) if reverse else (slice(0, cut), slice(cut, None)):
        piece = {
            name: (x[:, part] if name in call.entry.inputs else x) for name, x in leaves.items()
        }
        y, h = replace(call, reset=call.reset[:, part]).apply("triton", **piece | {"h0": h})
        ys.append(y)
    y = torch.cat(ys[::-1] if reverse else ys, 1)
    grads = torch.autograd.grad([y, h], list(leaves.values()), [call.dy, call.dh_last])
    got = {"y": y, "h_last": h} | {f"d_{name}": g for name, g in zip(leaves, grads, strict=True)}
    sums = {f"d_{name}" for name in (*call.entry.params, "h_reset")}
    assert_same(
        {k: x for k, x in got.items() if k not in sums},
        {k: x for k, x in whole.items() if k not in sums},
    )
    for error in testing.compare(call, got, whole):
        assert error.ok, error


STRIDED = {
    "time first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "slices of a wider tensor": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    "channels not last": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "every other step": lambda x: x.repeat_interleave(2, 1)[:, ::2],
}


@pytest.mark.parametrize("layout", STRIDED)
@pytest.mark.parametrize("cell", ["bmru", "lru", "brc"])
def test_strides(cell, layout):
    """Any strides of streams and incoming gradients give the bits of contiguous ones."""
    call = testing.random_call(cell, 2, 7, 6, dtype=_dtype(cell), reset=True).to(DEVICE)
    strided = replace(
        call, inputs=tuple(map(STRIDED[layout], call.inputs)), dy=STRIDED[layout](call.dy)
    )
    assert_same(testing.run(strided, "triton"), testing.run(call, "triton"))
    expanded = replace(call, dy=call.dy[:1, :1, :1].expand_as(call.dy))
    assert_same(
        testing.run(expanded, "triton"),
        testing.run(replace(call, dy=expanded.dy.contiguous()), "triton"),
    )


def test_conjugate_views():
    call = testing.random_call("lru", 2, 5, 3, dtype=torch.complex64).to(DEVICE)
    y, _ = lrnn_kernels.lru(call.inputs[0].conj(), call.params[0].conj(), backend="triton")
    expected, _ = lrnn_kernels.lru(
        call.inputs[0].conj().resolve_conj(), call.params[0].conj().resolve_conj(), backend="triton"
    )
    assert torch.equal(y, expected)


def test_strides_beyond_32_bits():
    """Rows more than 2^31 elements apart; the memory between them is never touched, so it is
    never there."""
    far, T, C = 2**31 + 64, 3, 5
    torch.use_deterministic_algorithms(False)  # which would fill it
    storage = torch.empty(far + T * C, dtype=torch.float32, device=DEVICE)
    x = storage.as_strided((2, T, C), (far, C, 1))
    x.copy_(torch.randn(2, T, C))
    a = torch.rand(2, T, C, device=DEVICE)
    assert torch.equal(
        *(lrnn_kernels.linear_scan(a, b, backend="triton")[0] for b in (x, x.clone()))
    )
    steps = storage.as_strided((1, 2, C), (0, far, 1))  # and in time
    assert torch.equal(
        *(lrnn_kernels.linear_scan(b, b, backend="triton")[0] for b in (steps, steps.clone()))
    )


@pytest.mark.parametrize(("T", "features"), [(16, 2), (37, 0), (19, 6)])
@over(("cell", "options"), AFFINE)
def test_time_cut_in_pieces(cell, options, T, features, monkeypatch):
    """Summaries, the run along them, and the pieces: what few lanes get on a GPU, forced here."""
    from lrnn_kernels.triton_kernels import launch

    plans = []

    def cut(*args):
        plans.append(make_plan(*args[:-1], 4))
        return plans[-1]

    make_plan = launch.make_plan
    monkeypatch.setattr(launch, "make_plan", cut)
    _check(
        testing.random_call(
            cell, 2, T, 3, dtype=_dtype(cell), options=options, seed=T, **_features(features)
        )
    )
    assert all(plan.chunks > 1 and plan.steps < T for plan in plans)


@over(
    ("T", "features", "chunks", "dtype"),
    [
        (0, 0, 1, torch.float32),
        (32, 3, 1, torch.float64),
        (40, 3, 1, torch.float32),
        (33, 0, 2, torch.float64),
        (70, 4, 2, torch.float32),
    ],
)
def test_saved_bits(T, features, chunks, dtype, monkeypatch):
    """At the edges of words and of pieces, what is saved is the CPU's to the bit, and gradients
    are those of the CPU's kernel."""
    from lrnn_kernels.triton_kernels import launch

    make_plan = launch.make_plan
    monkeypatch.setattr(launch, "make_plan", lambda *args: make_plan(*args[:-1], chunks))
    call = testing.random_call("bmru", 2, T, 3, dtype=dtype, seed=T, **_features(features))
    results = []
    for one, operators in (
        (call.to(DEVICE), torch.ops.lrnn_triton),
        (call, torch.ops.lrnn_kernels),
    ):
        args = (list(one.inputs), list(one.params), [0.0, 1.0], one.h0, None, None, one.reverse)
        outputs = operators.bmru(*args, True)
        results.append((outputs, operators.bmru_backward(*args, outputs[2], one.dy, one.dh_last)))
    for got, expected in zip(*(outputs for outputs, _ in results), strict=True):
        assert got.dtype == expected.dtype
        assert torch.equal(got.cpu(), expected)
    for got, expected in zip(*(gradients for _, gradients in results), strict=True):
        torch.testing.assert_close(got.cpu(), expected)
    args = (*args[:2], [0.0, 1.0], None, None, None, False)
    with pytest.raises(ValueError, match="states must be what was saved"):
        torch.ops.lrnn_triton.bmru_backward(*args, call.dy, call.dy, call.dh_last)


def test_sums_over_time_are_deterministic():
    call = testing.random_call("bmru", 5, 9, 6).to(DEVICE)
    assert_same(testing.run(call, "triton"), testing.run(call, "triton"))


def test_second_derivatives():
    """A linear scan's gradient is differentiated on the same backend, both modes."""
    a, b = (
        torch.rand(1, 3, 1, dtype=torch.float64, device=DEVICE, requires_grad=True)
        for _ in range(2)
    )
    scan = lambda a, b: lrnn_kernels.linear_scan(a, b, backend="triton")  # noqa: E731
    assert torch.autograd.gradcheck(scan, (a, b), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(scan, (a, b))


@pytest.mark.parametrize(
    ("gradient", "interval", "reverse"),
    [("full", 4, False), ("full", 5, True), ("detached", 9, False), ("full", 64, False)],
)
def test_checkpoints_change_no_bit(gradient, interval, reverse):
    """Intervals that are whole turns of the loop, that are not, and that end with the sequence
    or beyond it."""
    options = next(
        options for cell, options in SERVED if cell == "src" and options["gradient"] == gradient
    )
    call = testing.random_call("src", 2, 18, 5, options=options, reset=True, reverse=reverse).to(
        DEVICE
    )
    checkpointed = replace(call, options={**options, "memory": interval})
    assert_same(testing.run(checkpointed, "triton"), testing.run(call, "triton"))


def test_src_as_the_paper_has_it():
    """The paper's constants, which amplify rounding: it fires, and spikes are where those of
    float64 are."""
    u = torch.full((1, 60, 2), 0.29, dtype=torch.float64, device=DEVICE)
    bias = torch.tensor([-6.0, -4.0], dtype=torch.float64, device=DEVICE)
    y, _ = lrnn_kernels.src(u, bias, threshold=0.5, backend="triton")
    assert torch.equal(
        y.cpu(), lrnn_kernels.src(u.cpu(), bias.cpu(), threshold=0.5, backend="reference")[0]
    )
    assert y.sum() > 0


@over("dtype", list(TANH_ULPS))
def test_tanh(dtype):
    """Through a step of the BRC whose gate is 0, from denormal to saturated arguments."""
    wide = torch.cat(
        [
            torch.logspace(-300 if dtype == torch.float64 else -38, 1.5, 250, dtype=torch.float64),
            torch.linspace(0, 10, 250).double(),
        ]
    )
    x = torch.cat([wide, -wide]).to(dtype).view(1, 1, -1).to(DEVICE)
    y, _ = lrnn_kernels.brc(
        torch.zeros_like(x),
        torch.full_like(x, -1e4),
        x,
        *[torch.zeros_like(x[0, 0])] * 2,
        backend="triton",
    )
    expected = np.tanh(x.cpu().numpy().astype(np.longdouble))
    ulp = np.spacing(np.abs(expected).astype(x.cpu().numpy().dtype)).astype(np.longdouble)
    assert (np.abs(y.cpu().numpy().astype(np.longdouble) - expected) / ulp).max() <= TANH_ULPS[
        dtype
    ]


@over(("cell", "options"), [*AFFINE, *STEPS])
def test_batched_gradients_equal_a_loop(cell, options):
    """torch.autograd's own vmap, which is not torch.func's."""
    call = testing.random_call(cell, 1, 3, 2, dtype=_dtype(cell), options=options, reset=True).to(
        DEVICE
    )
    leaves = [x.detach().requires_grad_() for x in call.tensors().values()]
    outputs = call.apply("triton", **dict(zip(call.tensors(), leaves, strict=True)))
    given = [torch.stack([x, 2 * x]) for x in (call.dy, call.dh_last)]
    batched = torch.autograd.grad(outputs, leaves, given, is_grads_batched=True, retain_graph=True)
    expected = torch.autograd.grad(outputs, leaves, [call.dy, call.dh_last])
    torch.testing.assert_close(batched, tuple(torch.stack([x, 2 * x]) for x in expected))


def test_vmap_of_a_step_cell():
    u, bias = torch.randn(3, 2, 5, 4, device=DEVICE), torch.rand(3, 4, device=DEVICE)

    def loss(u, bias):
        return lrnn_kernels.src(u, bias, gradient="full", backend="triton")[0].square().sum()

    got = vmap(grad(loss, argnums=(0, 1)))(u, bias)
    for i in range(3):
        for g, expected in zip(got, grad(loss, argnums=(0, 1))(u[i], bias[i]), strict=True):
            torch.testing.assert_close(g[i], expected)


def test_vmap():
    c, beta = torch.randn(3, 2, 5, 4, device=DEVICE), torch.rand(3, 2, 5, 4, device=DEVICE)
    alpha = torch.rand(3, 4, device=DEVICE)

    def loss(c, beta, alpha):
        return lrnn_kernels.bmru(c, beta, alpha, backend="triton")[0].square().sum()

    got = vmap(grad(loss, argnums=(0, 1, 2)))(c, beta, alpha)
    for i in range(3):
        for g, expected in zip(
            got, grad(loss, argnums=(0, 1, 2))(c[i], beta[i], alpha[i]), strict=True
        ):
            torch.testing.assert_close(g[i], expected)


@pytest.mark.parametrize(("kernel", "states"), [("hysteresis", 0), ("bmru", 2)])
def test_opcheck(kernel, states):
    """states: which of the outputs the backward pass reads."""
    call = testing.random_call("bmru", 2, 5, 4, reset=kernel == "hysteresis").to(DEVICE)
    args = (
        list(call.inputs),
        list(call.params),
        [0.0, 1.0],
        call.h0,
        call.reset,
        call.h_reset,
        False,
    )
    forward, backward = (
        getattr(torch.ops.lrnn_triton, kernel + suffix).default for suffix in ("", "_backward")
    )
    torch.library.opcheck(forward, (*args, True))
    torch.library.opcheck(backward, (*args, forward(*args, True)[states], call.dy, call.dh_last))


@pytest.mark.parametrize("memory", ["states", 2])
def test_opcheck_of_a_step_cell(memory):
    call = testing.random_call(
        "src", 2, 5, 4, options={**SRC_OPTIONS, "memory": memory}, reset=True
    ).to(DEVICE)
    numbers = call.entry.numbers(call.options)
    args = (list(call.inputs), list(call.params), numbers, call.h0, call.reset, call.h_reset, False)
    forward, backward = (
        getattr(torch.ops.lrnn_triton, "src_detached" + suffix).default
        for suffix in ("", "_backward")
    )
    # Of the room for checkpoints the last is spare: never written, it equals nothing.
    torch.library.opcheck(
        forward, (*args, True), test_utils=ALL_CHECKS if memory == "states" else "test_faketensor"
    )
    saved = forward(*args, True)[2].nan_to_num()
    torch.library.opcheck(backward, (*args, saved, call.dy, call.dh_last))
    with pytest.raises(ValueError, match="states must be what was saved"):
        backward(*args, call.h0, call.dy, call.dh_last)


@pytest.mark.parametrize("cell", ["min_gru", "bmru", "src"])
def test_compile_fullgraph(cell):
    """One graph, for any length."""
    torch._dynamo.reset()
    # torch's own compiler does not run from a folder of any name.
    compiler = "inductor" if re.fullmatch(r"[\w/.+-]*", sys.prefix) else "aot_eager"
    run = torch.compile(
        lambda *args: testing.public(cell)(*args, backend="triton"),
        fullgraph=True,
        dynamic=True,
        backend=compiler,
    )
    for T in (4, 6):
        call = testing.random_call(cell, 2, T, 3).to(DEVICE)
        leaves = [x.requires_grad_() for x in (*call.inputs, *call.params)]
        y, h_last = run(*leaves)
        got = torch.autograd.grad([y, h_last], leaves, [call.dy, call.dh_last])
        expected = testing.run(replace(call, h0=None), "triton")
        assert torch.equal(y, expected["y"])
        for name, g in zip((*call.entry.inputs, *call.entry.params), got, strict=True):
            assert torch.equal(g, expected["d_" + name])


def test_explain():
    text = str(
        lrnn_kernels.explain(
            "bmru",
            torch.ones(2, 9, 5, device=DEVICE),
            *[torch.ones(2, 9, 5, device=DEVICE)] * 2,
            backend="triton",
        )
    )
    assert "'triton'" in text
    assert "hysteresis_per_step (Triton" in text
    assert "programs of 5 channels" in text or "programs of 8 channels" in text
    x = torch.ones(2, 9, 5, device=DEVICE)
    assert "bmru (Triton" in (
        text := str(lrnn_kernels.explain("bmru", x, x, x[0, 0], backend="triton"))
    )
    assert "last write wins: one bit per element is saved" in text


def test_what_has_no_kernel_says_so():
    with pytest.raises(NotImplementedError, match="the triton backend has no kernel 'nbrc' yet"):
        testing.run(testing.random_call("nbrc", 2, 5, 4).to(DEVICE), "triton")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_cell_is_caught(wrong, monkeypatch):
    """The test of these tests: a pair with one mistake in it fails the very check that the true
    one passes."""
    from lrnn_kernels.triton_kernels import launch

    cell, pair = WRONG[wrong]
    call = testing.random_call(cell, 2, 9, 5)
    _check(call)
    monkeypatch.setitem(launch.CELLS, choose.kernel_on("triton", call.kernel).name, pair)
    with pytest.raises(AssertionError, match="d_" if "gate" not in wrong else "y"):
        _check(call)
