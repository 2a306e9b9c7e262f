"""What the Triton kernels compute: values and gradients of every cell, layout and type."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.cells import CELLS
from tests.backends.triton.cases import (
    CELLS_HERE,
    DEVICE,
    ENGINES,
    FEW,
    TYPES,
    check,
    narrowest,
    with_features,
)
from tests.conftest import FEATURES, assert_same, over

pytestmark = pytest.mark.usefixtures("where", "poisoned")

#: The largest error of Triton's tanh, in units of the last place; see elementary.py.
TANH_ULPS = {torch.float32: 6, torch.float64: 3}

#: Empty, one step, and the edges of a group of steps (4 and 8).
TIMES = (0, 1, 3, 4, 5, 8, 9, 17)
#: With and without tails.
CHANNELS = (1, 3, 8, 17, 33)


@over(("cell", "options", "dtype"), TYPES)
def test_values_and_gradients(cell, options, dtype):
    """Lengths, widths, states, resets and direction in turn, not the whole product: a variant's
    own features are the next test."""
    number = TYPES.index((cell, options, dtype))
    T, C = TIMES[number % len(TIMES)], CHANNELS[3 * number % len(CHANNELS)]
    check(
        testing.random_call(
            cell, 2, T, C, dtype=dtype, options=options, seed=number, **with_features(number)
        )
    )


@over("dtype", [torch.float32, torch.float64, torch.complex128])
def test_more_channels_than_a_tile_has(dtype):
    """128 channels in single, 64 in double precision, 32 complex ones in double: a whole tile
    and a tail."""
    check(testing.random_call("linear_scan_per_channel", 2, 5, 130, dtype=dtype, reset=True))


@pytest.mark.parametrize("number", range(len(FEATURES)))
@over(("cell", "options"), FEW)
def test_every_feature(cell, options, number):
    check(
        testing.random_call(
            cell,
            2,
            9,
            5,
            dtype=narrowest(cell),
            options=options,
            seed=number,
            **with_features(number),
        )
    )


@over("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", [0, 6])
def test_split_storage(dtype, number):
    check(testing.random_call("lru", 2, 11, 6, dtype=dtype, split=True, **with_features(number)))


@pytest.mark.parametrize("cell", [cell for cell in CELLS_HERE if len(CELLS[cell].inputs) > 1])
def test_packed_streams(cell):
    """One tensor in, one gradient out."""
    dtype = narrowest(cell)
    check(testing.random_call(cell, 2, 9, 6, dtype=dtype, packed=True, reset=True))


@pytest.mark.parametrize("missing", ["dy", "dh_last"])
@over(("cell", "options"), FEW)
def test_one_incoming_gradient(cell, options, missing):
    check(
        replace(
            testing.random_call(cell, 2, 9, 5, dtype=narrowest(cell), options=options, reset=True),
            **{missing: None},
        )
    )


@over(
    ("cell", "options", "dtype"),
    [
        (cell, options, dtype)
        for cell, options, dtype in TYPES
        if CELLS[cell].exact(options, in_one_piece=True)
    ],
)
def test_forward_equals_the_loop_bit_for_bit(cell, options, dtype):
    """eps 0 and 1: a unit copies and adds, in the loop's order."""
    if dtype == torch.bfloat16 and triton_backend.interpreted():
        dtype = torch.float32  # see cases.py
    for reset, reverse in ((False, False), (False, True), (True, False)):
        call = testing.random_call(
            cell, 2, 19, 5, dtype=dtype, options=options, reset=reset, reverse=reverse
        ).to(DEVICE)
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


@over(("cell", "options"), FEW)
def test_a_reset_stops_infinity(cell, options):
    call = testing.random_call(
        cell, 2, 9, 5, dtype=narrowest(cell), options=options, reset=True
    ).to(DEVICE)
    call.reset[:] = False
    call.reset[:, 4] = True
    clean = testing.run(call, "triton")
    call.h0[:] = float("inf")
    dirty = testing.run(call, "triton")
    assert torch.equal(clean["y"][:, 4:], dirty["y"][:, 4:])
    assert torch.equal(clean["h_last"], dirty["h_last"])


STRIDED = {
    "time first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "slices of a wider tensor": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    "channels not last": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "every other step": lambda x: x.repeat_interleave(2, 1)[:, ::2],
}


@pytest.mark.parametrize("layout", STRIDED)
@pytest.mark.parametrize("cell", ENGINES.values())
def test_strides(cell, layout):
    """Any strides of streams and incoming gradients give the bits of contiguous ones."""
    call = testing.random_call(cell, 2, 7, 6, dtype=narrowest(cell), reset=True).to(DEVICE)
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


@pytest.mark.parametrize("cell", [name for name, row in CELLS.items() if row.matrices])
def test_what_has_no_kernel_says_so(cell):
    kernel = CELLS[cell].kernels[0].name
    with pytest.raises(
        NotImplementedError, match=f"the triton backend has no kernel '{kernel}' yet"
    ):
        testing.run(testing.random_call(cell, 2, 5, 4).to(DEVICE), "triton")
