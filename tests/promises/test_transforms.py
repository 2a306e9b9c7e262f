"""The operators under what torch does with a graph: derivatives mapped and nested, one tensor
for two arguments, hooks, checkpoints."""

import functools
import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._vmap_internals import _vmap
from torch.autograd.functional import hessian, jacobian
from torch.func import grad, jacfwd, jacrev, vmap
from torch.utils.checkpoint import checkpoint

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.conftest import BACKENDS, VARIANTS, over, refusals

ALL_BACKENDS = [*BACKENDS, "reference"]
every_variant = over(("cell", "options"), VARIANTS)
every_backend = pytest.mark.parametrize("backend", ALL_BACKENDS)

CLOSE = {"rtol": 1e-10, "atol": 1e-11}  # float64: sums are taken in another order
assert_close = functools.partial(torch.testing.assert_close, **CLOSE)

LINEAR = [cell for cell, entry in CELLS.items() if entry.linear]
#: What differentiates twice: the fused linear scans, and the reference of every cell.
TWICE = [
    (cell, options, backend)
    for cell, options in VARIANTS
    for backend in ALL_BACKENDS
    if backend == "reference" or cell in LINEAR
]
ONCE = [
    (cell, options, backend)
    for cell, options in VARIANTS
    for backend in BACKENDS
    if cell not in LINEAR
]


class Function:
    """A small call in double precision as a function of its tensors."""

    def __init__(self, cell: str, options, backend: str, T: int = 3, **kwargs) -> None:
        dtype = torch.float64 if torch.float64 in CELLS[cell].dtypes else torch.complex128
        self.call = testing.random_call(cell, 2, T, 2, dtype=dtype, options=options, **kwargs).to(
            testing.device_of(backend)
        )
        self.backend = backend
        self.tensors = tuple(self.call.tensors().values())
        self.leaves = tuple(x.detach().clone().requires_grad_() for x in self.tensors)
        self.all = tuple(range(len(self.tensors)))

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return self.call.apply(self.backend, **dict(zip(self.call.tensors(), tensors, strict=True)))

    def loss(self, *tensors: Tensor) -> Tensor:
        """Of which second derivatives are not zero."""
        y, h_last = self(*tensors)
        return (
            (y * self.call.dy).abs().square().sum()
            + (h_last * self.call.dh_last).abs().square().sum()
        ).sqrt()

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss, self.leaves)


def _serves(cell: str, options, backend: str) -> bool:
    return backend == "reference" or testing.serves(backend, CELLS[cell].kernel(options, True), 2)


@every_variant
@every_backend
@pytest.mark.parametrize("reset", [False, True])
def test_batched_gradients_equal_a_loop(cell, options, backend, reset):
    """torch.autograd.grad(is_grads_batched=True), with either incoming gradient and with both,
    and mapped twice."""
    if not _serves(cell, options, backend):
        return
    f = Function(cell, options, backend, reset=reset)
    outputs = f(*f.leaves)
    given = [torch.randn(2, 3, *x.shape, dtype=x.dtype, device=x.device) for x in outputs]
    gradients = functools.partial(torch.autograd.grad, retain_graph=True, materialize_grads=True)
    for which in ([0], [1], [0, 1]):
        some = [outputs[i] for i in which]
        expected = [
            [gradients(some, f.leaves, [given[i][v, w] for i in which]) for w in range(3)]
            for v in range(2)
        ]
        got = gradients(some, f.leaves, [given[i][0] for i in which], is_grads_batched=True)
        assert_close(got, tuple(torch.stack(x) for x in zip(*expected[0], strict=True)))
        twice = _vmap(
            _vmap(
                lambda *v, some=some: torch.autograd.grad(
                    some, f.leaves, v, retain_graph=True, allow_unused=True
                )
            )
        )
        if len(which) == 2:
            got = twice(*(given[i] for i in which))
            assert_close(
                got,
                tuple(
                    torch.stack([torch.stack([row[i] for row in rows]) for rows in expected])
                    for i in f.all
                ),
            )


@every_variant
@every_backend
def test_jacobians_agree(cell, options, backend):
    """Row by row, mapped, with a graph, and by torch.func."""
    f = Function(cell, options, backend, reset=True)
    if f.call.dtype.is_complex or not _serves(cell, options, backend):
        return
    expected = jacobian(f, f.tensors)
    assert_close(jacobian(f, f.tensors, vectorize=True), expected)
    assert_close(jacobian(f, f.tensors, vectorize=True, create_graph=True), expected)
    assert_close(jacrev(f, argnums=f.all)(*f.tensors), expected)
    assert_close(jacrev(f, argnums=f.all, chunk_size=3)(*f.tensors), expected)


