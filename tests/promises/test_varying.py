"""An eps that changes from call to call under torch.compile: compiled once, with the values and
gradients of the same number."""

import copy

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor

import lrnn_kernels
from lrnn_kernels import nn, testing
from lrnn_kernels.backends import varying
from lrnn_kernels.cells import CELLS, KERNELS
from tests.layers.cases import PLAIN

#: A cell of every kernel that takes one.
CALLS = {
    kernel.name: cell
    for cell, row in reversed(CELLS.items())
    for kernel in row.kernels
    if kernel.varying
}
#: More values than torch.compile compiles of one function.
BETWEEN = [0.9 - 0.08 * i for i in range(11)]


def counter():
    torch._dynamo.reset()
    return torch._dynamo.testing.CompileCounterWithBackend("aot_eager")


def scalar(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize("layer", [layer for layer in PLAIN.values() if hasattr(layer, "eps")])
def test_an_annealed_layer_compiles_once_for_all_between_1_and_0(layer):
    backend = counter()
    torch.manual_seed(0)
    rnn, x = layer(3, 5, batch_first=True), torch.rand(2, 9, 3)
    compiled = torch.compile(rnn, fullgraph=True, backend=backend)
    compilations = {}
    for eps in (1.0, *BETWEEN, 0.0):
        rnn.eps = eps
        results = []
        for run in (rnn, compiled):
            y, h_n = run(x)
            results.append(
                [y, h_n, *torch.autograd.grad(y.square().sum() + h_n.sum(), list(rnn.parameters()))]
            )
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        compilations[eps] = backend.frame_count
    assert compilations[BETWEEN[-1]] == compilations[BETWEEN[0]] > compilations[1.0]
    assert compilations[0.0] > compilations[BETWEEN[-1]]  # the kernel is another


def test_a_change_of_eps_leaves_alone_what_is_under_way():
    """Between a forward pass and its backward pass, in a copy, in an exported program."""
    rnn, x = nn.BMRU(3, 5, batch_first=True, eps=0.5), torch.rand(2, 9, 3)
    compiled = torch.compile(rnn, fullgraph=True, backend=counter())
    expected = [rnn(x)[0], *torch.autograd.grad(rnn(x)[0].square().sum(), list(rnn.parameters()))]
    y = compiled(x)[0]
    exported, copied = torch.export.export(rnn, (x,)), copy.copy(rnn)
    copied.eps = 0.9
    assert torch.equal(compiled(x)[0], expected[0])
    rnn.eps = 0.25
    got = [y, *torch.autograd.grad(y.square().sum(), list(rnn.parameters()))]
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert torch.equal(exported.module()(x)[0], expected[0])
    assert not torch.equal(rnn(x)[0], expected[0])


@pytest.mark.parametrize("cell", CALLS.values())
def test_a_tensor_stands_for_its_number(cell):
    backend, public = counter(), testing.public(cell)
    compiled = torch.compile(
        lambda tensors, eps, reset: public(**tensors, eps=eps, reset=reset),
        fullgraph=True,
        backend=backend,
    )
    compilations = []
    for eps in (0.75, 0.5, 0.125, 1.0, 0.0):
        call = testing.random_call(cell, 2, 9, 5, options={"eps": eps, "width": 1.0}, reset=True)
        leaves = {name: x.detach().requires_grad_() for name, x in call.tensors().items()}
        found = []
        for run, value in ((compiled, scalar(eps)), (public, scalar(eps)), (public, eps)):
            y, h_last = (
                run(leaves, value, call.reset)
                if run is compiled
                else run(**leaves, eps=value, reset=call.reset)
            )
            found.append(
                [
                    y,
                    h_last,
                    *torch.autograd.grad(
                        [y, h_last], list(leaves.values()), [call.dy, call.dh_last]
                    ),
                ]
            )
        for got in found[:2]:
            assert all(torch.equal(a, b) for a, b in zip(got, found[2], strict=True))
        compilations.append(backend.frame_count)
    assert compilations[1:] == compilations[:-1]


@pytest.mark.parametrize("kernel", [name for name, kernel in KERNELS.items() if kernel.varying])
def test_the_operators_are_what_they_tell_torch(kernel):
    call = testing.random_call(CALLS[kernel], 2, 9, 5, h_reset="shared", reset=True)
    operators = torch.ops.lrnn_kernels
    forward, backward = (
        getattr(operators, kernel + varying.SUFFIX + suffix).default for suffix in ("", "_backward")
    )
    eps, width = scalar(0.5), [1.0]
    start = [list(call.inputs), [*call.params, eps], width, None, call.reset, call.h_reset, False]
    assert all(torch.Tag.cudagraph_unsafe in operator.tags for operator in (forward, backward))
    torch.library.opcheck(forward, (*start, True))
    y, _, _ = forward(*start, True)
    torch.library.opcheck(backward, (*start, y, call.dy, call.dh_last))
    *_, deps, _, _ = grads = backward(*start, y, call.dy, call.dh_last)
    assert torch.equal(deps, torch.zeros_like(eps))
    assert len(grads) == len(call.inputs) + len(call.params) + 3

    # Mapped over the streams and eps, the operators loop.
    several = [torch.stack([x, x.flip(1)]) for x in call.inputs]
    both = torch.tensor([0.5, 0.25], dtype=torch.float64)
    mapped = torch.vmap(
        lambda inputs, eps: forward(
            inputs, [*call.params, eps], width, None, call.reset, call.h_reset, False, True
        )[0]
    )
    for v, y in enumerate(mapped(several, both)):
        assert torch.equal(
            y, forward([x[v] for x in several], [*call.params, both[v]], *start[2:], True)[0]
        )


@pytest.mark.parametrize(
    ("eps", "words"),
    [
        (scalar(0.5)[None], r"of shape \(\) on the CPU, got \(1,\) on cpu"),
        (scalar(0.5).to("meta"), r"got \(\) on meta"),
        (scalar(0.5).requires_grad_(), "not require a gradient"),
    ],
)
def test_other_tensors_are_refused(eps, words):
    with pytest.raises(ValueError, match=f"eps must .*{words}"):
        lrnn_kernels.fq_bmru(torch.ones(1, 2, 3), *torch.ones(3, 3), eps=eps)


def test_eps_has_no_derivative_and_is_not_mapped():
    c = torch.ones(1, 2, 3)
    for transform in (
        lambda f: torch.func.jvp(f, (scalar(0.5),), (scalar(1.0),)),
        lambda f: torch.vmap(f)(scalar(0.5)[None]),
    ):
        with pytest.raises(ValueError, match=r"eps must not be transformed by torch\.func"):
            transform(lambda eps: lrnn_kernels.bmru(c, c, torch.ones(3), eps=eps)[0])


def test_values_out_of_range_are_refused_when_they_are_read():
    c = torch.ones(1, 2, 3)
    compiled = torch.compile(
        lambda eps: lrnn_kernels.bmru(c, c, torch.ones(3), eps=eps)[0],
        fullgraph=True,
        backend=counter(),
    )
    for run in (compiled, lambda eps: lrnn_kernels.bmru(c, c, torch.ones(3), eps=eps)):
        with pytest.raises(ValueError, match=r"eps must be in \[0, 1\], got 1.5"):
            run(scalar(1.5))
