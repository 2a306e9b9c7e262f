"""What torch.compile is to do with a function, said without torch's own decorators: these import
all of torch._dynamo, which takes longer than the rest of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)


def untraced(function: Function) -> Function:
    """As torch.compiler.disable: the compiled graph ends before it, and goes on after it."""
    function._torchdynamo_disable = True
    function._torchdynamo_disable_msg = None
    return function


def constant(function: Function) -> Function:
    """As torch.compiler.assume_constant_result: it runs while the graph is made, and no more."""
    function._dynamo_marked_constant = True
    return function
