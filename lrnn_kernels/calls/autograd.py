"""Autograd around the compiled operators.

``Scan`` is the ordinary path. ``torch.func`` transforms need the ``setup_context`` form, which
costs three times as much per call, so that form, ``TransformedScan``, runs only inside a transform.
Both share their code; neither knows a cell.

Linear recurrences are differentiable any number of times, forward and backward: where a gradient is
itself to be differentiated, it is computed by the same public scan, run the other way
(``linear.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from ..backends import interrupts
from . import linear
from .static import Leaf, Static

_JVP = torch._C._functorch.TransformType.Jvp


def apply(
    static: Static,
    reset: Tensor | None,
    h0: Tensor | None,
    h_reset: Tensor | None,
    tensors: list[Tensor],
    time_first: bool = False,
) -> tuple[Tensor, Tensor]:
    """Runs a scan with gradients; tensors are the streams, then the parameters. Returns (y,
    h_last), y (T,B,C) where time_first.

    h_reset without reset is not read: a backward pass reaches it, with no gradient.
    """
    if torch.compiler.is_compiling():
        if torch.is_grad_enabled():
            y, h_last = CompiledScan.apply(*static, *_distinct([reset, h0, h_reset, *tensors]))
        else:
            y, h_last, _ = run_forward(static, reset, h0, h_reset, tensors, save=False)
        return (y.transpose(0, 1) if time_first else y), h_last
    try:
        return _run(static, reset, h0, h_reset, tensors, time_first)
    except RuntimeError:
        interrupts.reraise()
        raise


def _run(static: Static, reset, h0, h_reset, tensors, time_first: bool) -> tuple[Tensor, Tensor]:
    if torch._C._are_functorch_transforms_active():
        if static.linear and torch._C._functorch.peek_interpreter_stack().key() == _JVP:
            y, h_last = _dual_scan(static, reset, h0, h_reset, tensors)
        else:
            y, h_last, _ = TransformedScan.apply(Leaf(static), reset, h0, h_reset, *tensors)
        return (y.transpose(0, 1) if time_first else y), h_last
    if torch.is_grad_enabled() or forward_ad._current_level >= 0:
        return Scan.apply(static, time_first, reset, h0, h_reset, *tensors)
    y, h_last, _ = run_forward(static, reset, h0, h_reset, tensors, save=False)
    return (y.transpose_(0, 1) if time_first else y), h_last


def _distinct(tensors: list[Tensor | None]) -> list[Tensor | None]:
    """The tensors, each a tensor of its own: Dynamo refuses an autograd.Function that takes one
    twice."""
    found: list[Tensor | None] = []
    for x in tensors:
        found.append(x.view_as(x) if x is not None and any(x is y for y in found) else x)
    return found


def run_forward(
    static: Static, reset, h0, h_reset, tensors, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    operator = getattr(getattr(torch.ops, static.operators), static.kernel).default
    n = static.inputs
    h_reset = None if reset is None else h_reset
    return operator(
        list(tensors[:n]),
        list(tensors[n:]),
        static.numbers,
        h0,
        reset,
        h_reset,
        static.reverse,
        save,
    )


_FIXED = len(
    Static._fields
)  # leading arguments of the compiled form's apply, which takes what is static one by one


def save_for_backward(
    ctx, static: Static, reset, h0, h_reset, tensors, y: Tensor, saved: Tensor
) -> None:
    states = {"y": y, "bits": saved, "states": saved, "nothing": None}[static.saves]
    h_reset = h_reset if reset is not None else None
    ctx.static = static
    ctx.time_first = False
    ctx.save_for_backward(states, reset, h0, h_reset, *tensors)
    if static.linear:
        ctx.save_for_forward(y, reset, h0, h_reset, *tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx, dy: Tensor | None, dh_last: Tensor | None) -> tuple[Tensor | None, ...]:
    """The gradients of reset, h0, h_reset and the tensors."""
    static: Static = ctx.static
    states, reset, h0, h_reset, *tensors = ctx.saved_tensors
    if ctx.time_first and static.saves == "y":
        states = states.transpose(0, 1)
    if dy is None and dh_last is None:
        return (None,) * (3 + len(tensors))
    if not torch.is_grad_enabled():
        grads = run_backward(static, states, reset, h0, h_reset, dy, dh_last, *tensors)
    elif static.linear:
        grads = linear.gradients(
            static, _linear_scan, states, reset, h0, h_reset, dy, dh_last, *tensors
        )
    else:
        grads = OnceDifferentiable.apply(*static, states, reset, h0, h_reset, dy, dh_last, *tensors)
    *dtensors, dh0, dh_reset = grads
    dh0 = dh0 if h0 is not None else None
    dh_reset = dh_reset if h_reset is not None and reset is not None else None
    return (None, dh0, dh_reset, *dtensors)


def run_backward(static: Static, states, reset, h0, h_reset, dy, dh_last, *tensors) -> list[Tensor]:
    operator = getattr(getattr(torch.ops, static.operators), static.kernel + "_backward").default
    n = static.inputs
    return operator(
        list(tensors[:n]),
        list(tensors[n:]),
        static.numbers,
        h0,
        reset,
        h_reset,
        static.reverse,
        states,
        dy,
        dh_last,
    )


class Scan(Function):
    """y, h_last = Scan.apply(static, time_first, reset, h0, h_reset, *tensors); saves nothing where
    nothing requires a gradient.

    Where time_first, y is (T,B,C), in memory as it lies: no view, as a transposed output would be,
    so that users may change it in place.
    """

    @staticmethod
    def forward(ctx, static, time_first, reset, h0, h_reset, *tensors):
        y, h_last, saved = run_forward(
            static, reset, h0, h_reset, tensors, save=any(ctx.needs_input_grad)
        )
        if time_first:
            y.transpose_(0, 1)
        save_for_backward(ctx, static, reset, h0, h_reset, tensors, y, saved)
        ctx.time_first = time_first
        return y, h_last

    @staticmethod
    def backward(ctx, dy, dh_last):
        if ctx.time_first and dy is not None:
            dy = dy.transpose(0, 1)
        try:
            return (None, None, *_backward(ctx, dy, dh_last))
        except RuntimeError:
            interrupts.reraise()
            raise

    @staticmethod
    def jvp(ctx, _, __, *tangents):
        t_y, t_last = _jvp(ctx, *tangents)
        return (t_y.transpose(0, 1) if ctx.time_first else t_y), t_last


class CompiledScan(Function):
    """The same under torch.compile, which takes no named tuples and refuses forward mode."""

    @staticmethod
    def forward(ctx, *args):
        static = Static(*args[:_FIXED])
        reset, h0, h_reset, *tensors = args[_FIXED:]
        y, h_last, saved = run_forward(static, reset, h0, h_reset, tensors, save=True)
        save_for_backward(ctx, static, reset, h0, h_reset, tensors, y, saved)
        return y, h_last

    @staticmethod
    def backward(ctx, dy, dh_last):
        return (*(None,) * _FIXED, *_backward(ctx, dy, dh_last))


class TransformedScan(Function):
    """The same under torch.func: what is saved must be an output, and the batching rules of the
    operators do the vmap."""

    generate_vmap_rule = True

    @staticmethod
    def forward(leaf, reset, h0, h_reset, *tensors):
        return run_forward(leaf.static, reset, h0, h_reset, tensors, save=True)

    @staticmethod
    def setup_context(ctx, inputs, output):
        y, _, saved = output
        ctx.mark_non_differentiable(saved)
        leaf, reset, h0, h_reset, *tensors = inputs
        save_for_backward(ctx, leaf.static, reset, h0, h_reset, tensors, y, saved)

    @staticmethod
    def backward(ctx, dy, dh_last, _):
        return (None, *_backward(ctx, dy, dh_last))

    @staticmethod
    def jvp(ctx, _, *tangents):
        if sum(layer.key() == _JVP for layer in torch._C._functorch.get_interpreter_stack()) > 1:
            # torch has forward mode off in here, for every jvp around: the result would be wrong.
            # _dual_scan comes before this wherever the innermost transform is jvp.
            raise NotImplementedError(
                f"{ctx.static.public}: forward mode works two deep; use reverse mode (jacrev, "
                "vjp) for all inner derivatives"
            )
        return (*_jvp(ctx, *tangents), None)


class OnceDifferentiable(Function):
    """The fused gradient where somebody might differentiate it again, which is an error for all
    but linear recurrences."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*args):
        return tuple(run_backward(Static(*args[:_FIXED]), *args[_FIXED:]))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.public = Static(*inputs[:_FIXED]).public

    @staticmethod
    def backward(ctx, *_):
        raise NotImplementedError(
            f"{ctx.public}: second derivatives exist only for linear recurrences; use "
            "backend='reference' for this cell"
        )

    jvp = backward


