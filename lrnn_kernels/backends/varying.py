"""An eps that changes from call to call under torch.compile.

A number is a constant to torch.compile: every new value compiles anew, and a schedule of thousands of steps meets its limit after a few. A
tensor is an input. So every kernel with an eps has a second operator, whose last parameter is eps as a tensor, a float64 scalar
on the CPU: it is read when the operator runs, and has no gradient.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..calls import arguments
from . import operators

#: What is added to a kernel's name.
SUFFIX = "_varying"

KERNELS = ("hysteresis", "hysteresis_per_step", "fq_bmru")

_libraries: list[torch.library.Library] = []  # an operator lives as long as its library object


def register(namespace: str) -> None:
    """Defines the second operators of a backend whose others are there."""
    library = torch.library.Library(namespace, "FRAGMENT")
    _libraries.append(library)
    for kernel in KERNELS:
        name = kernel + SUFFIX
        # A CUDA graph would keep the eps that it was recorded with.
        operators.define(library, name, (torch.Tag.cudagraph_unsafe,))
        library.impl(name, partial(_forward, namespace, kernel), "CompositeExplicitAutograd")
        library.impl(f"{name}_backward", partial(_backward, namespace, kernel), "CompositeExplicitAutograd")
        operators.register_one(namespace, name, kernel, loops=True)


def _numbers(eps: Tensor, options: list[float]) -> list[float]:
    return [arguments.number("eps", eps.item(), 0.0, 1.0), *options]


def _forward(namespace: str, kernel: str, inputs, params, options, *rest) -> tuple[Tensor, Tensor, Tensor]:
    *params, eps = params
    return getattr(getattr(torch.ops, namespace), kernel)(inputs, params, _numbers(eps, options), *rest)


def _backward(namespace: str, kernel: str, inputs, params, options, *rest) -> list[Tensor]:
    *params, eps = params
    grads = getattr(getattr(torch.ops, namespace), kernel + "_backward")(inputs, params, _numbers(eps, options), *rest)
    n = len(inputs) + len(params)
    return [*grads[:n], torch.zeros_like(eps), *grads[n:]]
