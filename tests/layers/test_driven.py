"""Layers of cells with matrices: torch's own GRU and LSTM beside ours, and the operator that takes
the product with the input as well."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.calls.run import run_driven
from lrnn_kernels.cells import CELLS
from tests.conftest import VARIANTS, over
from tests.layers.cases import PLAIN, assert_same, flat, gradients

DRIVEN = [(cell, options) for cell, options in VARIANTS if CELLS[cell].kernels[0].driven]
LAYERS = [name for name, layer in PLAIN.items() if layer.takes_input]
TWINS = [name for name in LAYERS if hasattr(nn, name)]
FORMS = {
    "plain": {},
    "batch first": {"batch_first": True},
    "no bias": {"bias": False},
    "two layers, two directions": {"num_layers": 2, "bidirectional": True},
}


def pair(name: str, dtype: torch.dtype, **form):
    """Our layer and torch's of the same parameters: 7 inputs, 70 units."""
    ours = getattr(lrnn_kernels.nn, name)(7, 70, dtype=dtype, **form)
    theirs = getattr(nn, name)(7, 70, dtype=dtype, **form)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def close(ours, theirs, exact, gradients: bool = False) -> None:
    """To torch's float64, by the largest value: outputs and states to 1e-6, gradients, which are
    longer sums, to 2e-6, and so torch's own float32; in float64 to 1e-13."""
    for x, own, y in zip(flat(ours), flat(theirs), flat(exact), strict=True):
        assert x.shape == y.shape
        tolerance = 1e-13 if x.dtype == torch.float64 else 2e-6 if gradients else 1e-6
        for found in (x, own):
            assert (found - y).abs().max() <= tolerance * max(1.0, y.abs().max().item())


@over("name", TWINS)
@over("form", FORMS)
@over("dtype", [torch.float32, torch.float64])
def test_weights_of_torch_give_its_values_and_gradients(name, form, dtype):
    form = FORMS[form]
    ours, theirs = pair(name, dtype, **form)
    rows = theirs.num_layers * (2 if theirs.bidirectional else 1)
    for B, T in ((6, 40), (3, 1), (35, 11)):
        x = torch.randn(*((B, T) if theirs.batch_first else (T, B)), 7, dtype=dtype)
        h_0 = [torch.randn(rows, B, 70, dtype=dtype) for _ in ours.cell.states]
        results = []
        for layer in (ours, theirs, copy.deepcopy(theirs).double()):
            of = next(layer.parameters()).dtype
            leaves = [y.to(of, copy=True).requires_grad_() for y in (x, *h_0)]
            out = layer(leaves[0], tuple(leaves[1:]) if len(h_0) > 1 else leaves[1])
            results.append((out, gradients(out, [*leaves, *layer.parameters()])))
        close(*(out for out, _ in results))
        close(*(grads for _, grads in results), gradients=True)


@over("name", TWINS)
@over("dtype", [torch.float32, torch.float64])
@over("form", ["plain", "two layers, two directions"])
def test_packed_sequences_give_those_of_torch(name, dtype, form):
    ours, theirs = pair(name, dtype, **FORMS[form])
    x, lengths = torch.randn(9, 4, 7, dtype=dtype), torch.tensor([5, 9, 1, 9])
    results = []
    for layer in (ours, theirs, copy.deepcopy(theirs).double()):
        leaf = x.to(next(layer.parameters()).dtype, copy=True).requires_grad_()
        out, h_n = layer(pack_padded_sequence(leaf, lengths, enforce_sorted=False))
        out = pad_packed_sequence(out)[0], h_n
        results.append((out, gradients(out, [leaf, *layer.parameters()])))
    close(*(out for out, _ in results))
    close(*(grads for _, grads in results), gradients=True)


