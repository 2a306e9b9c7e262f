"""The batching rules of the operators under the vmap of torch.autograd.

``torch.autograd.grad(is_grads_batched=True)``, ``torch.autograd.functional`` with
``vectorize=True`` and gradcheck's batched checks do not map by torch.func's vmap, which
``torch.library.register_vmap`` serves, but by the older one. Its tensors come to the dispatch key
``Batched``, whose fallback refuses operators of lists of tensors. What is registered here hands
them to the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

_libraries: dict[
    str, torch.library.Library
] = {}  # by namespace; an operator's kernel lives as long as its library object


class Info(NamedTuple):
    """What a rule is told of the mapped dimension."""

    batch_size: int


def register(name: str, rule: Callable[..., tuple[Any, Any]]) -> None:
    """Registers the rule of an operator, NAMESPACE::NAME, in the form of
    torch.library.register_vmap's."""
    namespace, operator = name.split("::")
    if namespace not in _libraries:
        _libraries[namespace] = torch.library.Library(namespace, "FRAGMENT")
    _libraries[namespace].impl(operator, lambda *args: _apply(rule, args), "Batched")


def _apply(rule: Callable[..., tuple[Any, Any]], args: tuple[Any, ...]) -> Any:
    """Calls a rule once: all dimensions that are mapped, one within another, become one."""
    tensors = [
        x for arg in args for x in (arg if isinstance(arg, list) else [arg]) if _is_mapped(x)
    ]
    sizes = _sizes(tensors)

    def unwrap(x: Any) -> tuple[Any, Any]:
        if isinstance(x, list):
            pairs = [unwrap(y) for y in x]
            return [y for y, _ in pairs], [dim for _, dim in pairs]
        if not _is_mapped(x):
            return x, None
        for level in reversed(sizes):
            x = torch._remove_batch_dim(x, level, sizes[level], 0)
        return x.flatten(0, len(sizes) - 1), 0

    def wrap(x: Tensor, dim: int | None) -> Tensor:
        if dim is None:
            return x
        x = x.movedim(dim, 0).unflatten(0, tuple(sizes.values()))
        for level in sizes:
            x = torch._add_batch_dim(x, 0, level)
        return x

    plain, in_dims = zip(*map(unwrap, args), strict=True)
    outputs, out_dims = rule(Info(math.prod(sizes.values())), in_dims, *plain)
    wrapped = map(wrap, outputs, out_dims)
    return list(wrapped) if isinstance(outputs, list) else tuple(wrapped)


def _is_mapped(x: Any) -> bool:
    return isinstance(x, Tensor) and torch._C._functorch.is_legacy_batchedtensor(x)


def _sizes(tensors: list[Tensor]) -> dict[int, int]:
    """The sizes of what is mapped by level, from the outermost, 1. Levels are no attribute of a
    tensor."""
    sizes: dict[int, int] = {}
    for x in tensors:
        level = 0
        while _is_mapped(x):
            level += 1
            # Where this level is not mapped, a dimension of the size given is made.
            one, two = (torch._remove_batch_dim(x, level, size, 0) for size in (1, 2))
            if one.shape[0] == two.shape[0]:
                sizes[level] = one.shape[0]
            x = one
    return dict(sorted(sizes.items()))
