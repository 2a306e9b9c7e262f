"""What torch must know of the operators beyond running them: shapes without data, and vmap.

Both mirror csrc/torch/tensors.h and csrc/torch/cpu.cpp; opcheck compares the shapes with the
kernels in the tests. The Triton operators have the same schemas, and share all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..cell import Cell, Kernel, carry_dtype
from . import autograd_vmap, layer_steps, varying

#: The namespaces of the C++ and of the Triton operators in torch.ops.
NAMESPACE, NAMESPACE_TRITON = "lrnn_kernels", "lrnn_triton"

#: Every kernel by its name, once it is declared.
KERNELS: dict[str, Kernel] = {}

STEPS_PER_WORD = 32  # saved bits per word of the last-write-wins engine

#: What every operator takes and gives. All cells share one signature, so that a new one needs no
#: line here; libraries of kernels implement the operators, and define none.
#:
#: NAME(inputs, params, options, h0, reset, h_reset, reverse, save) -> (y, h_last, saved)
#:     inputs   the cell's streams, each (B,T,C) with unit channel stride; or one tensor (B,T,nC)
#:              that holds all of them side by side, as one GEMM wrote them. A complex cell also
#:              takes real tensors of split storage: (B,T,2C), real parts first.
#:     params   one (C,) or (B,C) tensor of the carry type each (float32 for 16- and 32-bit inputs);
#:              of the matrix engine, first matrices (nC,C), and (C,) only
#:     options  plain numbers; first, for cells that save their states, K: the states before every
#:              K-th step are saved; 0: of every step
#:     h0       (B,C), the carry type; h_reset (C,) or (B,C); reset (B,T) bool. Split storage, and
#:              cells of n states, side by side: (B,nC), (nC,).
#:     save     whether a backward pass will follow; saved is what it needs beyond y (empty for most
#:              cells)
#: NAME_driven(...)
#:     of the matrix engine, where inputs are one x, (B,T,I), and params have a weight (nC,I) and a
#:     bias (nC,) first: it takes the product that makes the n streams as well
#: NAME_backward(..., states, dy, dh_last) -> [inputs' gradients..., params' gradients..., dh0,
#: dh_reset]
#:     states   y or saved; packed inputs get one packed gradient; dh_reset is empty unless h_reset
#:              and reset are given
#: NAME_map(inputs, params, options, reset, h_reset, reverse, backward, dy) -> (scale, offset)
#:     of the affine engine, without gradients: what a whole sequence does to the state before it,
#:     h_last = scale h0 + offset; backward, to the adjoint of the state after it, dh0 = scale
#:     dh_last + offset. As h0, (B,C). Of the latch's engine, the generic kernel's serves.
#: plan(cell, inputs, params, backward, options) -> CPU: [threads, channel block, steps per chunk,
#:     non-temporal stores] CUDA: [lanes of a block, groups of a block, steps per chunk, blocks]; of
#:     the matrix engine [blocks of a group, groups, batch elements of a group at a time]
_COMMON = (
    "(Tensor[] inputs, Tensor[] params, float[] options, Tensor? h0, Tensor? reset, Tensor? "
    "h_reset, bool reverse, "
)
_FORWARD = _COMMON + "bool save) -> (Tensor y, Tensor h_last, Tensor saved)"
_BACKWARD = _COMMON + "Tensor? states, Tensor? dy, Tensor? dh_last) -> Tensor[]"
_MAP = (
    "(Tensor[] inputs, Tensor[] params, float[] options, Tensor? reset, Tensor? h_reset, bool "
    "reverse, bool backward, Tensor? dy) -> (Tensor scale, Tensor offset)"
)
_PLAN = (
    "plan(str cell, Tensor[] inputs, Tensor[] params, bool backward, float[] options=[]) -> int[]"
)

#: What is added to a kernel's name for the operator of its map.
MAP = "_map"

_definitions: list[torch.library.Library] = []  # an operator lives as long as its library object


def define(library: torch.library.Library, name: str, tags: tuple[torch.Tag, ...] = ()) -> None:
    """Defines an operator and the one of its gradients."""
    library.define(name + _FORWARD, tags=tags)
    library.define(f"{name}_backward{_BACKWARD}", tags=tags)


def names() -> list[str]:
    """Every operator that a library of kernels implements."""
    driven = [kernel.driven for kernel in KERNELS.values() if kernel.driven]
    return [
        *(name for op in [*KERNELS, *driven] for name in (op, f"{op}_backward")),
        *(name + MAP for name in mapped()),
        *layer_steps.names(KERNELS),
        "plan",
    ]


def mapped() -> list[str]:
    """The kernels that have an operator of their map."""
    return [name for name, kernel in KERNELS.items() if kernel.engine == "affine"]


def declare(kernels: Mapping[str, Kernel], own_steps: Mapping[str, Cell]) -> None:
    """Takes the rows of all kernels, and defines the operators that libraries of C++ kernels
    implement."""
    KERNELS.update(kernels)
    define_all(NAMESPACE)
    define_driven()
    _definitions.append(layer_steps.define(NAMESPACE, KERNELS, own_steps))
    register(NAMESPACE, KERNELS)
    register_varying(NAMESPACE, KERNELS)


def define_all(namespace: str) -> None:
    """Defines every operator of a namespace, once: libraries of kernels only implement them."""
    library = torch.library.Library(namespace, "FRAGMENT")
    _definitions.append(library)
    for kernel in KERNELS:
        define(library, kernel)
    for kernel in mapped():
        define_map(library, namespace, kernel)
    library.define(_PLAN)


def define_map(library: torch.library.Library, namespace: str, name: str) -> None:
    """Defines the operator of a kernel's map, and its shapes without data."""
    library.define(name + MAP + _MAP)
    kernel = KERNELS[name]

    def fake(inputs, params, options, reset, h_reset, reverse, backward, dy):
        first = inputs[0]
        sizes = first.shape[0], _channels(kernel, inputs, params, driven=False)
        return tuple(first.new_empty(sizes, dtype=carry_dtype(first.dtype)) for _ in range(2))

    torch.library.register_fake(f"{namespace}::{name}{MAP}", fake)


