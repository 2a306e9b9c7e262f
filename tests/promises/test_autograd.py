"""Derivatives of any order against finite differences, and the operators against what torch asks
of an operator."""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS, KERNELS
from tests.conftest import VARIANTS, over


def _dtype(cell: str, wide: bool = False) -> torch.dtype:
    real, complex_type = (
        (torch.float64, torch.complex128) if wide else (torch.float32, torch.complex64)
    )
    return real if real in CELLS[cell].dtypes else complex_type


def _function(call: testing.Call, backend: str = "cpu"):
    """The call as a function of its tensors, and the tensors."""
    names, leaves = zip(
        *((name, x.detach().requires_grad_()) for name, x in call.tensors().items()), strict=True
    )
    return lambda *tensors: call.apply(backend, **dict(zip(names, tensors, strict=True))), leaves


def _is_smooth(cell: str, options) -> bool:
    """Whether the gradient is that of the function, with no surrogate and nothing held constant."""
    if options.get("gradient") == "detached":
        return False
    call = testing.random_call(cell, 1, 2, 2, dtype=_dtype(cell, wide=True), options=options)
    function, leaves = _function(call, "reference")
    seen, ahead = set(), [y.grad_fn for y in function(*leaves)]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions]
    # Nothing but a surrogate is a torch.autograd.Function in a cell's step.
    return not any(isinstance(node, torch.autograd.function.BackwardCFunction) for node in seen)


SMOOTH = [(cell, options) for cell, options in VARIANTS if _is_smooth(cell, options)]
LINEAR = [cell for cell, entry in CELLS.items() if entry.linear]


def _doubles(cell: str, options=None) -> list[testing.Call]:
    """Small float64 (and complex128) calls: plain, with resets, reversed, split."""
    found = []
    for dtype in {
        _dtype(cell, wide=True),
        *((torch.complex128,) if torch.complex128 in CELLS[cell].dtypes else ()),
    }:
        common = {"B": 2, "C": 3, "dtype": dtype, "options": options}
        found += [
            testing.random_call(cell, T=5, **common),
            testing.random_call(cell, T=1, **common, h0=False),
        ]
        found += [
            testing.random_call(cell, T=6, **common, reset=True, reverse=reverse)
            for reverse in (False, True)
        ]
        found += [
            testing.random_call(
                cell, T=4, **common, reset=True, h_reset="per_batch", per_batch=True
            )
        ]
    if cell == "lru":
        found += [testing.random_call(cell, 2, 5, 3, dtype=torch.float64, split=True, reset=True)]
    for call in found:
        for x in call.inputs:  # finite differences must not straddle the kink that is planted at 0
            x[x == 0] = 0.3
    return found


@over(("cell", "options"), SMOOTH)
def test_gradcheck(cell, options):
    """Gradients are the limit of finite differences."""
    for call in _doubles(cell, options):
        torch.autograd.gradcheck(*_function(call), fast_mode=call.dtype.is_complex)
        torch.autograd.gradcheck(*_function(call), fast_mode=True, check_batched_grad=True)


@pytest.mark.parametrize("cell", LINEAR)
def test_second_derivatives_of_linear_scans(cell):
    for call in _doubles(cell):
        torch.autograd.gradgradcheck(*_function(call), fast_mode=True, check_batched_grad=True)


@pytest.mark.parametrize("cell", LINEAR)
def test_forward_mode_of_linear_scans(cell):
    for call in _doubles(cell):
        torch.autograd.gradcheck(
            *_function(call),
            check_forward_ad=True,
            check_batched_forward_grad=True,
            check_backward_ad=False,
            fast_mode=True,
        )


@pytest.mark.parametrize("cell", LINEAR)
def test_second_derivatives_without_steps(cell):
    """T = 0: h_last is h0, any number of times."""
    torch.autograd.gradgradcheck(
        *_function(testing.random_call(cell, 2, 0, 3, dtype=torch.complex128)), fast_mode=True
    )


def test_second_derivatives_of_packed_streams():
    call = testing.random_call("linear_scan", 2, 5, 3, dtype=torch.float64, packed=True, reset=True)
    torch.autograd.gradgradcheck(*_function(call), fast_mode=True)


def _apart(x: torch.Tensor) -> torch.Tensor:
    """Time-major, with channels two apart: the kernel reads a copy."""
    return x.repeat_interleave(2, -1).transpose(0, 1).contiguous()[..., ::2].transpose(0, 1)


