"""However a tensor lies in memory, it is read as what it means; only a channel stride other than
1 costs a copy."""

import re
from dataclasses import replace

import pytest
import torch

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.backends.build import sources
from lrnn_kernels.calls.run import run as run_cell
from lrnn_kernels.cells import CELLS
from tests.conftest import VARIANTS, assert_same, check, over

pytestmark = pytest.mark.usefixtures("poisoned")


def _inside(x: torch.Tensor, pads: tuple[int, int, int]) -> torch.Tensor:
    """x as a slice of a larger tensor of NaN."""
    sizes = [n + 2 * pad for n, pad in zip(x.shape, pads, strict=True)]
    big = torch.full(sizes, float("nan"), dtype=x.dtype, device=x.device)
    view = big[tuple(slice(pad, pad + n) for n, pad in zip(x.shape, pads, strict=True))]
    return view.copy_(x)


def _every_other(x: torch.Tensor, dim: int) -> torch.Tensor:
    sizes = list(x.shape)
    sizes[dim] *= 2
    big = torch.full(sizes, float("nan"), dtype=x.dtype, device=x.device)
    view = big[(slice(None),) * dim + (slice(None, None, 2),)]
    return view.copy_(x)


#: Views with the values of x, each in other memory.
LAYOUTS = {
    "channel slice": lambda x: _inside(x, (0, 0, 3)),
    "slice of everything": lambda x: _inside(x, (1, 2, 1)),
    "time-major": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "time-major slice": lambda x: _inside(x.transpose(0, 1), (1, 1, 5)).transpose(0, 1),
    "channels first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "batch last": lambda x: x.permute(2, 1, 0).contiguous().permute(2, 1, 0),
    "every other step": lambda x: _every_other(x, 1),
    "every other channel": lambda x: _every_other(x, 2),
    "every other channel, time-major": lambda x: _every_other(x.transpose(0, 1), 2).transpose(0, 1),
    "every other batch": lambda x: _every_other(x, 0),
    "negated": lambda x: torch._neg_view(-x),
}
#: Dimensions of stride 0.
EXPANDED = {"batch": 0, "time": 1, "channels": 2}


def _dtype(cell: str) -> torch.dtype:
    return torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64


def _call(cell: str, options, **kwargs) -> testing.Call:
    return testing.random_call(cell, 2, 37, 21, dtype=_dtype(cell), options=options, **kwargs)


def _assert_reads(view: testing.Call, call: testing.Call, backend: str) -> None:
    """The same arithmetic on the same numbers gives the same bits."""
    device = testing.device_of(backend)
    assert_same(testing.run(view, backend), testing.run(call.to(device), backend))


@pytest.mark.parametrize("layout", LAYOUTS)
@over(("cell", "options"), VARIANTS)
def test_inputs_in_any_layout(cell, options, layout, backend):
    call = _call(cell, options, reset=True).to(testing.device_of(backend))
    _assert_reads(replace(call, inputs=tuple(map(LAYOUTS[layout], call.inputs))), call, backend)
    first = replace(
        call, inputs=(LAYOUTS[layout](call.inputs[0]), *call.inputs[1:])
    )  # streams need not lie alike
    _assert_reads(first, call, backend)


@pytest.mark.parametrize("layout", LAYOUTS)
@over(("cell", "options"), VARIANTS)
def test_incoming_gradients_in_any_layout(cell, options, layout, backend):
    call = _call(cell, options).to(testing.device_of(backend))
    _assert_reads(
        replace(call, dy=LAYOUTS[layout](call.dy), dh_last=_every_other(call.dh_last, 1)),
        call,
        backend,
    )


