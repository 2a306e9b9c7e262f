"""Infinity, NaN, subnormal, huge and negative zero numbers in data: what the reference does; see
lrnn_kernels.cells.

The same cases run on every instruction set (test_packaging.py), under the executor
(backends/cuda/test_edges.py) and in Triton's interpreter (backends/triton/).
"""

import math

import pytest
import torch

import lrnn_kernels as lrnn
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.conftest import assert_same, over
from tests.promises import edge_cases

INF, NAN = float("inf"), float("nan")

VARIANTS = edge_cases.variants()
GRID = [(cell, options, dtype) for cell, options in VARIANTS for dtype in CELLS[cell].dtypes]
FEATURES = ({}, {"reset": True}, {"reset": True, "reverse": True, "h_reset": "per_batch"})


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("which", ["single", "pairs"])
@over(("cell", "options", "dtype"), GRID)
def test_numbers_at_the_edge(cell, options, dtype, which, backend):
    """Each in every stream, parameter, state and incoming gradient; and two at a time."""
    for features in FEATURES[:2] if GRID.index((cell, options, dtype)) % 2 else FEATURES[2:]:
        case = edge_cases.planted(cell, options, dtype, which, **features)

        def run(call):
            on_device = call.to(testing.device_of(backend))
            return {name: x.cpu() for name, x in testing.run(on_device, backend).items()}

        found = edge_cases.differences(case, run)
        assert not found, "\n".join(found)


@over("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell", [name for name, row in CELLS.items() if row.matrices])
def test_a_matrix_cell_at_the_edge(cell, dtype, backend):
    """It mixes channels: outputs and states are NaN, infinite or finite as the reference's are,
    gradients finite or not."""
    row = CELLS[cell]
    if not testing.serves(backend, row.kernels[0], 3):
        pytest.skip("this machine has a GPU, whose kernels have no matrix cell")
    for target in (*row.inputs, *row.params, "h0", "h_reset", "dy", "dh_last"):
        for value in (INF, -INF, NAN):
            call = testing.random_call(cell, 2, 5, 3, dtype=dtype, reset=True)
            call.reset[:] = False
            call.reset[:, 3] = True
            x = {**call.tensors(), "dy": call.dy, "dh_last": call.dh_last}[target]
            x[(1, 1, 1)[: x.dim()]] = value
            got = testing.run(call.to(testing.device_of(backend)), backend)
            for name, expected in testing.run(call.double(), "reference").items():
                same = got[name].cpu().isfinite() == expected.isfinite()
                if not name.startswith("d_"):
                    same &= got[name].cpu().isnan() == expected.isnan()
                assert same.all(), (target, value, name, got[name], expected)