def _operator_calls(kernel: str) -> list[tuple]:
    """Arguments of a compiled operator: plain, time-major, packed, 16-bit, with resets, split."""
    cell, options = next(
        (c, o)
        for c, o in VARIANTS
        if KERNELS[kernel] in (CELLS[c].kernel(o, False), CELLS[c].kernel(o, True))
    )
    resets = KERNELS[kernel].engine != "latch"
    made = {"options": options, "dtype": _dtype(cell), "reset": resets}
    calls = [
        testing.random_call(cell, 2, 35, 5, **made),
        testing.random_call(cell, 2, 3, 8, **made | {"reset": False}, h0=False),
    ]
    calls += [testing.random_call(cell, 2, 4, 5, **made, h_reset="per_batch", per_batch=True)]

    def major(x):
        return x.transpose(0, 1).contiguous().transpose(0, 1)

    calls += [replace(calls[0], inputs=tuple(map(major, calls[0].inputs)))]
    calls += [replace(calls[0], inputs=tuple(map(_apart, calls[0].inputs)))]
    if KERNELS[kernel].streams > 1:
        calls += [testing.random_call(cell, 2, 5, 3, **made, packed=True)]
    if torch.bfloat16 in CELLS[cell].dtypes:
        calls += [testing.random_call(cell, 2, 5, 3, **made | {"dtype": torch.bfloat16})]
    if KERNELS[kernel] in CELLS["lru"].kernels:
        calls += [testing.random_call("lru", 2, 5, 3, dtype=torch.float32, split=True, reset=True)]
        calls += [testing.random_call("lru", 2, 5, 3, dtype=torch.complex64)]
    found = []
    for call in calls:
        numbers = CELLS[call.cell].numbers(call.options)
        fixed = (
            list(call.inputs),
            list(call.params),
            numbers,
            call.h0,
            call.reset,
            call.h_reset,
            call.reverse,
        )
        found.append((call, fixed))
    return found


@pytest.mark.parametrize("kernel", KERNELS)
def test_operators_satisfy_torch(kernel):
    """opcheck: the schema tells the truth about mutation and aliasing, and fakes have the kernels'
    shapes, strides and types.

    Its autograd checks do not apply: gradients belong to autograd.Function, above the operators,
    which are not differentiable themselves.
    """
    tests = ("test_schema", "test_faketensor")
    forward, backward = (
        getattr(torch.ops.lrnn_kernels, kernel + suffix).default for suffix in ("", "_backward")
    )
    for call, fixed in _operator_calls(kernel):
        for save in (False, True):
            torch.library.opcheck(forward, (*fixed, save), test_utils=tests)
        y, _, saved = forward(*fixed, True)
        states = saved if saved.dim() > 1 else y
        for dy, dh_last in (
            (call.dy, call.dh_last),
            (call.dy[:, :, :1].expand_as(call.dy), None),
            (None, call.dh_last),
        ):
            torch.library.opcheck(backward, (*fixed, states, dy, dh_last), test_utils=tests)


@over(("cell", "options"), [v for v in VARIANTS if not CELLS[v[0]].matrices])
def test_a_backward_pass_reads_the_streams_that_the_row_names(cell, options):
    """And no other: what lies in those has no influence."""
    call, row = testing.random_call(cell, 2, 9, 5, options=options or None), CELLS[cell]
    kernel, numbers = call.kernel, row.numbers(call.options)
    forward, back = (
        getattr(torch.ops.lrnn_kernels, kernel.name + suffix).default
        for suffix in ("", "_backward")
    )
    params, states = list(call.params), (call.h0, call.reset, call.h_reset, call.reverse)
    y, _, saved = forward(list(call.inputs), params, numbers, *states, True)
    kept = {"y": y, "nothing": None}.get(kernel.saves, saved)

    def gradients(inputs):
        return back(inputs, params, numbers, *states, kept, call.dy, call.dh_last)

    expected, read = gradients(list(call.inputs)), []
    for i, name in enumerate(row.inputs):
        others = list(call.inputs)
        others[i] = torch.full_like(others[i], float("nan"))
        if not all(map(torch.equal, gradients(others), expected)):
            read.append(name)
    again = kernel.checkpoints and numbers[0] > 0  # which runs the forward pass once more
    assert tuple(read) == (row.inputs if again else kernel.reads)