@pytest.mark.parametrize("dim", EXPANDED.values(), ids=EXPANDED)
@over(("cell", "options"), VARIANTS)
def test_expanded_tensors(cell, options, dim, backend):
    """Stride 0: a constant over batch, time or channels, and the gradient of a sum, which is one
    number."""
    call = _call(cell, options).to(testing.device_of(backend))

    def expand(x):
        return x.narrow(dim, 0, 1).expand(x.shape)

    one = call.dy[:1, :1, :1].expand_as(call.dy)
    last = call.dh_last[:1, :1].expand_as(call.dh_last)
    for view in (
        replace(call, inputs=tuple(map(expand, call.inputs))),
        replace(call, inputs=(expand(call.inputs[0]), *call.inputs[1:])),
        replace(call, dy=expand(call.dy)),
        replace(call, dy=one, dh_last=last),
    ):
        dense = replace(view.map(lambda x: x.clone(memory_format=torch.contiguous_format)))
        _assert_reads(view, dense, backend)


@over(("cell", "options"), VARIANTS)
def test_states_parameters_and_masks_in_any_layout(cell, options, backend):
    """(B,C) and (C,) tensors may be expanded, transposed or strided; so may the mask."""
    call = _call(cell, options, reset=True, h_reset="per_batch", per_batch=True).to(
        testing.device_of(backend)
    )

    def turned(x):
        return x.t().contiguous().t()

    def strided(x):
        return _every_other(x, x.dim() - 1)

    for change in (turned, strided):
        view = replace(
            call,
            h0=change(call.h0),
            h_reset=change(call.h_reset),
            params=tuple(map(change, call.params)),
        )
        view = replace(view, reset=call.reset.t().contiguous().t())
        _assert_reads(view, call, backend)
    everywhere = replace(
        call, reset=call.reset[:1].expand_as(call.reset), h0=call.h0[:1].expand_as(call.h0)
    )
    dense = replace(everywhere, reset=everywhere.reset.clone(), h0=everywhere.h0.contiguous())
    _assert_reads(everywhere, dense, backend)


@over(
    ("cell", "dtype"),
    [(cell, dtype) for cell, row in CELLS.items() for dtype in row.dtypes if dtype.is_complex],
)
def test_lazy_conjugates(cell, dtype, backend):
    """x.conj() is a view with a bit set; the bit counts, in inputs, parameters, states and
    incoming gradients."""
    call = testing.random_call(cell, dtype=dtype, reset=True).to(testing.device_of(backend))
    conjugate = call.map(lambda x: x.conj())
    assert conjugate.inputs[0].is_conj()
    _assert_reads(conjugate, call.map(lambda x: x.conj().resolve_conj()), backend)


@over(("cell", "options"), VARIANTS)
def test_outputs_keep_the_order_of_the_first_input(cell, options, backend):
    """Time-major in, time-major out, also for gradients: nothing downstream has to transpose."""
    call = _call(cell, options).to(testing.device_of(backend))
    major = replace(call, inputs=tuple(map(LAYOUTS["time-major"], call.inputs)))
    for made, stride in ((call, (37 * 21, 21, 1)), (major, (21, 2 * 21, 1))):
        result = testing.run(made, backend)
        for name in ("y", *(f"d_{name}" for name in call.entry.inputs)):
            assert result[name].stride() == stride


SEVERAL = [(cell, options) for cell, options in VARIANTS if len(CELLS[cell].inputs) > 1]


@over(("cell", "options"), SEVERAL)
def test_streams_side_by_side(cell, options, backend):
    """One (B,T,nC) tensor, as a GEMM writes it, is the n streams; its gradient comes back in one
    buffer."""
    for dtype in CELLS[cell].dtypes:
        for T, C in ((0, 3), (1, 1), (35, 37)):
            kwargs = {"dtype": dtype, "options": options, "reset": True}
            packed = testing.random_call(cell, 2, T, C, **kwargs, packed=True).to(
                testing.device_of(backend)
            )
            apart = replace(packed, inputs=packed.inputs[0].split(C, -1), packed=False)
            got, expected = testing.run(packed, backend), testing.run(apart, backend)
            expected["d_packed"] = torch.cat(
                [expected.pop(f"d_{name}") for name in CELLS[cell].inputs], -1
            )
            assert_same(got, expected)
            assert got["d_packed"].is_contiguous()


