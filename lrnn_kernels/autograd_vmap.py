"""The batching rules of the operators under the vmap of torch.autograd.

``torch.autograd.grad(is_grads_batched=True)``, ``torch.autograd.functional`` with ``vectorize=True`` and gradcheck's batched checks
do not map by torch.func's vmap, which ``torch.library.register_vmap`` serves, but by the older one. Its tensors come to the dispatch key
``Batched``, whose fallback refuses operators of lists of tensors. What is registered here hands them to the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

_libraries: dict[str, torch.library.Library] = {}  # by namespace; an operator's kernel lives as long as its library object


class Info(NamedTuple):
    """What a rule is told of the mapped dimension."""

    batch_size: int


def register(name: str, rule: Callable[..., tuple[Any, Any]]) -> None:
    """Registers the rule of an operator, NAMESPACE::NAME, in the form of torch.library.register_vmap's."""
    namespace, operator = name.split("::")
    if namespace not in _libraries:
        _libraries[namespace] = torch.library.Library(namespace, "FRAGMENT")
    _libraries[namespace].impl(operator, lambda *args: _apply(rule, args), "Batched")


def _apply(rule: Callable[..., tuple[Any, Any]], args: tuple[Any, ...]) -> Any:
    """Takes the innermost mapped dimension off; what is mapped by others comes here again from within the rule."""
    level = max(_level(x) for arg in args for x in (arg if isinstance(arg, list) else [arg]))
    sizes: list[int] = []

    def unwrap(x: Any) -> tuple[Any, int | None]:
        if isinstance(x, list):
            pairs = [unwrap(y) for y in x]
            return [y for y, _ in pairs], [dim for _, dim in pairs]
        if _level(x) != level:
            return x, None
        plain = torch._remove_batch_dim(x, level, 1, 0)  # the size counts only where the dimension must be made
        sizes.append(plain.shape[0])
        return plain, 0

    plain, in_dims = zip(*map(unwrap, args), strict=True)
    outputs, out_dims = rule(Info(sizes[0]), in_dims, *plain)
    wrapped = [x if dim is None else torch._add_batch_dim(x, dim, level) for x, dim in zip(outputs, out_dims, strict=True)]
    return wrapped if isinstance(outputs, list) else tuple(wrapped)


def _level(x: Any) -> int:
    """The highest level at which a tensor is mapped; 0 for all else."""
    level = 0
    while isinstance(x, Tensor) and torch._C._functorch.is_legacy_batchedtensor(x):
        level += 1
        x = torch._remove_batch_dim(x, level, 1, 0)  # plain once its last level is off
    return level
