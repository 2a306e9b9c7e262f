"""The one path from a public operator to a backend: check, choose, run. Rows are handed in:
nothing here knows a list of them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from ..backends import choose, interrupts
from ..backends.operators import NAMESPACE as CPU
from ..backends.tracing import untraced
from ..backends.varying import SUFFIX
from ..cell import Cell, Kernel
from ..options import boolean, constant
from . import arguments, autograd, distributed, linear, reference
from .static import Static

#: The layouts of earlier calls whose tensors were right as they came: such a call need not be
#: checked twice. Checks take longest where it hurts most: after large tensors have gone by, their
#: code is in no cache any more.
_layouts: dict[arguments.Signature, arguments.Layout] = {}
_MOST_LAYOUTS = 1024

#: Operators of earlier calls without gradients, by all that their choice rests on.
_operators: dict[tuple[arguments.Signature, Kernel, str], Any] = {}


def _remember(signature: arguments.Signature, layout: arguments.Layout) -> None:
    if len(_layouts) >= _MOST_LAYOUTS:
        _layouts.clear()
        _operators.clear()
    _layouts[signature] = layout


#: A checked call, which ``run`` executes and ``explain`` describes: kernel, backend, layout,
#: inputs, params, options, h0, h_reset. A plain tuple: one with names would take as long to make as
#: a tenth of a small call.
Call = tuple[
    Kernel,
    choose.Choice,
    arguments.Layout,
    list[Tensor],
    list[Tensor],
    Mapping[str, Any],
    Tensor | None,
    Tensor | None,
]


def prepare(
    row: Cell,
    inputs: list[Tensor],
    params: list[Tensor],
    options: Mapping[str, Any],
    h0: Tensor | None,
    reset: Tensor | None,
    h_reset: Tensor | None,
    backend: str,
    packed: bool = False,
    signature: arguments.Signature | None = None,
    state: str = "h0",
) -> Call:
    """Checks a call, brings its tensors to the dtypes that kernels take, and chooses kernel and
    backend. signature: that of the call, where it is known; state: what users call h0."""
    if torch.compiler.is_compiling():
        # Numbers are constants of what is compiled. Dynamo may hold them as symbols, and two scans
        # of one symbol fail in it.
        options = {name: constant(x) for name, x in options.items()}
    if signature is None:
        signature = arguments.signature(row.name, packed, (*inputs, *params, h0, reset, h_reset))
    layout = _layouts.get(signature)
    if layout is None:
        given = [*inputs, *params, h0, h_reset]
        layout, inputs, params, h0, h_reset = check(
            row, inputs, params, h0, reset, h_reset, packed, state
        )
        if signature is not None and all(map(operator.is_, given, [*inputs, *params, h0, h_reset])):
            _remember(signature, layout)
    kernel = row.kernel(options, reset is not None)
    choice = choose.choose(backend, layout.device, kernel, layout.y_width)
    kernel = choose.kernel_on(choice.backend, kernel)
    return kernel, choice, layout, inputs, params, options, h0, h_reset


def run(
    row: Cell,
    inputs: list[Tensor],
    params: list[Tensor],
    options: Mapping[str, Any],
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
    packed: bool = False,
    process_group: distributed.ProcessGroup | None = None,
    time_first: bool = False,
    reached: Tensor | None = None,
    state: str = "h0",
) -> tuple[Tensor, Tensor]:
    """Runs a cell over time and returns (y, h_last).

    packed: inputs is one tensor (B, T, n*C) that holds the cell's n streams side by side, as one
    GEMM wrote them; its gradient then comes back in one buffer too.
    time_first: y is (T, B, C), a transposed view of the memory but no view to autograd.
    reached: where there is no reset, a state that the scan does not read and a backward pass
        reaches, without a gradient.
    state: what users call h0, where they see errors.
    """
    if reverse is not False:
        boolean("reverse", reverse)
    if process_group is not None:
        states = {"h0": h0, "reset": reset, "h_reset": h_reset}
        others = {"time_first": time_first, "reached": reached}
        return _run_piece(
            row, inputs, params, options, process_group, reverse, backend, packed, states, **others
        )
    key = None
    if not torch.is_grad_enabled() and not torch.compiler.is_compiling():
        # As a policy acts, step by step: most of a small call would be its checks.
        key = _key(row, inputs, params, options, h0, reset, h_reset, backend, packed)
        if (known := _operators.get(key)) is not None:
            try:
                numbers = row.numbers(options)
                y, h_last, _ = known(inputs, params, numbers, h0, reset, h_reset, reverse, False)
            except RuntimeError:
                interrupts.reraise()
                strided(row, inputs, params, h0, reset, h_reset, packed, state)
                raise
            return (y.transpose_(0, 1) if time_first else y), h_last
    signature = None if key is None else key[0]
    kernel, choice, layout, inputs, params, options, h0, h_reset = prepare(
        row, inputs, params, options, h0, reset, h_reset, backend, packed, signature, state
    )
    try:
        if choice.backend == "reference":
            if reached is not None and reset is None:
                h0 = torch.where(
                    torch.ones((), dtype=torch.bool, device=layout.device), h0, reached.to(h0.dtype)
                )
            y, h = _reference(row, layout, inputs, params, options, h0, reset, h_reset, reverse)
            return (autograd.owned(y.transpose(0, 1)) if time_first else y), h
        name, varying, taken = kernel.name, kernel.varying, params
        if varying is not None and isinstance(value := options[varying.name], Tensor):
            name, taken = name + SUFFIX, [*params, value]
        if signature in _layouts:
            namespace = choose.BACKENDS[choice.backend].NAMESPACE
            _operators[key] = getattr(getattr(torch.ops, namespace), name).default
        static = _static(row, choice, name, kernel, options, len(inputs), reverse)
        after = h_reset if reset is not None else reached
        return autograd.apply(static, reset, h0, after, [*inputs, *taken], time_first)
    except RuntimeError:
        strided(row, inputs, params, h0, reset, h_reset, packed, state)
        raise


def strided(
    row: Cell, inputs, params, h0, reset, h_reset, packed: bool = False, state: str = "h0"
) -> None:
    """Raises where a tensor does not lie as kernels read it: of calls that are not checked anew, as
    one of their kind was right, after an operator has said it in torch's words."""
    if torch.compiler.is_compiling():
        return
    state = state if len(row.states) == 1 else "state"
    names = [*(("packed",) if packed else row.inputs), *row.params, state, "reset", "h_reset"]
    for name, x in zip(names, [*inputs, *params, h0, reset, h_reset], strict=True):
        if x is not None:
            arguments.strided(name, x)