#: Bytes of all streams from which rows side by side are copied: the number in the source, so that
#: longer calls here always copy.
_NUMBER = re.search(
    r"kFromMemory =\s+(\d+) << (\d+);", (sources.csrc() / "cpu/lanes/streams.h").read_text()
)
FROM_MEMORY = int(_NUMBER[1]) << int(_NUMBER[2])

LONG = [
    (cell, options, C, dtype, reset)
    for cell, options in SEVERAL
    for C, dtype, reset in (
        *(
            (130, torch.float32, True),
            (256, torch.bfloat16, False),
            (1100, torch.float32, False),
            (260, torch.float64, True),
        ),
        *(
            (32, torch.complex64, True),
            (130, torch.complex64, False),
            (300, torch.complex128, True),
        ),
        # Too long to be copied, if threads do not share channels.
        *(
            (700, torch.complex64, False),
            (400, torch.complex128, True),
            (1030, torch.complex64, False),
        ),
    )
    if dtype in CELLS[cell].dtypes and not CELLS[cell].matrices
]


@over(("cell", "options", "C", "dtype", "reset"), LONG)
def test_long_streams_side_by_side(cell, options, C, dtype, reset):
    """Rows that come from memory are copied to the first cache but for one stream: the same bits
    as of streams apart."""
    n = len(CELLS[cell].inputs)
    T = FROM_MEMORY // (2 * C * n * dtype.itemsize) + 40
    for reverse in (False, True):
        packed = testing.random_call(
            cell, 2, T, C, dtype=dtype, options=options, reset=reset, reverse=reverse, packed=True
        )
        inside = _inside(packed.inputs[0], (0, 0, 8)).split(C, -1)
        major = LAYOUTS["time-major"](packed.inputs[0]).split(C, -1)
        apart = replace(
            packed,
            inputs=tuple(x.contiguous() for x in packed.inputs[0].split(C, -1)),
            packed=False,
        )
        got, expected = testing.run(packed, "cpu"), testing.run(apart, "cpu")
        for views in (inside, major):
            assert_same(testing.run(replace(apart, inputs=views), "cpu"), expected)
        expected["d_packed"] = torch.cat(
            [expected.pop(f"d_{name}") for name in CELLS[cell].inputs], -1
        )
        assert_same(got, expected)


@over(("cell", "options"), SEVERAL)
def test_chunks_of_one_projection(cell, options, backend):
    """The streams are views of one GEMM's output: read where they are, and the gradient reaches
    the projection."""
    n, device = len(CELLS[cell].inputs), testing.device_of(backend)
    call = _call(cell, options).to(device)
    both = torch.cat(call.inputs, -1).requires_grad_()
    y, _ = call.apply(backend, **dict(zip(CELLS[cell].inputs, both.chunk(n, -1), strict=True)))
    y.backward(call.dy)
    expected = testing.run(replace(call, dh_last=None), backend)
    assert torch.equal(
        both.grad, torch.cat([expected[f"d_{name}"] for name in CELLS[cell].inputs], -1)
    )


