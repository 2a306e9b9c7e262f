"""The public functions under torch.func, torch.compile, torch.export and autocast."""

import re
import sys

import pytest
import torch
import torch._dynamo.testing
from torch.func import functional_call, grad, jacrev, vmap

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.conftest import VARIANTS, over


def _dtype(cell: str) -> torch.dtype:
    return torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64


def _stacked(
    cell: str, options, mapped: set[str], V: int = 3, **kwargs
) -> tuple[testing.Call, dict]:
    """A call, and its tensors with a leading dimension V where mapped."""
    call = testing.random_call(cell, 2, 5, 4, dtype=_dtype(cell), options=options, **kwargs)
    others = [
        testing.random_call(
            cell, 2, 5, 4, dtype=_dtype(cell), options=options, **kwargs, seed=v
        ).tensors()
        for v in range(V)
    ]
    return call, {
        name: torch.stack([o[name] for o in others]) if name in mapped else x
        for name, x in call.tensors().items()
    }


def _mapped_sets(cell: str) -> list[set[str]]:
    """Everything mapped; the streams only; one of each other kind only."""
    entry = CELLS[cell]
    everything = {*entry.inputs, *entry.params, "h0", "h_reset"}
    return [
        everything,
        set(entry.inputs),
        {entry.inputs[0]},
        {"h0"},
        {"h_reset"},
        *({name} for name in entry.params),
    ]


@over(("cell", "options"), VARIANTS)
def test_vmap_equals_a_loop(cell, options):
    """Over streams, parameters and states, mapped or shared, along any dimension; the mask is
    shared."""
    for mapped in _mapped_sets(cell):
        for reset in (False, True):
            if "h_reset" in mapped and not reset:
                continue
            call, tensors = _stacked(cell, options, mapped, reset=reset)
            dims = {name: 0 if name in mapped else None for name in tensors}
            y, h_last = vmap(lambda given, call=call: call.apply("auto", **given), in_dims=(dims,))(
                tensors
            )
            last = {name: x.movedim(0, -1) if name in mapped else x for name, x in tensors.items()}
            dims = {name: -1 if name in mapped else None for name in tensors}
            moved, _ = vmap(
                lambda given, call=call: call.apply("auto", **given), in_dims=(dims,), out_dims=1
            )(last)
            for v in range(3):
                one, one_last = call.apply(
                    "auto", **{name: x[v] if name in mapped else x for name, x in tensors.items()}
                )
                assert torch.equal(y[v], one)
                assert torch.equal(moved[:, v], one)
                assert torch.equal(h_last[v], one_last)


@over(("cell", "options"), VARIANTS)
def test_gradients_per_sample(cell, options):
    """vmap(grad): every sample's gradients of shared parameters and states, as a loop over
    samples has them."""

    def loss(given, call):
        y, h_last = call.apply("auto", **given)
        total = (y * call.dy).sum() + (h_last * call.dh_last).sum()
        return total.real if total.is_complex() else total

    for mapped in _mapped_sets(cell):
        for reset in (False, True):
            if "h_reset" in mapped and not reset:
                continue
            call, tensors = _stacked(cell, options, mapped, reset=reset)
            dims = {name: 0 if name in mapped else None for name in tensors}
            got = vmap(grad(lambda given, call=call: loss(given, call)), in_dims=(dims,))(tensors)
            for v in range(3):
                leaves = {
                    name: (x[v] if name in mapped else x).clone().requires_grad_()
                    for name, x in tensors.items()
                }
                loss(leaves, call).backward()
                for name, x in leaves.items():
                    assert testing.relative_error(
                        got[name][v], x.grad
                    ) < 128 * testing.unit_roundoff(torch.float32), name


def test_jacobians_and_second_derivatives():
    """jacrev and grad(grad) of a linear scan, whose Jacobian in b is the matrix of products of
    a."""
    a, b = torch.rand(1, 4, 1, dtype=torch.float64), torch.randn(1, 4, 1, dtype=torch.float64)
    jacobian = jacrev(lambda b: lrnn_kernels.linear_scan(a, b)[0].flatten())(b).reshape(4, 4)
    expected = torch.stack(
        [
            torch.stack(
                [a[0, s + 1 : t + 1, 0].prod() if s <= t else a.new_zeros(()) for s in range(4)]
            )
            for t in range(4)
        ]
    )
    assert torch.allclose(jacobian, expected, rtol=1e-14)

    def loss(a, backend="auto"):
        return lrnn_kernels.linear_scan(a, b, backend=backend)[0].pow(2).sum()

    second = grad(lambda a: grad(loss)(a).pow(2).sum())(a)
    reference = grad(lambda a: grad(loss)(a, "reference").pow(2).sum())(a)
    assert torch.allclose(second, reference, rtol=1e-12)