@over("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_masked_gate_is_shut(dtype, backend):
    """A gate of -inf is exactly 0, of +inf exactly 1: the state holds to the bit, or is replaced
    by all of the candidate."""
    device, C = testing.device_of(backend), 21
    h0 = torch.randn(2, C, dtype=torch.float64).to(
        torch.float64 if dtype == torch.float64 else torch.float32
    )
    h0[:, ::3] = h0[:, ::3].abs() * 1e-8
    v = torch.randn(2, 40, C, dtype=dtype)
    for value in (-INF, INF, -1e4, 1e4):
        k = torch.full_like(v, value)
        leaves = [x.to(device).requires_grad_() for x in (k, v, h0)]
        _, h = lrnn.min_gru(leaves[0], leaves[1], h0=leaves[2], backend=backend)
        dk, dv, dh0 = (x.cpu() for x in torch.autograd.grad(h.sum(), leaves))
        assert torch.equal(h.cpu(), h0 if value < 0 else v[:, -1].to(h0.dtype))
        assert torch.equal(dk, torch.zeros_like(dk))
        assert torch.equal(dh0, torch.full_like(dh0, float(value < 0)))
        assert dv.count_nonzero() == (0 if value < 0 else h.numel())
        leaves = [
            x.to(device).requires_grad_() for x in (v, k, v, *torch.ones(2, C, dtype=h0.dtype), h0)
        ]
        _, h = lrnn.brc(
            *leaves[:5], h0=leaves[5], backend=backend
        )  # c = sigmoid(p_c + w_c h') holds
        grads = [x.cpu() for x in torch.autograd.grad(h.sum(), leaves)]
        assert all(x.isfinite().all() for x in grads)
        assert not grads[1].any()
        if value > 0:
            assert torch.equal(h.cpu(), h0)
            assert torch.equal(grads[5], torch.ones_like(h0))
            assert not any(grads[i].any() for i in (0, 2, 3))
        else:
            assert h.isfinite().all()
            assert (h.abs() <= 1).all()


@over("dtype", [torch.float32, torch.float64])
def test_a_saturated_tanh_is_one(dtype, backend):
    """So that its derivative is 0, whatever it is multiplied with: here with a recurrent weight
    of 1e30."""
    x = torch.tensor([8.0878, 9.0, 20.0, 1e4, 1e30, INF], dtype=dtype).repeat(4)
    x = torch.cat([x, -x]) if dtype == torch.float32 else torch.cat([x + 12, -x - 12])
    p_h, zero = (
        x[None, None].to(testing.device_of(backend)),
        torch.zeros(1, 1, x.numel(), dtype=dtype, device=testing.device_of(backend)),
    )
    shut = torch.full_like(zero, -INF)
    y, _ = lrnn.brc(zero, shut, p_h, zero[0, 0], zero[0, 0], backend=backend)
    assert torch.equal(y.cpu().flatten(), x.sign())
    p_a, p_h, h0 = (t.clone().requires_grad_() for t in (p_h, zero, torch.ones_like(zero[0])))
    w_a = torch.full_like(zero[0, 0], 1e30).requires_grad_()
    y, _ = lrnn.brc(p_a.sign() * 1e31, shut, p_h, w_a, zero[0, 0], h0=h0, backend=backend)
    d = torch.autograd.grad(y.sum(), [p_h, w_a, h0])
    assert all(g.isfinite().all() for g in d)
    assert not d[1].any()


@pytest.mark.parametrize("positive", [False, True])
def test_subnormal_and_huge_logits(positive, backend):
    """The sigmoid falls to 0 monotonically through the subnormal numbers, and never leaves [0,
    1]."""
    k = torch.linspace(-110, -80, 4099)[None, None].to(testing.device_of(backend))
    z = lrnn.min_gru(k, torch.ones_like(k), backend=backend)[0].cpu().flatten()
    assert (z[1:] >= z[:-1]).all()
    assert z[0] == 0
    exact = torch.sigmoid(k.cpu().double().flatten())
    assert (
        (z - exact).abs() <= torch.maximum(1e-6 * exact, torch.tensor(4.3e-39, dtype=torch.float64))
    ).all()
    v = (
        lrnn.min_gru(torch.full_like(k, INF), k, positive=positive, backend=backend)[0]
        .cpu()
        .flatten()
    )
    assert torch.equal(v, z if positive else k.cpu().flatten())


CUT = [
    ("linear_scan", {}),
    ("linear_scan_per_channel", {}),
    ("min_gru", {"positive": False}),
    ("bmru", {"eps": 0.5, "width": 1.0}),
]


@over(("cell", "options"), CUT)
def test_factors_that_overflow_leave_zero_alone(cell, options):
    """Where time is cut, factors are multiplied without a state: their product may overflow
    though no state does."""
    call = testing.random_call(cell, 1, 3000, 8, options=options, h0=False)
    if cell == "linear_scan":
        call.inputs[0][:] = 2.0
        call.inputs[0][:, 2500] = 0.0
        call.inputs[1][:, :2900] = 0.0
    elif cell == "linear_scan_per_channel":
        call.params[0][:] = -2.0
        call.inputs[0][:, :2900] = 0.0
    call.dy[:, 100:] = 0.0
    call.dh_last[:] = 0.0
    whole = testing.run(call, "cpu")
    with testing.threads(4):
        cut = testing.run(call, "cpu")
    for name, x in whole.items():
        assert x.isfinite().all()
        torch.testing.assert_close(cut[name], x, rtol=1e-4, atol=1e-4 * x.abs().max().item())


OPTIONS = {
    "eps": lambda x: [
        lambda: lrnn.bmru(X, X, A, eps=x),
        lambda: lrnn.fq_bmru(X, A, A, A, eps=x),
        lambda: lrnn.nn.BMRU(2, 3, eps=x),
    ],
    "width": lambda x: [
        *(lambda f=f: f(X, X, A, width=x) for f in (lrnn.bmru, lrnn.cmru)),
        lambda: lrnn.fq_bmru(X, A, A, A, width=x),
        *(lambda f=f: f(X[:, 0], X[:, 0], A, width=x) for f in (lrnn.bmru_step, lrnn.cmru_step)),
        lambda: lrnn.src(X, A, width=x),
        *(
            lambda f=f: f(2, 3, width=x)
            for f in (lrnn.nn.BMRU, lrnn.nn.CMRU, lrnn.nn.AlphaCMRU, lrnn.nn.FQBMRU, lrnn.nn.SRC)
        ),
    ],
    **{
        name: lambda x, name=name: [
            lambda: lrnn.src(X, A, **{name: x}),
            lambda: lrnn.src_step(X[:, 0], A, **{name: x}),
            lambda: lrnn.nn.SRC(2, 3, **{name: x}),
        ]
        for name in (
            "leak",
            "rho",
            "r",
            "r_s",
            "z",
            "z_hyp",
            "z_dep",
            "slope",
            "midpoint",
            "threshold",
        )
    },
    "max_bias": lambda x: [lambda: lrnn.nn.SRC(2, 3, max_bias=x)],
    "max_phase": lambda x: [lambda: lrnn.nn.LRU(2, 3, max_phase=x)],
    "r_max": lambda x: [lambda: lrnn.nn.LRU(2, 3, r_max=x)],
    "r_min": lambda x: [lambda: lrnn.nn.LRU(2, 3, r_min=x)],
    "dropout": lambda x: [lambda: lrnn.nn.MinGRU(2, 3, 2, dropout=x)],
    "hold": lambda x: [lambda: lrnn.nn.EpsAnneal(lrnn.nn.BMRU(2, 3), hold=x)],
    "decay": lambda x: [lambda: lrnn.nn.EpsAnneal(lrnn.nn.BMRU(2, 3), decay=x)],
}
X, A = torch.ones(1, 2, 3), torch.ones(3)


@pytest.mark.parametrize(
    "value", [INF, -INF, NAN, 1e300, 10**400], ids=["inf", "-inf", "nan", "1e300", "10^400"]
)
@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_finite(name, value):
    """In every cell and layer that takes them: ValueError with the option's name and what was
    got."""
    shown = "inf" if value == 10**400 else f"{value:g}".replace("+", ".")
    for call in OPTIONS[name](value):
        with pytest.raises(
            ValueError,
            match=rf"^{name} must be .*, got {shown}",
        ):
            call()


@pytest.mark.parametrize("value", [INF, NAN, -0.5])
def test_an_eps_that_is_read_late_is_finite_too(value):
    """As a tensor under torch.compile it is an input, whose value is checked where an operator
    reads it on the CPU anyway."""
    run = torch.compile(lambda eps: lrnn.bmru(X, X, A, eps=eps)[0], backend="eager", fullgraph=True)
    with pytest.raises(ValueError, match=r"eps must be in \[0, 1\], got"):
        run(torch.tensor(value, dtype=torch.float64))


def test_options_at_the_ends_of_their_ranges(backend):
    """Whatever is accepted is finite in float32: no option is an infinity, or a division by 0,
    to the kernels."""
    for options in (
        {"width": 1e18},
        {"width": 1e-18},
        {"rho": 1e-18},
        {"rho": 1e18, "slope": 1e18, "midpoint": -1e18},
        {"z": math.nextafter(1.0, 0.0), "gradient": "full"},
        {"z": 1 - 1e-9},
        {"leak": 0.0, "r": 0.0, "r_s": 0.0, "slope": 0.0},
        {"threshold": -1e18, "width": 1e18, "surrogate": "sigmoid"},
    ):
        call = testing.random_call("src", 2, 6, 21, options={**CELLS["src"].options, **options})
        for name, x in testing.run(call.to(testing.device_of(backend)), backend).items():
            assert x.isfinite().all(), (options, name)
    for width in (1e-18, 1e18):
        for cell in ("bmru", "cmru", "fq_bmru"):
            call = testing.random_call(
                cell, 2, 6, 21, options={**CELLS[cell].options, "width": width}
            )
            assert all(
                x.isfinite().all()
                for x in testing.run(call.to(testing.device_of(backend)), backend).values()
            )


@over(("cell", "options"), VARIANTS)
def test_a_reset_stops_what_is_not_finite_both_ways(cell, options, backend):
    """NaN and infinity in every stream and in dy: nothing of it passes a reset."""
    dtype = torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64
    for value in (NAN, INF):
        for name in (*CELLS[cell].inputs, "dy"):
            call = testing.random_call(cell, 1, 8, 5, dtype=dtype, options=options, reset=True).to(
                testing.device_of(backend)
            )
            call.reset[:] = False
            call.reset[:, 4] = True
            clean = testing.run(call, backend)
            ({**call.tensors(), "dy": call.dy}[name])[:, 6 if name == "dy" else 2] = value
            dirty = testing.run(call, backend)
            part = slice(0, 4) if name == "dy" else slice(4, None)
            kept = {"y": part, **{f"d_{stream}": part for stream in call.entry.inputs}}
            assert_same(
                {k: dirty[k][:, s] for k, s in kept.items()},
                {k: clean[k][:, s] for k, s in kept.items()},
            )
            if name == "dy":
                assert torch.equal(dirty["d_h0"], clean["d_h0"])