@over("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("C", [1, 3, 16, 37, 520])
def test_split_complex_storage(C, dtype, backend):
    """Real parts, then imaginary parts: the values and gradients of the complex call."""
    for features in (
        {"h0": False},
        {"reset": True, "reverse": True},
        {"reset": True, "h_reset": "per_batch", "per_batch": True},
    ):
        split = testing.random_call("lru", 2, 19, C, dtype=dtype, split=True, **features)
        check(split, backend)
        check(replace(split, inputs=tuple(map(LAYOUTS["time-major slice"], split.inputs))), backend)
        got = testing.run(split.to(testing.device_of(backend)), backend)

        def together(x):
            return None if x is None else torch.complex(*x.chunk(2, -1))

        states = {
            name: together(getattr(split, name)) for name in ("dy", "dh_last", "h0", "h_reset")
        }
        whole = replace(split, inputs=tuple(map(together, split.inputs)), **states)
        expected = testing.run(whole.to(testing.device_of(backend)), backend)
        assert all(
            e.ok
            for e in testing.compare(
                whole, {k: v if v.is_complex() else together(v) for k, v in got.items()}, expected
            )
        )


@over("dtype", [torch.float32, torch.bfloat16])
def test_long_split_complex_storage(dtype):
    """Rows of two planes that come from memory."""
    for C, features in (
        (500, {"h0": False}),
        (512, {"reset": True, "reverse": True}),
        (1030, {"reset": True, "per_batch": True}),
    ):
        T = FROM_MEMORY // (2 * C * 2 * dtype.itemsize) + 40
        check(testing.random_call("lru", 2, T, C, dtype=dtype, split=True, **features), "cpu")


def test_strides_beyond_32_bits():
    """Rows more than 2^31 elements apart: the memory between them is never touched, so it is
    never there."""
    far, T, C = 2**31 + 64, 3, 5
    storage = torch.empty(
        far + T * C, dtype=torch.float32
    )  # 8 GiB of addresses, a few pages of memory
    x = storage.as_strided((2, T, C), (far, C, 1))
    x.copy_(torch.randn(2, T, C))
    a = torch.rand(2, T, C)
    for dense, strided in (((a, x.clone()), (a, x)), ((x.clone(), a), (x, a))):
        assert torch.equal(
            lrnn_kernels.linear_scan(*strided)[0], lrnn_kernels.linear_scan(*dense)[0]
        )
    steps = storage.as_strided((1, 2, C), (0, far, 1))  # and in time
    alpha = torch.ones(C)
    assert torch.equal(
        lrnn_kernels.bmru(steps, steps, alpha)[0],
        lrnn_kernels.bmru(steps.clone(), steps.clone(), alpha)[0],
    )
    y, _ = lrnn_kernels.linear_scan(a.requires_grad_(), torch.ones(2, T, C))
    (grad,) = torch.autograd.grad(y, a, x)
    (expected,) = torch.autograd.grad(
        lrnn_kernels.linear_scan(a, torch.ones(2, T, C))[0], a, x.clone()
    )
    assert torch.equal(grad, expected)


def test_mixed_types_widen(backend):
    """Streams of several types meet in the widest; parameters and states widen to the state
    type, and gradients come back in their own."""
    device = testing.device_of(backend)
    call = testing.random_call("bmru", dtype=torch.bfloat16).to(device)
    c, beta = call.inputs[0], call.inputs[1].float().requires_grad_()
    c = c.clone().requires_grad_()
    alpha, h0 = call.params[0].bfloat16().requires_grad_(), call.h0.half().requires_grad_()
    y, h_last = lrnn_kernels.bmru(c, beta, alpha, h0=h0, backend=backend)
    assert y.dtype == h_last.dtype == torch.float32
    y.sum().backward()
    for x in (c, beta, alpha, h0):
        assert x.grad.dtype == x.dtype
    assert torch.equal(
        y,
        run_cell(
            CELLS["bmru"],
            [c.float(), beta],
            [alpha.float()],
            CELLS["bmru"].options,
            h0=h0.float(),
            backend=backend,
        )[0],
    )


@pytest.mark.parametrize("dims", [3, 2])
@pytest.mark.parametrize("eps", [0.0, 0.5, 1.0])
def test_thresholds_that_do_not_change(eps, dims):
    """beta (C,) is that of every step: values, gradients, and what does not fit."""
    c = torch.randn((2, 7, 5)[3 - dims :], dtype=torch.float64)
    beta = torch.rand(5, dtype=torch.float64, requires_grad=True)
    alpha = torch.rand(5, dtype=torch.float64)
    call = lrnn_kernels.bmru if dims == 3 else lrnn_kernels.bmru_step
    y, _ = call(c, beta, alpha, eps=eps)
    same, _ = call(c, beta.expand(c.shape).contiguous(), alpha, eps=eps)
    assert torch.equal(y, same)
    got, expected = (torch.autograd.grad(out.square().sum(), beta)[0] for out in (y, same))
    torch.testing.assert_close(got, expected)
    with pytest.raises(
        ValueError, match=r"beta must have the shape of c, .*, or \(5,\), got \(4,\)"
    ):
        call(c, beta[:4], alpha, eps=eps)
