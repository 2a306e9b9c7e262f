"""A number that changes from call to call under torch.compile: the eps of the cells that anneal it.

A number is a constant to torch.compile: every new value compiles anew, and a schedule of thousands
of steps meets its limit after a few. A tensor is an input. So every kernel whose row says so
(``Kernel.varying``) has a second operator, whose last parameter is its first number
as a tensor, a float64 scalar on the CPU: it is read when the operator runs, and has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..cell import Kernel
from ..options import number

#: What is added to a kernel's name.
SUFFIX = "_varying"


def implementations(namespace: str, kernel: Kernel) -> tuple[Callable, Callable]:
    """The second operator of a kernel and the one of its gradients, by those that take the
    number as it is."""
    name, low, high = kernel.varying

    def numbers(tensor: Tensor, options: list[float]) -> list[float]:
        return [number(name, tensor.item(), low, high), *options]

    def operator(suffix: str):
        return getattr(getattr(torch.ops, namespace), kernel.name + suffix)

    def forward(inputs, params, options, *rest) -> tuple[Tensor, Tensor, Tensor]:
        *params, value = params
        return operator("")(inputs, params, numbers(value, options), *rest)

    def backward(inputs, params, options, *rest) -> list[Tensor]:
        *params, value = params
        grads = operator("_backward")(inputs, params, numbers(value, options), *rest)
        n = len(inputs) + len(params)
        return [*grads[:n], torch.zeros_like(value), *grads[n:]]

    return forward, backward