@over(("cell", "options"), VARIANTS)
def test_compile_with_dynamic_lengths(cell, options):
    """torch.compile(fullgraph=True): what is compiled for one T serves every T, with the values
    and gradients of the eager call."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    entry = CELLS[cell]
    accepted, public = testing.accepted(cell, options), testing.public(cell)

    @torch.compile(fullgraph=True, dynamic=True, backend=counter)
    def compiled(tensors, reset):
        return public(**tensors, **accepted, reset=reset)

    compilations, resets = [], entry.kernel(options, False).engine != "latch"
    for T in (7, 40, 65):
        call = testing.random_call(
            cell, 2, T, 5, dtype=_dtype(cell), options=options, reset=resets, seed=T
        )
        leaves = {name: x.detach().requires_grad_() for name, x in call.tensors().items()}
        y, h_last = compiled(leaves, call.reset)
        grads = torch.autograd.grad([y, h_last], list(leaves.values()), [call.dy, call.dh_last])
        got = {"y": y, "h_last": h_last} | {
            f"d_{name}": g for name, g in zip(leaves, grads, strict=True)
        }
        assert all(torch.equal(got[name], x) for name, x in testing.run(call).items())
        compilations.append(counter.frame_count)
    assert (
        compilations[1:] == compilations[:-1]
    )  # the first may take two: numbers are specialized in a second attempt


@pytest.mark.skipif(
    re.search(r"[^\w/.+-]", sys.prefix) is not None,
    reason="this machine's Python lies in a folder that torch's own compiler cannot name",
)
def test_compile_with_inductor():
    """Generated code around an operator: the projection before it and the loss after it."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    project, x = torch.nn.Linear(6, 16), torch.randn(2, 33, 6)

    def loss(x):
        c, beta = project(x).chunk(2, -1)
        return lrnn_kernels.bmru(c, beta, torch.ones(8))[0].tanh().mean()

    results = []
    for function in (loss, torch.compile(loss, fullgraph=True)):
        project.zero_grad()
        value = function(x)
        value.backward()
        results.append((value.detach(), project.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1])


class _Recurrent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Linear(3, 10)
        self.alpha = torch.nn.Parameter(torch.ones(5))

    def forward(self, x, reset):
        c, beta = self.project(x).chunk(2, -1)
        return lrnn_kernels.bmru(c, beta, self.alpha, reset=reset)


def test_export_with_a_free_length():
    """torch.export keeps the operator as one node and T free."""
    module, x = _Recurrent().eval(), torch.randn(2, 9, 3)
    free = {1: torch.export.Dim("T", min=2, max=1000)}
    program = torch.export.export(
        module, (x, torch.zeros(2, 9, dtype=torch.bool)), dynamic_shapes=(free, free)
    )
    assert "lrnn_kernels" in str(program.graph)
    x, reset = torch.randn(2, 50, 3), torch.rand(2, 50) < 0.2
    with torch.no_grad():
        for got, expected in zip(program.module()(x, reset), module(x, reset), strict=True):
            assert torch.equal(got, expected)


def test_an_ensemble_of_modules():
    """torch.func.functional_call under vmap: stacked weights, one call."""
    modules, x, reset = (
        [_Recurrent() for _ in range(3)],
        torch.randn(2, 9, 3),
        torch.zeros(2, 9, dtype=torch.bool),
    )
    weights, _ = torch.func.stack_module_state(modules)
    y, _ = vmap(lambda w: functional_call(modules[0], w, (x, reset)))(weights)
    for v, module in enumerate(modules):
        torch.testing.assert_close(y[v], module(x, reset)[0])


@over("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    """Under autocast the streams are 16-bit, as the projection makes them, and the states stay
    float32; weights get float32 gradients."""
    module, x = _Recurrent(), torch.randn(2, 40, 3)
    with torch.autocast("cpu", dtype=dtype):
        y, h_last = module(x, torch.zeros(2, 40, dtype=torch.bool))
    assert (y.dtype, h_last.dtype) == (dtype, torch.float32)
    y.float().pow(2).sum().backward()
    assert module.alpha.grad.dtype == module.project.weight.grad.dtype == torch.float32