@untraced  # processes meet in it
def _run_piece(
    row: Cell,
    inputs: list[Tensor],
    params: list[Tensor],
    options: Mapping[str, Any],
    group: distributed.ProcessGroup,
    reverse: bool,
    backend: str,
    packed: bool,
    states: Mapping[str, Tensor | None],
    *,
    time_first: bool,
    reached: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """``run`` of a sequence that is split over the processes of a group."""
    distributed.check(row, group, backend)
    options = {name: x.item() if isinstance(x, Tensor) else x for name, x in options.items()}
    kernel, choice, layout, inputs, params, options, h0, h_reset = prepare(
        row, inputs, params, options, **states, backend=backend, packed=packed
    )
    distributed.check(row, group, choice.backend)
    static = _static(row, choice, kernel.name, kernel, options, len(inputs), reverse)
    reset = states["reset"]
    piece = distributed.piece(row, options, reset is not None, layout.split, group)
    if h0 is None:
        h0 = inputs[0].new_zeros((layout.B, layout.width), dtype=layout.carry)
    h_reset = h_reset if reset is not None else reached
    return distributed.apply(static, piece, reset, h0, h_reset, [*inputs, *params], time_first)


def _static(row: Cell, choice, name: str, kernel: Kernel, options, inputs: int, reverse) -> Static:
    namespace = choose.BACKENDS[choice.backend].NAMESPACE
    return Static(
        namespace,
        name,
        row.numbers(options),
        kernel.saves,
        kernel.linear,
        inputs,
        reverse,
        row.function.__name__,
    )


def run_driven(
    row: Cell,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    params: list[Tensor],
    options: Mapping[str, Any],
    *,
    h0: Tensor | None = None,
    reset: Tensor | None = None,
    h_reset: Tensor | None = None,
    backend: str = "auto",
    **others,
) -> tuple[Tensor, Tensor]:
    """``run`` of a cell with matrices whose streams are x weight' + bias, side by side: x (B,T,I),
    weight (nC,I), bias (nC,) or None.

    Where one operator takes that product as well, no stream is ever in memory, nor is its gradient:
    on the CPU, where all is of one dtype.
    """
    kernel = row.kernel(options, reset is not None)
    if not _drives(kernel, x, [weight, *params], backend):
        states = {"h0": h0, "reset": reset, "h_reset": h_reset}
        drive = F.linear(x, weight, bias)
        return run(row, [drive], params, options, **states, backend=backend, packed=True, **others)
    layout = arguments.driven_layout(row, x, params[0].shape[1])
    h0, h_reset = _check_states(layout, x, h0, reset, h_reset)
    reverse, time_first = others.get("reverse", False), others.get("time_first", False)
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    numbers = row.numbers(options)
    static = Static(
        CPU, kernel.driven, numbers, kernel.saves, kernel.linear, 1, reverse, row.function.__name__
    )
    h_reset = h_reset if reset is not None else others.get("reached")
    return autograd.apply(static, reset, h0, h_reset, [x, weight, bias, *params], time_first)


def _drives(kernel: Kernel, x: Tensor, weights: list[Tensor], backend: str) -> bool:
    """Whether an operator runs that takes the product of its inputs, too."""
    return (
        bool(kernel.driven)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and all(w.dtype == x.dtype and w.device == x.device for w in weights)
        and not torch.is_autocast_enabled("cpu")
        and choose.choose(backend, x.device, kernel, weights[1].shape[1]).backend == "cpu"
    )


def _key(row: Cell, inputs, params, options, h0, reset, h_reset, backend: str, packed: bool):
    """What the choice of an operator rests on; None where a call is not to be run at once."""
    if forward_ad._current_level >= 0 or not isinstance(backend, str):
        return None
    signature = arguments.signature(row.name, packed, (*inputs, *params, h0, reset, h_reset))
    kernel = row.kernel(options, reset is not None)
    varies = kernel.varying is not None and isinstance(options[kernel.varying.name], Tensor)
    return None if signature is None or varies else (signature, kernel, backend)


def check(row: Cell, inputs, params, h0, reset, h_reset, packed, state="h0"):
    """Checks all tensors of a call and brings them to the dtypes that its kernels take."""
    inputs = arguments.streams(row, inputs, packed)
    first = inputs[0]
    for name, x in zip(row.params, params, strict=True):
        arguments.strided(name, x)
    layout = arguments.Layout(row, inputs, params, packed)
    arguments.dtypes(row, layout, first)
    named = zip(row.params, params, strict=True)
    if row.matrices:
        shapes = row.param_shapes(layout.C)
        params = [
            arguments.of_shape(name, x, layout, first, expected)
            for (name, x), expected in zip(named, shapes, strict=True)
        ]
    else:
        params = [arguments.vector(row, name, x, layout, first) for name, x in named]
    return layout, inputs, params, *_check_states(layout, first, h0, reset, h_reset, state)


def _check_states(
    layout, first: Tensor, h0, reset, h_reset, state: str = "h0"
) -> tuple[Tensor | None, Tensor | None]:
    """Checks h0, reset and h_reset against a call's first stream; returns h0 and h_reset, widened
    to the dtype of states."""
    if h0 is not None:
        h0 = arguments.per_sequence(
            state, h0, layout, first, layout.width, layout.carry, per_batch=True, shared=False
        )
    if reset is not None:
        arguments.reset_mask(reset, layout, first)
    if h_reset is not None:
        if reset is None:
            raise ValueError(
                "h_reset was given without reset; the state before the first step is h0"
            )
        h_reset = arguments.per_sequence(
            "h_reset",
            h_reset,
            layout,
            first,
            layout.width,
            layout.carry,
            per_batch=True,
            shared=True,
        )
    return h0, h_reset


def _reference(
    row: Cell, layout, inputs, params, options, h0, reset, h_reset, reverse
) -> tuple[Tensor, Tensor]:
    if layout.packed:
        inputs = list(inputs[0].split(layout.y_width, dim=-1))
    if layout.split:
        inputs = [linear.to_complex(x) for x in inputs]
        h0, h_reset = (None if h is None else linear.to_complex(h) for h in (h0, h_reset))
    states = {"states": len(row.states), "h0": h0, "reset": reset, "h_reset": h_reset}
    y, h = reference.scan(row.step, inputs, params, **states, reverse=reverse, **options)
    return (linear.to_split(y).to(layout.dtype), linear.to_split(h)) if layout.split else (y, h)


def run_step(
    row: Cell,
    inputs: list[Tensor],
    params: list[Tensor],
    options: Mapping[str, Any],
    h: Tensor | None,
    *,
    reset=None,
    h_reset=None,
    backend="auto",
):
    """One step of a cell for streaming: inputs (B, C), state h (B, C). Returns (y, h)."""
    for name, x in zip(row.inputs, inputs, strict=True):
        arguments.tensor(name, x)
        if x.dim() != 2:
            arguments.strided(name, x)
            raise ValueError(f"{name} must have shape (B, C), got {arguments.shape(x)}")
    if reset is not None:
        arguments.tensor("reset", reset)
        if reset.dim() != 1:
            raise ValueError(f"reset must have shape (B,), got {arguments.shape(reset)}")
        reset = reset.unsqueeze(1)
    y, h = run(
        row,
        [x.unsqueeze(1) for x in inputs],
        params,
        options,
        h0=h,
        reset=reset,
        h_reset=h_reset,
        backend=backend,
        state="h",
    )
    return y.squeeze(1), h