@every_variant
def test_the_reference_runs_under_torch_func(cell, options):
    """Gradients per sample, mapped twice, are those of a loop."""
    f = Function(cell, options, "reference", reset=True)
    several = [
        torch.stack([torch.stack([x, 0.5 * x]), torch.stack([0.7 * x, 0.9 * x])]) for x in f.tensors
    ]
    got = vmap(vmap(grad(f.loss, argnums=f.all)))(*several)
    for v, w in itertools.product(range(2), repeat=2):
        one = [x[v, w].clone().requires_grad_() for x in several]
        assert_close(tuple(g[v, w] for g in got), torch.autograd.grad(f.loss(*one), one))


@over(("cell", "options", "backend"), TWICE)
def test_second_derivatives_agree(cell, options, backend):
    f = Function(cell, options, backend, T=2, reset=True)
    if f.call.dtype.is_complex:
        return
    expected = hessian(f.loss, f.tensors)
    assert_close(hessian(f.loss, f.tensors, vectorize=True), expected)
    assert_close(jacrev(jacrev(f.loss, argnums=f.all), argnums=f.all)(*f.tensors), expected)


@pytest.mark.parametrize("cell", LINEAR)
def test_every_order_of_forward_and_reverse_mode_agrees(cell):
    """Of real numbers, as they are or as the parts of complex ones: torch has no forward
    Jacobian of complex functions."""
    kwargs = {"dtype": torch.float64, "split": True} if cell == "lru" else {"dtype": torch.float64}
    call = testing.random_call(cell, 2, 2, 2, reset=True, **kwargs)
    names, tensors = zip(
        *((name, x) for name, x in call.tensors().items() if not x.is_complex()), strict=True
    )
    everything = tuple(range(len(names)))

    def loss(*given):
        y, h_last = call.apply("auto", **dict(zip(names, given, strict=True)))
        return (y * call.dy).square().sum() + (h_last * call.dh_last).square().sum()

    expected = hessian(loss, tensors)
    for outer, inner in itertools.product((jacfwd, jacrev), repeat=2):
        assert_close(outer(inner(loss, argnums=everything), argnums=everything)(*tensors), expected)
    assert_close(
        hessian(loss, tensors, vectorize=True, outer_jacobian_strategy="forward-mode"), expected
    )


@pytest.mark.parametrize("cell", LINEAR)
def test_forward_mode_three_deep_is_refused(cell):
    """torch loses the tangents of outer transforms within an autograd.Function: better no number
    than a wrong one."""
    f = Function(cell, CELLS[cell].options, "auto")

    def nested(depth: int):
        inner = nested(depth - 1) if depth else f
        return lambda *x: torch.func.jvp(inner, x, x)[1]

    nested(1)(*f.tensors)
    with pytest.raises(NotImplementedError, match="forward mode works two deep; use reverse mode"):
        nested(2)(*f.tensors)


@over(("cell", "options", "backend"), ONCE)
def test_what_has_no_derivative_says_so(cell, options, backend):
    if not _serves(cell, options, backend):
        return
    f = Function(cell, options, backend, reset=True)
    with pytest.raises(
        NotImplementedError,
        match="second derivatives exist only for linear recurrences; use backend='reference'",
    ):
        hessian(f.loss, f.tensors)
    with pytest.raises(
        NotImplementedError,
        match="second derivatives exist only for linear recurrences; use backend='reference'",
    ):
        hessian(f.loss, f.tensors, vectorize=True)
    for transform in (jacrev, jacfwd):
        with pytest.raises(NotImplementedError, match="exist only for linear recurrences"):
            transform(grad(f.loss))(*f.tensors)
    with pytest.raises(
        NotImplementedError, match="forward-mode derivatives exist only for linear recurrences"
    ):
        torch.func.jvp(f, f.tensors, f.tensors)


def _tied(f: Function) -> list[tuple[int, ...]]:
    """Groups of arguments that may be one tensor: of one shape and type."""
    groups: dict[tuple, list[int]] = {}
    for i, x in enumerate(f.tensors):
        groups.setdefault((x.shape, x.dtype), []).append(i)
    return [tuple(group) for group in groups.values() if len(group) > 1]