def define_driven() -> None:
    """Defines the operators that take the product of their inputs. Only a CPU has them."""
    library = torch.library.Library(NAMESPACE, "FRAGMENT")
    _definitions.append(library)
    for kernel in KERNELS.values():
        if kernel.driven:
            define(library, kernel.driven)
            _describe(NAMESPACE, kernel.driven, kernel, loops=True, driven=True)


def register(namespace: str, kernels: Iterable[str]) -> None:
    """Registers fakes and batching rules for the operators of a backend; where parameters are
    matrices, which cannot become rows of one batch, the rules loop."""
    for name in kernels:
        _describe(namespace, name, KERNELS[name], loops=KERNELS[name].engine == "matrix")


def register_varying(namespace: str, kernels: Iterable[str]) -> None:
    """Defines the second operators of a backend whose others are there: see varying.py."""
    library = torch.library.Library(namespace, "FRAGMENT")
    _definitions.append(library)
    for kernel in (KERNELS[name] for name in kernels if KERNELS[name].varying):
        name = kernel.name + varying.SUFFIX
        # A CUDA graph would keep the number that it was recorded with.
        define(library, name, (torch.Tag.cudagraph_unsafe,))
        forward, backward = varying.implementations(namespace, kernel)
        library.impl(name, forward, "CompositeExplicitAutograd")
        library.impl(f"{name}_backward", backward, "CompositeExplicitAutograd")
        _describe(namespace, name, kernel, loops=True)


