"""What a peer is: another program that computes a recurrence forward, and its gradients."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Passes:
    """One implementation, on inputs that it has; each call gives a sequence of its own arrays.

    Args:
        names: of what a call gives: "y", then whose gradients follow.
        forward: gives y alone, without keeping anything for gradients.
        train: forward and backward: y and all gradients.
        read: ``read(name, array)``: the array as ours would be, float32 in (B,T,C).
    """

    names: Sequence[str]
    forward: Callable[[], Sequence[Any]]
    train: Callable[[], Sequence[Any]]
    read: Callable[[str, Any], Tensor] = lambda name, array: array

    def found(self, given: Sequence[Any]) -> dict[str, Tensor]:
        """What a call gave, by name."""
        return {name: self.read(name, x) for name, x in zip(self.names, given, strict=False)}


@dataclass(frozen=True)
class Case:
    """Inputs by name, (B,T,C) or a layer's parameters, the incoming gradient, and how many threads
    there are."""

    inputs: Tensors
    dy: Tensor
    threads: int

    def first(self, steps: int | None) -> Case:
        """The same over so many steps; None for all."""
        inputs = {name: x[:, :steps] if x.dim() == 3 else x for name, x in self.inputs.items()}
        return Case(inputs, self.dy[:, :steps], self.threads)

    def double(self) -> Case:
        """The same in float64."""
        inputs = {name: x.double() for name, x in self.inputs.items()}
        return Case(inputs, self.dy.double(), self.threads)


@dataclass(frozen=True)
class Peer:
    """Another program.

    Args:
        name: of its row.
        computes: the name of the problem.
        how: in words: what it computes if not that, its layout and settings.
        make: its passes by their settings: what is fastest counts, pass by pass. Compiles.
        packages: that it needs, as they are installed.
        imports: these, as they are imported.
        names: ``names(values)``: ours, by name, as the peer has them: parameters of a layer.
        expected: where it computes something else than the problem: what that is, in plain
            torch, by the peer's names. Its time is then beside ours, of the same size.
        tolerance: of a quantity's largest value, where it is not the problem's.
    """

    name: str
    computes: str
    how: str
    make: Callable[[Case], Mapping[str, Passes]]
    packages: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    names: Callable[[Tensors], Tensors] = dict
    expected: Callable[[Case], Tensors] | None = None
    tolerance: float | None = None

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        for name in self.imports:
            try:
                import_module(name)
            except Exception as error:  # of a package that another's version breaks, any
                if isinstance(error, ModuleNotFoundError) and name.startswith(f"{error.name}"):
                    return f"{error.name} is not installed"
                return f"{name} cannot be imported: {type(error).__name__}: {error}"
        return None

    def versions(self) -> str:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in self.packages)


def of_torch(
    y: Callable[..., Tensor],
    leaves: Tensors,
    dy: Tensor,
    read: Callable[[str, Tensor], Tensor] = lambda name, x: x,
) -> Passes:
    """Passes of a function of named tensors that autograd knows."""
    leaves = {name: x.detach().requires_grad_() for name, x in leaves.items()}
    return _differentiated(lambda: y(**leaves), leaves, dy, read)


def of_layer(
    layer: torch.nn.Module,
    y: Callable[[Tensor], Tensor],
    x: Tensor,
    dy: Tensor,
    read: Callable[[str, Tensor], Tensor] = lambda name, x: x,
) -> Passes:
    """Passes of ``y(x)``, with the gradients of x and of a layer's parameters."""
    x = x.detach().requires_grad_()
    return _differentiated(lambda: y(x), {"x": x, **dict(layer.named_parameters())}, dy, read)


def _differentiated(
    y: Callable[[], Tensor],
    leaves: Tensors,
    dy: Tensor,
    read: Callable[[str, Tensor], Tensor],
) -> Passes:
    wanted = tuple(leaves.values())

    def forward() -> Sequence[Tensor]:
        with torch.no_grad():
            return (y(),)

    def train() -> Sequence[Tensor]:
        out = y()
        return (out.detach(), *torch.autograd.grad(out, wanted, dy))

    return Passes(("y", *leaves), forward, train, read)
