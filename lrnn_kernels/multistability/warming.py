"""Warm-up: gradient steps, before training, that make a network's states many."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..nn import Recurrent
from ..options import boolean, integer, number
from . import chance, sampling
from .attractors import vaa_star
from .holding import held
from .network import Network, Unit, rows, tensors

#: What a layer's gradient must exceed once, in one of its numbers, before the layer is moved. Of
#: states that are far apart, as a BMRU's, it is 1e-7 to 1e-5, and Adam, whose steps have one size
#: whatever a gradient's is, would make noise of it; a GRU's begins at 0.1.
LEAST_GRADIENT = 1e-4
#: Inputs by which ``_contracts`` judges: a hysteresis cell's units may all write at one or two.
_INPUTS = 64


@dataclass(frozen=True)
class WarmUp:
    """What a warm-up did; ``print`` says it in a line per layer.

    layers: the recurrent layers, from the input on, by their names in net.
    vaa_star: (steps, layers), float64, VAA* of each layer at each step, before that step's change.
    moved: names of those layers whose parameters were changed.
    monostable: names of those that have one attractor under a constant input, whatever their
        parameters are: linear in their state, and contracting (LRU, minGRU), seen at 64 inputs.
        They were left alone.
    """

    layers: tuple[str, ...]
    vaa_star: Tensor
    moved: tuple[str, ...]
    monostable: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return bool(self.moved)

    def __str__(self) -> str:
        lines = []
        for name, curve in zip(self.layers, self.vaa_star.T.tolist(), strict=True):
            what = "moved" if name in self.moved else "unchanged"
            what = "monostable, unchanged" if name in self.monostable else what
            lines.append(f"{name}: VAA* {curve[0]:.3f} -> {curve[-1]:.3f}, {what}")
        return "\n".join(lines)


def warm_up(
    net: nn.Module,
    sequences: Tensor | Callable[[], Tensor],
    steps: int = 100,
    *,
    lr: float = 1e-2,
    target: float = 0.95,
    longest: int = 200,
    batch_size: int = 32,
    partial: bool = False,
    eps: float = 1e-4,
    generator: torch.Generator | None = None,
) -> WarmUp:
    """Changes a network, before it is trained, so that its sequences lead to many attractors.

    At each step k = 1, 2, ... every sequence is cut at a random length; each layer l alone is held
    from its states there for M steps of a constant input u_l ~ N(0, I) of its own size, M uniform
    in 1..min(1 + 10 k, longest); Adam lowers the mean over layers of (VAA*_l - target)^2. Gradients
    flow through the M steps and through the sequences. Source: as of ``vaa``.

    Args:
        net: as of ``measure``. Of a Parallel, every member is a layer with a VAA* of its own.
        sequences: of the task, as ``measure`` takes them; of more than batch_size, as many are
            drawn at each step. Or what is called at each step and returns some.
        steps, lr, target, longest, batch_size: the schedule, the paper's by default.
        partial: whether of every Parallel only the first member is warmed, and the others are left
            as they are: see ``double``.
        eps: as of ``vaa_star``.
        generator: what draws, torch's own if None. With the same one the same is done.

    Only parameters of recurrent layers that require a gradient are changed; gradients that they
    hold, and the modes of net, are not. A layer is left alone that is monostable by construction,
    and one whose gradients have been nothing at all steps so far, below 1e-4 in every number, as of
    states that are all equal, or far apart from the start, as many a BMRU's are. A UserWarning
    names the layers that were to be warmed and are as they were. A step whose gradients overflow
    changes nothing. Raises TypeError or ValueError, naming the argument, and where states are not
    finite.
    """
    network = Network(net)
    steps, longest = integer("steps", steps), integer("longest", longest)
    batch_size = integer("batch_size", batch_size)
    lr = number("lr", lr, 0.0, 1.0, open_low=True)
    target = number("target", target, 0.0, 1.0)
    boolean("partial", partial)
    chance.check(generator)
    if partial and all(unit.first for unit in network.units):
        raise ValueError(
            "partial must be False where net has no Parallel, whose first member alone would be "
            "warmed: multistability.double makes a network with one"
        )
    monostable = [unit for unit in network.units if _contracts(unit)]
    wanted = [unit for unit in network.units if unit.first or not partial]
    warmed = [unit for unit in wanted if unit not in monostable]
    owned = {unit: _learned(unit) for unit in warmed}
    parameters = list(dict.fromkeys(p for ps in owned.values() for p in ps))
    curve, moved = [], set()
    with torch.set_grad_enabled(bool(parameters)), _own_gradients(parameters):
        adam = torch.optim.Adam(parameters, lr=lr) if parameters else None
        for k in range(1, steps + 1):
            x = _drawn(network, sequences, batch_size, generator)
            values = _values(network, warmed, x, min(1 + 10 * k, longest), eps, generator)
            curve.append([value.item() for value in values])
            if adam is None:
                continue
            loss = sum((values[unit.number] - target).square() for unit in warmed) / len(warmed)
            _differentiate(loss, parameters)
            moved |= {unit for unit, own in owned.items() if _is_something(own)}
            for unit in owned.keys() - moved:
                for p in owned[unit]:
                    p.grad = None
            if all(bool(p.grad.isfinite().all()) for p in parameters if p.grad is not None):
                adam.step()
    result = WarmUp(
        tuple(unit.name for unit in network.units),
        torch.tensor(curve, dtype=torch.float64),
        tuple(unit.name for unit in network.units if unit in moved),
        tuple(unit.name for unit in monostable),
    )
    _warn({unit: _why(unit, monostable) for unit in wanted if unit not in moved})
    return result


def _values(
    network: Network,
    warmed: list[Unit],
    x: Tensor,
    longest: int,
    eps: float,
    generator: torch.Generator | None,
) -> list[Tensor]:
    """VAA* of every unit; with gradients, of those that are warmed."""
    time = network.time
    lengths = chance.lengths(x.shape[time], x.shape[1 - time], generator)
    steps = chance.whole(longest, generator)
    states = sampling.at(network, x, lengths)
    found = []
    for unit, state in zip(network.units, states, strict=True):
        u = chance.constant(unit.layer.input_size, generator, network.like)
        with torch.set_grad_enabled(unit in warmed and torch.is_grad_enabled()):
            found.append(vaa_star(rows(held(unit.alone, [state], u, steps)), eps))
    return found


def _drawn(network: Network, sequences, batch_size: int, generator) -> Tensor:
    if not isinstance(sequences, Tensor):
        if not callable(sequences):
            raise TypeError(
                "sequences must be a tensor, or what returns one when it is called, got "
                f"{type(sequences).__name__}"
            )
        x = sequences()
        network.check("what sequences returns", x)
        return x.detach()
    network.check("sequences", sequences)
    batch = 1 - network.time
    if sequences.shape[batch] > batch_size:
        chosen = chance.some(sequences.shape[batch], batch_size, generator)
        sequences = sequences.index_select(batch, chosen.to(sequences.device))
    return sequences.detach()


def _contracts(unit: Unit) -> bool:
    """Whether a layer is linear in its state with a factor below 1 for every channel, so that under
    a constant input all states meet."""
    layer = unit.layer
    if not isinstance(layer, Recurrent) or layer.cell.sequential:
        return False
    generator = torch.Generator().manual_seed(0)
    like = next(layer.parameters())
    x = torch.randn(_INPUTS, layer.input_size, generator=generator).to(like)
    x = x.unsqueeze(1 if layer.batch_first else 0)
    with torch.enable_grad():
        start = layer(x)[1]
        h = tuple(torch.zeros_like(part).requires_grad_() for part in tensors(start))
        after = layer(x, h if isinstance(start, tuple) else h[0])[1]
        total = sum((part.real if part.is_complex() else part).sum() for part in tensors(after))
        factors = torch.autograd.grad(total, h)
    return all(bool((factor.abs() < 1).all()) for factor in factors)


def _learned(unit: Unit) -> list[nn.Parameter]:
    return [p for p in unit.layer.parameters() if p.requires_grad]


def _differentiate(loss: Tensor, parameters: list[nn.Parameter]) -> None:
    """Their gradients into ``grad``, and nothing else's into theirs."""
    if loss.requires_grad:
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
    else:
        found = [None] * len(parameters)
    for p, grad in zip(parameters, found, strict=True):
        p.grad = grad


def _is_something(parameters: list[nn.Parameter]) -> bool:
    return any(
        bool((p.grad.abs() > LEAST_GRADIENT).any()) for p in parameters if p.grad is not None
    )


@contextmanager
def _own_gradients(parameters: list[nn.Parameter]):
    """``grad`` of the parameters is free within, and afterwards what it was."""
    before = [p.grad for p in parameters]
    try:
        yield
    finally:
        for p, grad in zip(parameters, before, strict=True):
            p.grad = grad


def _why(unit: Unit, monostable: list[Unit]) -> str:
    """Why a layer that was to be warmed is as it was."""
    if unit in monostable:
        return "monostable by construction"
    return "no gradient of VAA*" if _learned(unit) else "no parameter requires a gradient"


def _warn(left: dict[Unit, str]) -> None:
    if left:
        said = ", ".join(f"{unit.name} ({why})" for unit, why in left.items())
        warnings.warn(f"the warm-up has left alone: {said}", UserWarning, stacklevel=3)