def _describe(namespace: str, name: str, kernel: Kernel, loops: bool, driven: bool = False) -> None:
    """Registers the fakes and batching rules of an operator that has a kernel's shapes; loops:
    over what is mapped."""
    forward, backward = f"{namespace}::{name}", f"{namespace}::{name}_backward"
    torch.library.register_fake(forward, _forward_fake(kernel, driven))
    torch.library.register_fake(backward, _backward_fake(kernel, driven))
    rules = {
        forward: _looped(forward) if loops else _forward_vmap(forward),
        backward: _looped(backward) if loops else _backward_vmap(backward),
    }
    for operator, rule in rules.items():
        torch.library.register_vmap(operator, rule)  # torch.func's vmap
        autograd_vmap.register(operator, rule)  # torch.autograd's


def _operator(name: str):
    """torch.ops.NAMESPACE.KERNEL, by its full name."""
    namespace, kernel = name.split("::")
    return getattr(getattr(torch.ops, namespace), kernel)


def new_rows(like: Tensor, channels: int) -> Tensor:
    """(B, T, channels) in the memory order of like: time-major where that is."""
    B, T, _ = like.shape
    if B > 1 and T > 1 and like.stride(0) != 0 and like.stride(0) < like.stride(1):
        return like.new_empty((T, B, channels)).transpose(0, 1)
    return like.new_empty((B, T, channels))


def _channels(kernel: Kernel, inputs, params, driven: bool) -> int:
    """Channels of y."""
    if driven:
        return params[2].shape[1]  # of a (nC,C) matrix
    channels = inputs[0].shape[2]
    return channels // kernel.streams if len(inputs) == 1 else channels


