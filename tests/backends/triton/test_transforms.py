"""The Triton operators under derivatives of derivatives, vmap, opcheck and torch.compile."""

import re
import sys
from dataclasses import replace

import pytest
import torch
from torch.func import grad, vmap

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from lrnn_kernels.cells.src import OPTIONS as SRC_OPTIONS
from tests.backends.triton.cases import (
    CELLS_HERE,
    DEVICE,
    FEW,
    SERVED,
    narrowest,
)
from tests.conftest import over

pytestmark = pytest.mark.usefixtures("where", "poisoned")

ALL_CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)


def test_second_derivatives():
    """A linear scan's gradient is differentiated on the same backend, both modes."""
    a, b = (
        torch.rand(1, 3, 1, dtype=torch.float64, device=DEVICE, requires_grad=True)
        for _ in range(2)
    )
    scan = lambda a, b: lrnn_kernels.linear_scan(a, b, backend="triton")  # noqa: E731
    assert torch.autograd.gradcheck(scan, (a, b), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(scan, (a, b))


@over(("cell", "options"), FEW)
def test_batched_gradients_equal_a_loop(cell, options):
    """torch.autograd's own vmap, which is not torch.func's."""
    call = testing.random_call(
        cell, 1, 3, 2, dtype=narrowest(cell), options=options, reset=True
    ).to(DEVICE)
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


#: A call of every kernel.
KERNELS = {
    CELLS[cell].kernel(options, reset).name: (cell, options, reset)
    for cell, options in reversed(SERVED)
    for reset in (False, True)
    if not isinstance(options.get("memory"), int)
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_opcheck(kernel):
    cell, options, reset = KERNELS[kernel]
    call = testing.random_call(
        cell, 2, 5, 4, dtype=narrowest(cell), options=options, reset=reset
    ).to(DEVICE)
    args = (
        list(call.inputs),
        list(call.params),
        call.entry.numbers(call.options),
        call.h0,
        call.reset,
        call.h_reset,
        False,
    )
    forward, backward = (
        getattr(torch.ops.lrnn_triton, kernel + suffix).default for suffix in ("", "_backward")
    )
    torch.library.opcheck(forward, (*args, True))
    y, _, saved = forward(*args, True)
    states = saved if call.kernel.saves in ("bits", "states") else y
    torch.library.opcheck(backward, (*args, states, call.dy, call.dh_last))


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


#: A cell of each engine; what torch must know of an operator is the same in an engine, and checked
#: above for every kernel.
BY_ENGINE = {
    CELLS[cell].kernel(CELLS[cell].options, False).engine: cell for cell in reversed(CELLS_HERE)
}


@pytest.mark.parametrize("cell", BY_ENGINE.values())
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
        call = testing.random_call(cell, 2, T, 3, dtype=narrowest(cell)).to(DEVICE)
        leaves = [x.requires_grad_() for x in (*call.inputs, *call.params)]
        y, h_last = run(*leaves)
        got = torch.autograd.grad([y, h_last], leaves, [call.dy, call.dh_last])
        expected = testing.run(replace(call, h0=None), "triton")
        assert torch.equal(y, expected["y"])
        for name, g in zip((*call.entry.inputs, *call.entry.params), got, strict=True):
            assert torch.equal(g, expected["d_" + name])