class Owned(Function):
    """A tensor that is nobody's view, of the same memory: autograd refuses some changes of a view
    in place. Whoever saved the tensor for a backward pass learns of changes, because the two count
    them together.
    """

    @staticmethod
    def forward(ctx, x):
        return x.detach()

    @staticmethod
    def backward(ctx, grad):
        return grad


def owned(x: Tensor) -> Tensor:
    """A layer's output as a tensor that its user may detach or change in place, where that is a
    view; no copy."""
    if (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or not x._is_view()
    ):
        return x
    if forward_ad._current_level >= 0:
        return x  # a detached tensor has no tangent
    return Owned.apply(x) if x.requires_grad and torch.is_grad_enabled() else x.detach()


def _linear_scan(
    static: Static, a: Tensor, b: Tensor, h0, reset, h_reset, reverse: bool
) -> tuple[Tensor, Tensor]:
    """A linear scan on the backend of another, differentiable; a broadcasts against b."""
    return apply(
        Static(static.operators, static.linear, [], "y", static.linear, 2, reverse, static.public),
        reset,
        h0,
        h_reset,
        [a.expand_as(b), b],
    )


def _jvp(ctx, _, t_h0, t_h_reset, *t_tensors):
    static: Static = ctx.static
    if not static.linear:
        raise NotImplementedError(
            f"{static.public}: forward-mode derivatives exist only for linear recurrences; use "
            "reverse mode, or backend='reference' for a cell without surrogate gradients"
        )
    y, reset, h0, h_reset, *tensors = ctx.saved_tensors
    y = y.transpose(0, 1) if ctx.time_first else y
    return linear.tangents(
        static, _linear_scan, y, reset, h0, h_reset, tensors, t_h0, t_h_reset, t_tensors
    )


def _dual_scan(static: Static, reset, h0, h_reset, tensors) -> tuple[Tensor, Tensor]:
    """A linear scan under torch.func.jvp, without the jvp of an autograd.Function, within which
    tangents of outer jvps are lost."""
    (h0, t_h0), (h_reset, t_h_reset), *pairs = (
        (None, None) if x is None else forward_ad.unpack_dual(x) for x in (h0, h_reset, *tensors)
    )
    tensors, t_tensors = ([pair[i] for pair in pairs] for i in (0, 1))
    y, h_last, _ = TransformedScan.apply(Leaf(static), reset, h0, h_reset, *tensors)
    if all(t is None for t in (t_h0, t_h_reset, *t_tensors)):
        return y, h_last
    t_y, t_last = linear.tangents(
        static, _linear_scan, y, reset, h0, h_reset, tensors, t_h0, t_h_reset, t_tensors
    )
    return forward_ad.make_dual(y, t_y), forward_ad.make_dual(h_last, t_last)