def saved_shape(kernel: Kernel, B: int, T: int, C: int, options) -> tuple[int, ...]:
    """The shape of what a forward pass saves for the backward pass; (0,) where that reads y or
    nothing."""
    if kernel.saves == "bits":
        return (B, (T + STEPS_PER_WORD - 1) // STEPS_PER_WORD + 1, C)
    if kernel.saves != "states":
        return (0,)
    if kernel.engine == "matrix":
        return (B, T, kernel.saved * C)
    interval = int(options[0]) if kernel.checkpoints else 0
    return (B, kernel.states, T // interval + 2, C) if interval else (B, kernel.saved, T, C)


def _forward_fake(kernel: Kernel, driven: bool):
    def fake(inputs, params, options, h0, reset, h_reset, reverse, save):
        first = inputs[0]
        B, T, _ = first.shape
        C, carry = _channels(kernel, inputs, params, driven), carry_dtype(first.dtype)
        h_last = first.new_empty((B, kernel.states * C), dtype=carry)
        saved = saved_shape(kernel, B, T, C, options) if save else (0,)
        steps = save and kernel.saves == "states"
        return (
            new_rows(first, C),
            h_last,
            first.new_empty(saved, dtype=carry if steps else torch.int32),
        )

    return fake


def _backward_fake(kernel: Kernel, driven: bool):
    def fake(inputs, params, options, h0, reset, h_reset, reverse, states, dy, dh_last):
        first = inputs[0]
        carry = carry_dtype(first.dtype)
        width = kernel.states * _channels(kernel, inputs, params, driven)
        has_reset = reset is not None and h_reset is not None
        return [
            *(new_rows(first, x.shape[2]) for x in inputs),
            *(p.new_empty(p.shape) for p in params),
            first.new_empty((first.shape[0], width), dtype=carry),
            h_reset.new_empty(h_reset.shape) if has_reset else first.new_empty((0,), dtype=carry),
        ]

    return fake


def _looped(name: str):
    """A batching rule that calls the operator once per mapped element."""

    def pick(arg, dim, i: int):
        if isinstance(arg, list | tuple):
            return (
                [pick(x, d, i) for x, d in zip(arg, dim, strict=True)]
                if isinstance(dim, list | tuple)
                else arg
            )
        return arg if dim is None else arg.select(dim, i)

    def rule(info, in_dims, *args):
        operator = _operator(name)
        calls = [
            operator(*(pick(arg, dim, i) for arg, dim in zip(args, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        stacked = [torch.stack(parts) for parts in zip(*calls, strict=True)]
        return (
            (stacked, [0] * len(stacked))
            if isinstance(calls[0], list)
            else (tuple(stacked), (0,) * len(stacked))
        )

    return rule


def _folded(x: Tensor | None, dim: int | None, size: int, batch_dims: int) -> Tensor | None:
    """x with its mapped dimension (or a new one) folded into the batch; batch_dims = 0 for a
    (C,) tensor, which becomes (V, C)."""
    if x is None:
        return None
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1) if batch_dims else x


def _fold_rows(x: Tensor | None, dim: int | None, size: int, B: int) -> Tensor | None:
    """A (C,) or (B,C) tensor, mapped or not, as (V*B, C)."""
    if x is None:
        return None
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    if x.dim() == 2:  # (V, C)
        x = x[:, None].expand(size, B, x.shape[-1])
    return x.reshape(size * B, x.shape[-1])


def _fold_call(size, in_dims, inputs, params, h0, reset, h_reset):
    """The call with V folded into B; parameters become one row per batch element, so that their
    gradients stay apart."""
    inputs_d, params_d, _, h0_d, reset_d, h_reset_d = in_dims[:6]
    folded = [_folded(x, d, size, 1) for x, d in zip(inputs, inputs_d, strict=True)]
    B = folded[0].shape[0] // size
    rows = [_fold_rows(p, d, size, B) for p, d in zip(params, params_d, strict=True)]
    return (
        folded,
        rows,
        _folded(h0, h0_d, size, 1),
        _folded(reset, reset_d, size, 1),
        _fold_rows(h_reset, h_reset_d, size, B),
        B,
    )


def _forward_vmap(name: str):
    def rule(info, in_dims, inputs, params, options, h0, reset, h_reset, reverse, save):
        size = info.batch_size
        inputs, params, h0, reset, h_reset, B = _fold_call(
            size, in_dims, inputs, params, h0, reset, h_reset
        )
        operator = _operator(name)
        y, h_last, saved = operator(inputs, params, options, h0, reset, h_reset, reverse, save)
        is_saved = saved.dim() > 1
        saved = saved.unflatten(0, (size, B)) if is_saved else saved
        return (y.unflatten(0, (size, B)), h_last.unflatten(0, (size, B)), saved), (
            0,
            0,
            0 if is_saved else None,
        )

    return rule


def _backward_vmap(name: str):
    def rule(
        info, in_dims, inputs, params, options, h0, reset, h_reset, reverse, states, dy, dh_last
    ):
        size = info.batch_size
        shared = [p.dim() - (d is not None) == 1 for p, d in zip(params, in_dims[1], strict=True)]
        reset_shared = h_reset is not None and h_reset.dim() - (in_dims[5] is not None) == 1
        inputs, params, h0, reset, h_reset, B = _fold_call(
            size, in_dims, inputs, params, h0, reset, h_reset
        )
        states_d, dy_d, dh_last_d = in_dims[7:]
        states, dy, dh_last = (
            _folded(x, d, size, 1)
            for x, d in ((states, states_d), (dy, dy_d), (dh_last, dh_last_d))
        )
        states = None if states is None else states.contiguous()
        operator = _operator(name)
        grads = operator(inputs, params, options, h0, reset, h_reset, reverse, states, dy, dh_last)
        *dtensors, dh0, dh_reset = grads
        n = len(inputs)
        out = [g.unflatten(0, (size, B)) for g in dtensors]
        for i, is_shared in enumerate(shared):
            out[n + i] = out[n + i].sum(1) if is_shared else out[n + i]
        has_reset = dh_reset.dim() == 2
        if has_reset:
            dh_reset = dh_reset.unflatten(0, (size, B))
            dh_reset = dh_reset.sum(1) if reset_shared else dh_reset
        return [*out, dh0.unflatten(0, (size, B)), dh_reset], [0] * (len(out) + 1) + [
            0 if has_reset else None
        ]

    return rule