@over("name", TWINS)
def test_a_seed_draws_the_parameters_of_torch(name):
    states = []
    for module in (lrnn_kernels.nn, nn):
        torch.manual_seed(3)
        states.append(getattr(module, name)(5, 8, 2, bidirectional=True).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@over("name", TWINS)
def test_resets_within_the_sequence_are_episodes_of_their_own(name):
    """Beside torch's layer on each episode."""
    ours, theirs = pair(name, torch.float64)
    x, reset = torch.randn(12, 2, 7, dtype=torch.float64), torch.zeros(12, 2, dtype=torch.bool)
    reset[5] = reset[9] = True
    out, h_n = ours(x, reset=reset)
    pieces = [theirs(piece) for piece in x.split([5, 4, 3])]
    expected = [torch.cat([y for y, _ in pieces]), *flat(pieces[-1][1])]
    close([out, *flat(h_n)], expected, expected)


def drawn(cell: str, options, B: int, T: int, C: int, dtype: torch.dtype, **features):
    """A call of a cell, and an x, a weight and a bias that make its packed stream's like."""
    call = testing.random_call(cell, B, T, C, dtype=dtype, options=options, packed=True, **features)
    width = len(call.entry.inputs) * C
    leaves = [torch.randn(B, T, 11), torch.randn(width, 11) / 4, torch.randn(width)]
    return call, [x.to(dtype).requires_grad_() for x in leaves]


def run_both(call: testing.Call, leaves: list[Tensor], backend: str = "auto") -> list[list[Tensor]]:
    """Results and gradients of one operator, and of a product and the other operator."""
    found = []
    states = {"h0": call.h0, "reset": call.reset, "h_reset": call.h_reset}
    params = [p.detach().requires_grad_() for p in call.params]
    for named in (backend, "reference"):
        y, h = run_driven(
            call.entry,
            *leaves,
            params,
            call.options,
            **states,
            reverse=call.reverse,
            backend=named,
        )
        targets = [*leaves, *params]
        grads = torch.autograd.grad((y, h), targets, (call.dy, call.dh_last))
        found.append([y, h, *grads])
    return found


def takes_product(call: testing.Call, leaves: list[Tensor], **states) -> bool:
    """Whether the operator that takes the product runs."""
    with torch.profiler.profile() as profile:
        run_driven(call.entry, *leaves, list(call.params), call.options, **states)
    name = call.entry.kernel(call.options, False).driven
    return any(event.name == f"lrnn_kernels::{name}" for event in profile.events())


@over("cell,options", DRIVEN)
@pytest.mark.parametrize("shape", [(3, 9, 7), (1, 1, 2), (40, 33, 20), (2, 150, 49)], ids=str)
@over("dtype", [torch.float32, torch.float64])
def test_one_operator_is_a_product_and_another(cell, options, shape, dtype):
    for features in ({}, {"reset": True, "h_reset": "per_batch"}, {"reverse": True, "reset": True}):
        call, leaves = drawn(cell, options, *shape, dtype, **features)
        got, expected = run_both(call, leaves)
        size = shape[0] * shape[1]  # the terms of a parameter's gradient, whose order differs
        for x, y in zip(got, expected, strict=True):
            # 32 roundings of 1/2 eps for values and 128 for gradients, as testing.errors has it.
            allowed = torch.finfo(dtype).eps * (64 + size**0.5)
            assert (x - y).abs().max() <= allowed * max(1.0, y.abs().max().item())


@over("cell,options", DRIVEN)
def test_it_runs_where_all_is_of_one_dtype_and_only_there(cell, options):
    call, leaves = drawn(cell, options, 2, 5, 4, torch.float32)
    assert takes_product(call, leaves)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_product(call, leaves)
    assert not takes_product(call, leaves, backend="reference")
    half, leaves = drawn(cell, options, 2, 5, 4, torch.bfloat16)
    assert not takes_product(half, leaves)


@over("name", LAYERS)
@pytest.mark.parametrize("method", ["forward", "_read_out", "_drive", "_streams", "_scan"])
def test_a_subclass_keeps_it_unless_it_makes_its_streams_itself(name, method):
    cls = PLAIN[name]
    inherited = getattr(cls, method)
    other = type("Other", (cls,), {method: lambda *args, **kwargs: inherited(*args, **kwargs)})
    layer = other(5, 4)
    with torch.profiler.profile() as profile:
        layer(torch.randn(3, 2, 5))
    name = layer.cell.kernel(layer._scan_options(), False).driven
    ran = any(event.name == f"lrnn_kernels::{name}" for event in profile.events())
    assert ran == (method in ("forward", "_read_out"))


@over("cell,options", DRIVEN)
@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (2, 1), (40, 3)], ids=str)
def test_shapes_without_data_are_those_of_the_kernels(cell, options, shape):
    call, leaves = drawn(cell, options, *shape, 4, torch.float64, reset=True)
    operator = getattr(torch.ops.lrnn_kernels, call.entry.kernel(call.options, True).driven)
    x, *params = [leaf.detach() for leaf in (*leaves, *call.params)]
    states = (call.h0, call.reset, call.h_reset, False)
    torch.library.opcheck(operator.default, ([x], params, [], *states, True))


@over("name", LAYERS)
def test_gradients_are_those_of_differences(name):
    layer = PLAIN[name](3, 4, initial_state="learned", dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    reset = torch.rand(5, 2) < 0.3
    weights = dict(layer.named_parameters())

    def call(x, *values):
        given = dict(zip(weights, values, strict=True))
        out = torch.func.functional_call(layer, given, (x, None, reset))
        return tuple(flat(out))

    assert torch.autograd.gradcheck(call, (x, *weights.values()))


def test_a_bias_left_out_is_zero():
    p, w, zero = torch.randn(3, 2, 5, 4), torch.randn(12, 4), torch.zeros(4)
    for function in (lrnn_kernels.gru, lambda *args: lrnn_kernels.explain("gru", *args)):
        assert str(function(*p, w)) == str(function(*p, w, zero))
    step = lrnn_kernels.gru_step(*p[:, :, 0], w, None, p[0, :, 1])
    assert_same(step, lrnn_kernels.gru_step(*p[:, :, 0], w, zero, p[0, :, 1]), rtol=0, atol=0)


def test_what_does_not_fit_is_named():
    gru = torch.ops.lrnn_kernels.gru_driven.default
    x, w, b = torch.randn(2, 3, 5), torch.randn(12, 5), torch.randn(12)
    w_hh, b_hn = torch.randn(12, 4), torch.randn(4)
    for inputs, params, message in (
        ([x], [w[:, :4], b, w_hh, b_hn], "expected a weight"),
        ([x], [w, b[:5], w_hh, b_hn], "expected a weight"),
        ([x], [w, b], "parameters are missing"),
        ([x], [w, b, w_hh[:8], b_hn], r"matrices must be \(n 4, 4\), n of all of them 3"),
        ([x], [w, b, w_hh], "do not make matrices of 3 blocks and 1 vectors"),
        ([x], [w, b, w_hh, b_hn[:2]], r"a parameter must be \(4,\)"),
        ([x.bfloat16()], [w, b, w_hh, b_hn], "carry dtype"),
        ([x], [w.double(), b, w_hh, b_hn], "expected a weight"),
    ):
        with pytest.raises(RuntimeError, match=message):
            gru(inputs, params, [], None, None, None, False, False)