@over("cell", CELLS)
@pytest.mark.parametrize("h_reset", ["shared", "per_batch"])
def test_one_tensor_for_several_arguments(cell, h_reset):
    """Every pair, and all that may be one at once: eager, under torch.func, compiled and
    exported, gradients add up."""
    f = Function(cell, CELLS[cell].options, "auto", reset=True, h_reset=h_reset)
    groups = _tied(f)
    pairs = [pair for group in groups for pair in itertools.combinations(group, 2)]
    assert len(pairs) >= (h_reset == "per_batch")  # h0 is h_reset
    for tied in [[pair] for pair in pairs] + [groups]:
        first = {i: group[0] for group in tied for i in group}
        places = [first.get(i, i) for i in f.all]  # whose tensor each argument gets
        free = sorted(set(places))
        leaves = {i: f.leaves[i] for i in free}

        def one(*tensors, places=places, free=free):
            given = dict(zip(free, tensors, strict=True))
            return f(*(given[i] for i in places))

        apart = [f.leaves[i].detach().clone().requires_grad_() for i in places]
        expected = f(*apart)
        separate = torch.autograd.grad(sum(x.abs().square().sum() for x in expected), apart)
        sums = [
            sum(g for g, place in zip(separate, places, strict=True) if place == i) for i in free
        ]
        runs = [one]
        if tied is groups and groups:
            torch.compiler.reset()
            module = torch.nn.Module()
            module.forward = one
            runs += [torch.compile(one, fullgraph=True, backend="aot_eager")]
            for strict in (False, True):
                exported = torch.export.export(
                    module, tuple(leaves.values()), strict=strict
                ).module()
                with torch.no_grad():  # an exported operator has no gradient
                    assert_close(tuple(exported(*leaves.values())), expected)
        for run in runs:
            got = run(*leaves.values())
            assert_close(tuple(got), expected)
            assert_close(
                torch.autograd.grad(
                    sum(x.abs().square().sum() for x in got), list(leaves.values())
                ),
                tuple(sums),
            )


@every_variant
def test_what_was_saved_may_be_moved_and_computed_again(cell, options):
    """Saved-tensor hooks, both kinds of checkpoint, a graph that is kept."""
    f = Function(cell, options, "auto", reset=True)
    expected = f.gradients(f.loss(*f.leaves))
    for hooks in (
        torch.autograd.graph.save_on_cpu(),
        torch.autograd.graph.saved_tensors_hooks(lambda x: x.numpy(), torch.from_numpy),
    ):
        with hooks:
            loss = f.loss(*f.leaves)
        assert_close(f.gradients(loss), expected)
    assert_close(f.gradients(checkpoint(f.loss, *f.leaves, use_reentrant=False)), expected)
    checkpoint(f.loss, *f.leaves, use_reentrant=True).backward()
    assert_close(tuple(x.grad for x in f.leaves), expected)
    loss = f.loss(*f.leaves)
    for _ in range(2):
        assert_close(torch.autograd.grad(loss, f.leaves, retain_graph=True), expected)


@every_variant
@pytest.mark.parametrize("reset", [False, True])
def test_a_change_of_what_was_saved_is_seen(cell, options, reset):
    """An argument or a result that changes in place before the backward pass: that is refused,
    unless nothing reads it."""
    f = Function(cell, options, "auto", reset=reset)
    count = len(f.tensors) + 3
    weights = [torch.randn_like(x) for x in f(*f.tensors)]

    def gradients(changed: int | None) -> tuple[Tensor, ...]:
        mask = f.call.reset.clone() if reset else None
        given = [x.clone() for x in f.leaves]
        f.call = replace(f.call, reset=mask)
        outputs = f(*given)
        loss = sum((x * w).sum() for x, w in zip(outputs, weights, strict=True))
        loss = loss.real if loss.is_complex() else loss
        with torch.no_grad():
            if changed is not None and changed < len(given) + 2:
                [*given, *outputs][changed].mul_(3)
            elif changed is not None and reset:
                mask.logical_not_()
        return f.gradients(loss)

    expected = gradients(None)
    original = f.call.reset
    refused = []
    for i in range(count):
        f.call = replace(f.call, reset=original)
        with refusals(refused):
            assert_close(gradients(i), expected)
    assert refused
